package attacks

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/sandbox/zygote"
)

// asEveryone runs a test as root and as an ordinary user, as far as the tests' own user allows: side by side, as
// either mostly waits.
func asEveryone(t *testing.T, f func(t *testing.T, uid int)) {
	if os.Getuid() != 0 {
		t.Run("user", func(t *testing.T) { f(t, os.Getuid()) })
		t.Run("root", func(t *testing.T) { t.Skip("needs root") })
		return
	}
	for name, uid := range map[string]int{"root": 0, "user": ordinaryUser} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, uid)
		})
	}
}

// asOne runs f as this user, and as an ordinary one too in a long run.
func asOne(t *testing.T, f func(t *testing.T, uid int)) {
	if os.Getuid() != 0 || os.Getenv("WEIR_SOAK") != "" {
		asEveryone(t, f)
		return
	}
	t.Run("root", func(t *testing.T) { f(t, 0) })
	t.Run("user", func(t *testing.T) { t.Skip("a second time, as an ordinary user: make soak, or WEIR_SOAK=10m") })
}

// siteCopy puts the attackers' site where every user can read it, with a secret beside it.
func siteCopy(t *testing.T, uid int) (site, canary string) {
	t.Helper()
	dir := openDir(t, uid)
	site = filepath.Join(dir, "site")
	if err := os.CopyFS(site, os.DirFS("testdata/site")); err != nil {
		t.Fatal(err)
	}
	canary = filepath.Join(dir, "secret.mjs")
	if err := os.WriteFile(canary, []byte("export default 'canary-file';\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return site, canary
}

// nothingOpen checks that every attempt was made and every one was blocked.
func nothingOpen(t *testing.T, name string, r reply, atLeast int) {
	t.Helper()
	if r.Status != 200 || r.Failed || len(r.Body) < atLeast {
		t.Fatalf("%s did not answer for all %d attempts: %d %s", name, atLeast, r.Status, r.Payload)
	}
	for attempt, outcome := range r.Body {
		if !strings.HasPrefix(outcome, "blocked") {
			t.Errorf("%s/%s: %s", name, attempt, outcome)
		}
		if strings.Contains(outcome, "canary-file") || strings.Contains(outcome, "canary-of-the-host") || strings.Contains(outcome, "canary-other") {
			t.Errorf("%s/%s shows a secret: %s", name, attempt, outcome)
		}
	}
}

// wayCounts are the functions that try ways round, and how many at least.
var wayCounts = map[string]int{"authority": 23, "paths": 44, "smuggling": 25, "network": 44, "files": 45, "processes": 17, "programs": 9}

// TestWaysRound tries from functions in processes of either kind: started for them, and taken over.
func TestWaysRound(t *testing.T) {
	t.Run("fresh", func(t *testing.T) { waysRound(t, 0) })
	t.Run("blank", func(t *testing.T) { waysRound(t, 12) })
}

func waysRound(t *testing.T, blanks int) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, canary := siteCopy(t, uid)
		world := newWorld(t)
		w := start(t, uid, site, append(world.flags, "--blanks", fmt.Sprint(blanks))...)
		w.awaitBlanks(t, blanks)
		u, err := url.Parse(w.url)
		if err != nil {
			t.Fatal(err)
		}
		event := map[string]any{"port": u.Port(), "canary": canary, "site": site}
		for name, atLeast := range wayCounts {
			t.Run(name, func(t *testing.T) { nothingOpen(t, name, w.invoke(t, name, event), atLeast) })
		}
		world.verify(t)
		if strings.Contains(w.logged(), "canary-file") {
			t.Error("a secret stands in the log")
		}
		b, err := os.ReadFile(w.records)
		if err != nil || bytes.Contains(b, []byte("sk_live_canary")) {
			t.Errorf("a secret stands in the records, or there are none: %v", err)
		}
		if taken := bytes.Count(b, []byte(`"start":"pool"`)); (taken > 0) != (blanks > 0) {
			t.Errorf("with %d blanks, %d functions took one over", blanks, taken)
		}
	})
}

// TestWaysRoundForked tries from processes that are forked, each for one request. It needs a weir with the
// addon built in (make build, then -tags weirzygote), and a machine on which processes can be forked.
func TestWaysRoundForked(t *testing.T) {
	if zygote.Addon() == nil {
		t.Skip("the addon that forks Node.js is not built in")
	}
	asOne(t, func(t *testing.T, uid int) {
		site, canary := siteCopy(t, uid)
		forkable(t, filepath.Join(site, "weir.toml"))
		world := newWorld(t)
		w := start(t, uid, site, append(world.flags, "--blanks", "0")...)
		u, err := url.Parse(w.url)
		if err != nil {
			t.Fatal(err)
		}
		event := map[string]any{"port": u.Port(), "canary": canary, "site": site}
		waiting := 0
		for name, atLeast := range wayCounts {
			t.Run(name, func(t *testing.T) {
				nothingOpen(t, name, w.invoke(t, name, event), atLeast)
				if name != "programs" { // what may start programs is not forked
					waiting++
					w.awaitForked(t, waiting)
				}
				zygotes := w.zygotes()
				r := w.invoke(t, name, event)
				// kill(2) of all gives no error either when each of them was refused.
				if r.Body["killOthers"] == "OPEN: signalled" && slices.Equal(w.zygotes(), zygotes) {
					r.Body["killOthers"] = "blocked: all live"
				}
				nothingOpen(t, name, r, atLeast)
			})
		}
		world.verify(t)
		b, err := os.ReadFile(w.records)
		forked := bytes.Count(b, []byte(`"cold":false`)) + bytes.Count(b, []byte(`"start":"zygote"`)) // beforehand, or for a request that came too soon
		if err != nil || forked != waiting {
			t.Errorf("%d requests were served by forked processes, %d should have been: %v", forked, waiting, err)
		}
	})
}

