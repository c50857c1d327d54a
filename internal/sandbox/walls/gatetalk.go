package walls

// What the gate and the supervisor say to each other over the control socket once the zygote runs, and
// what the gate has to say about a zygote that can't be forked.

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Command is what the supervisor wants.
type Command struct {
	Slot       int
	Generation uint32 // of a new child: with Slot, it names the child's sockets (MarkOf)
	Kill       bool   // the child in the slot; else a new one there, with the descriptors that come along
}

// ForkFiles is how many descriptors come with a Command for a child: its channel, its standard output and
// its standard error.
const ForkFiles = 3

// Event is what the gate tells.
type Event struct {
	Kind   string
	Slot   int
	Text   string
	Status int   // of Ended and Gone, as wait(2) gives it
	CPU    int64 // of Ended: hundredths of a second
}

// The kinds of events.
const (
	Ready    = "ready"    // the zygote has loaded the function and can be forked
	Unusable = "unusable" // it can't, Text says why
	Born     = "born"     // a child runs; its pidfd comes along
	Failed   = "failed"   // there will be no child, Text says why
	Ended    = "ended"    // a child has ended, or did before it was confined
	Refused  = "refused"  // a call was refused, Text is its name
	Gone     = "gone"     // the zygote has ended, and so has everything
)

// command carries out what the supervisor wants. It tells whether that is still there.
func (g *gate) command() bool {
	var b [256]byte
	oob := make([]byte, unix.CmsgSpace(4*ForkFiles))
	n, on, _, _, err := unix.Recvmsg(g.ctl.fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err == unix.EINTR {
		return true
	}
	var c Command
	if err != nil || n == 0 || json.Unmarshal(b[:n], &c) != nil || c.Slot < 1 || c.Slot >= len(g.slots) {
		return false
	}
	files, s := rights(oob[:on]), &g.slots[c.Slot]
	switch {
	case c.Kill && s.pid != 0:
		unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
	case c.Kill && s.stage == wanted:
		g.fail(c.Slot, "not wanted any more")
	case !c.Kill && len(files) == ForkFiles && s.stage == unused:
		*s = slot{stage: wanted, mark: MarkOf(c.Slot, c.Generation), files: files}
		return true
	case !c.Kill:
		return false
	}
	return true
}

// say tells the supervisor. A message that it has no room for yet waits: it always reads.
func (g *gate) say(e Event, fds []int) {
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for {
		if err := unix.Sendmsg(g.ctl.fd, b, oob, nil, unix.MSG_NOSIGNAL); err != unix.EINTR {
			return
		}
	}
}

// tokens bounds how many refused calls of one process are told: so many at once, and one for each pause
// from then on.
type tokens struct {
	left float64
	last time.Time
}

const (
	refusedBurst = 256
	refusedPause = time.Millisecond
)

func (t *tokens) take() bool {
	now := time.Now()
	if t.last.IsZero() {
		t.left = refusedBurst
	} else {
		t.left = min(refusedBurst, t.left+float64(now.Sub(t.last)/refusedPause))
	}
	t.last = now
	if t.left < 1 {
		return false
	}
	t.left--
	return true
}

// record tells of a refused call. The C library's resolver looks for a name service cache daemon at a unix
// socket, from whichever thread resolves a name: such sockets count on a process's first thread only.
func (g *gate) record(name string, tid int) {
	s := g.slotOf(tid)
	if s < 0 || !g.slots[s].recorded.take() {
		return
	}
	if name == "socket(AF_UNIX)" && tid != g.zygote && tid != g.slots[s].pid {
		return
	}
	g.say(Event{Kind: Refused, Slot: s, Text: name}, nil)
}

// audit says why a zygote that has loaded its function can't be forked, "" if it can: what it holds that
// its children would share with each other, or that would not work in them. (Handles of libuv are the
// zygote's own to look at; they are its own concern, too, for in a child they just don't work.)
func (g *gate) audit(requests int) string {
	if requests > 0 {
		return "something that was begun while it was loaded is still going on"
	}
	dir := path.Join(realProc, fmt.Sprint(g.zygote))
	if cwd, err := os.Readlink(dir + "/cwd"); err != nil || strings.HasPrefix(cwd, realProc) {
		return "its working directory was left in /tmp"
	}
	if made, err := os.ReadDir(path.Join(dir, tmpMount)); err != nil || len(made) > 0 {
		return "it wrote to /tmp while it was loaded"
	}
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return "its descriptors can't be looked at"
	}
	for _, e := range entries {
		if e.Name() == "0" || e.Name() == "1" || e.Name() == "2" {
			continue
		}
		file, err := os.Readlink(path.Join(dir, "fd", e.Name()))
		if err != nil {
			return "its descriptors can't be looked at"
		}
		if why := shared(file); why != "" {
			return why
		}
	}
	return ""
}

// shared says what is wrong with an open file of a zygote, named as in /proc/PID/fd. Pipes, eventfds and
// epolls belong to libuv; each child closes those that it inherited.
func shared(file string) string {
	switch kind, _, _ := strings.Cut(file, ":"); {
	case kind == "socket":
		return "a socket was left open while it was loaded"
	case file == "anon_inode:inotify":
		return "a file was left watched while it was loaded"
	case kind == "pipe", file == "anon_inode:[eventfd]", file == "anon_inode:[eventpoll]",
		file == "anon_inode:landlock-ruleset", file == "anon_inode:[landlock-ruleset]", strings.HasPrefix(file, "/dev/"):
		return ""
	}
	return "a file was left open while it was loaded: " + file
}
