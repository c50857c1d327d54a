package server

import (
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestURLsOfSites(t *testing.T) {
	for pattern, want := range map[string]string{
		"http://*.localhost:8080":  "http://shop.localhost:8080 http://a--shop.localhost:8080",
		"https://*.weir.test:443":  "https://shop.weir.test https://a--shop.weir.test",
		"https://*.weir.test:8443": "https://shop.weir.test:8443 https://a--shop.weir.test:8443",
	} {
		u, err := parseURLs(pattern)
		site := weir.Site{Name: "shop"}
		if got := u.site(site) + " " + u.deploy(site, "a"); err != nil || got != want {
			t.Errorf("%s: %s %v", pattern, got, err)
		}
	}
	for _, bad := range []string{"", "localhost", "http://localhost", "ftp://*.a.test", "http://*.a.test/x", "http://a.*.test", "http://*.*.test", "http://*.A.test", "http://u@*.a.test"} {
		if _, err := parseURLs(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
