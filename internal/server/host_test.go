package server

import "testing"

// TestHostIsThisMachines: the host is told to functions as part of their URL, so what is in front of the port
// must be all of it.
func TestHostIsThisMachines(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8888": true, "127.0.0.1:8888": true, "127.1.2.3": true, "[::1]": true, "[::1]:8888": true, "localhost:": true,
		"evil.test": false, "evil.test:8888": false, "192.0.2.1": false, "localhost.evil.test": false, "": false,
		"localhost:1@evil.test": false, "localhost:@evil.test": false, "127.0.0.1:8888@evil.test": false, "[::1]:8@evil.test": false,
	} {
		if loopbackHost(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}
