package attacks

import (
	"net/url"
	"testing"
)

// opened are the attempts that monitor mode lets through, as docs/policy.md says: all of /tmp can be written and all of
// the site's variables are given.
var opened = map[string][]string{
	"files": {"writeTmpOutsideRule", "writeTmpSibling", "writeDotDot", "renameOut", "snapshot", "otherVariables"},
}

// held are the attempts of a function that monitor mode refuses, where it lets most through: what can be read two ways,
// and what leads to the machine itself. A function that is not here is held altogether.
var held = map[string][]string{
	"authority": {"hostHeader", "hostHeaderPort", "hostHeaderUserinfo", "twoHosts", "twoHostsReversed", "sni", "noSNI", "dialledEvil", "dialledIP",
		"absoluteForm", "absoluteFormHTTP", "connect", "connectAllowed", "h2Authority", "h2AuthorityAndHost", "h2SNI", "h2Connect", "trailingDot"},
	"network": {"ipv4Mapped", "nat64", "zero", "weirItself", "weirItselfV6", "weirByName", "fakeAddressOfNobody", "metadataV6",
		"unixSocket", "abstractSocket", "unixListen"},
}

// TestWallsHoldWhileMonitored: monitor mode lets calls out, to be recorded; it opens no file and no process, nothing that
// can be read two ways and nothing of the machine itself.
func TestWallsHoldWhileMonitored(t *testing.T) {
	asOne(t, func(t *testing.T, uid int) {
		site, canary := siteCopy(t, uid)
		w := start(t, uid, site, append(newWorld(t).flags, "--learn")...)
		u, err := url.Parse(w.url)
		if err != nil {
			t.Fatal(err)
		}
		event := map[string]any{"port": u.Port(), "canary": canary, "site": site}
		for name, atLeast := range map[string]int{"files": 39, "processes": 17, "programs": 9, "authority": len(held["authority"]), "network": len(held["network"])} {
			t.Run(name, func(t *testing.T) {
				r := w.invoke(t, name, event)
				for _, attempt := range opened[name] {
					delete(r.Body, attempt)
				}
				if only := held[name]; only != nil {
					all := r.Body
					r.Body = map[string]string{}
					for _, attempt := range only {
						r.Body[attempt] = all[attempt]
					}
				}
				nothingOpen(t, name, r, atLeast)
			})
		}
	})
}