// forkable has each request of the attackers' site served by a process of its own, and takes from them the one
// right, but that to programs, with which they could not be forked.
func forkable(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "[functions.\"*\"]\n", "[functions.\"*\"]\nisolation = \"request\"\n", 1)
	text = strings.Replace(text, "[functions.files]\nwrite = [\"/tmp/work/**\"]\n", "", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAllowedRequestWorks(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, _ := siteCopy(t, uid)
		err := os.WriteFile(filepath.Join(site, "functions/good.js"), []byte(`const { request } = require('../lib/try.js');
exports.handler = async () => ({ statusCode: 200, body: JSON.stringify({ charge: await request({}) }) });
`), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		world := newWorld(t)
		w := start(t, uid, site, world.flags...)
		if r := w.invoke(t, "good", nil); r.Body["charge"] != "status 200" {
			t.Errorf("the allowed charge: %s", r.Payload)
		}
		world.verify(t)
		if len(world.received) != 1 {
			t.Errorf("the allowed host received %q", world.received)
		}
	})
}

// TestLimits: every appetite ends at a limit, and the next request is served.
func TestLimits(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, _ := siteCopy(t, uid)
		w := start(t, uid, site)
		for what, want := range map[string]string{ // regular expressions
			"tmp": `blocked: E`, "inodes": `blocked: ENOSPC`, "files": `blocked: EMFILE`,
			"threads": "blocked: |was ended by SIGTRAP", // V8's way, if a thread is missing in the midst of its start
			"memory":  "ran out of memory", "heap": "ran out of memory", "spin": "timed out", "never": "timed out", "log": "flooded",
			"response": "too large", "exit": "status 7", "abort": "was ended by", "reject": "nobody catches me", "throwLater": "late",
		} {
			t.Run(what, func(t *testing.T) {
				name := "limits"
				if want == "timed out" {
					name = "patience"
				}
				r := w.invoke(t, name, map[string]string{"what": what})
				if strings.Contains(r.Payload, "OPEN") || !regexp.MustCompile("(?i)"+want).MatchString(r.Payload) {
					t.Errorf("%d %s, want %q", r.Status, r.Payload, want)
				}
				if r := w.invoke(t, name, map[string]string{"what": "calm"}); r.Body["calm"] != "calm" {
					t.Errorf("the next request: %d %s", r.Status, r.Payload)
				}
			})
		}
		if n := len(w.logged()); n > 1<<20 {
			t.Errorf("%d bytes of log", n)
		}
	})
}

// TestForgedAnswers: whatever a function writes to its descriptors, nobody gets another's answer.
func TestForgedAnswers(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, _ := siteCopy(t, uid)
		w := start(t, uid, site)
		for round, forge := range []string{"", "later", "", "now", "", "always", "", "", ""} {
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					id := fmt.Sprintf("r%d-%d", round, i)
					r := w.invoke(t, "forger", map[string]string{"id": id, "forge": forge})
					if strings.Contains(r.Payload, "forged") || (!r.Failed && !strings.Contains(r.Payload, id)) {
						t.Errorf("%s (forge %q) got %d %s", id, forge, r.Status, r.Payload)
					}
					if r.Failed && forge == "" {
						t.Errorf("%s failed: %s", id, r.Payload)
					}
				})
			}
			wg.Wait()
		}
	})
}

// TestNothingSurvives: when Weir ends, even killed, nothing of its sandboxes does.
func TestNothingSurvives(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, _ := siteCopy(t, uid)
		forkable(t, filepath.Join(site, "weir.toml"))
		w := start(t, uid, site)
		w.invoke(t, "limits", map[string]string{"what": "calm"})
		if zygote.Addon() != nil {
			w.awaitForked(t, 1)
		}
		kids := descendants(w.cmd.Process.Pid)
		if len(kids) == 0 {
			t.Fatal("no instance was running")
		}
		w.cmd.Process.Kill()
		w.cmd.Wait()
		for _, pid := range kids {
			waitGone(t, pid)
		}
	})
}

// descendants gives the processes below another, at any depth.
func descendants(pid int) []string {
	all := below(strconv.Itoa(pid))
	for i := 0; i < len(all); i++ {
		all = append(all, below(all[i])...)
	}
	return all
}
