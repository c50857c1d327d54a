package policy

import "testing"

func TestRented(t *testing.T) {
	for host, want := range map[string]bool{
		"loot.s3.eu-west-1.amazonaws.com": true,
		"*.amazonaws.com":                 true,
		"raw.githubusercontent.com":       true,
		"abc123.ngrok-free.app":           true,
		"webhook.site":                    true,
		"pastebin.com":                    true,
		"discord.com":                     true,
		"hooks.slack.com":                 true,
		"me.github.io":                    true,
		"":                                false,
		"api.stripe.com":                  false,
		"slack.com":                       false,
		"www.googleapis.com":              false,
		"notpastebin.com":                 false,
		"pastebin.com.evil.example":       false,
		"203.0.113.7":                     false,
	} {
		if got := Rented(host) != ""; got != want {
			t.Errorf("%s: rented is %v, want %v (%q)", host, got, want, Rented(host))
		}
	}
}

// TestRentedHostsAreHosts: a slip in the list would never match anything.
func TestRentedHostsAreHosts(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range rented {
		for _, host := range group.hosts {
			if c, err := CanonicalHost(host); err != nil || c != host {
				t.Errorf("%q is not a canonical host: %v", host, err)
			}
			if seen[host] {
				t.Errorf("%s stands twice", host)
			}
			seen[host] = true
		}
	}
}
