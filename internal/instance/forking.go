package instance

// Zygotes: processes that have loaded a function and are forked for its instances. Whether that works
// depends on the machine, on Node.js and on the function; where it doesn't, an instance is started by
// itself, and the reason is told.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	forkaddon "github.com/weir-run/weir/internal/sandbox/zygote"
	"github.com/weir-run/weir/internal/weir"
)

// zygoteChildren is how many children a zygote may have at a time.
const zygoteChildren = 32

// errNoAddon is why a Weir that was built without a C compiler has no zygotes.
var errNoAddon = errors.New("this weir was built without the addon that forks Node.js")

// startZygote starts a zygote for what s is the Spec of an instance of, and has it load the function. The
// error says why the function has none; nothing is left of the sandbox then. addon is zygote.Addon's.
func startZygote(ctx context.Context, l *sandbox.Launcher, s sandbox.Spec, addon []byte, r runtime.LoadRequest) (*sandbox.Process, error) {
	if addon == nil {
		return nil, errNoAddon
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := runtime.Dial(ours, runtime.ConnOptions{})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s.Argv, s.Files, s.Zygote = runtime.ZygoteArgv(r.Node, r.Limits), []*os.File{theirs}, zygoteChildren
	s.Content = maps.Clone(s.Content)
	s.Content[forkaddon.Path] = addon
	p, err := l.Start(ctx, &s)
	if err != nil {
		return nil, err
	}
	theirs.Close()
	if _, err = conn.Load(r, time.Now().Add(loadTime)); err == nil {
		ctx, cancel := context.WithTimeout(ctx, loadTime)
		defer cancel()
		err = p.WaitReady(ctx)
	}
	if err != nil {
		p.Kill()
		p.Wait()
		return nil, err
	}
	return p, nil
}

// fork makes a child of a zygote and tells it what it is.
func fork(ctx context.Context, z *sandbox.Process, stdout, stderr *os.File, r runtime.LoadRequest, o runtime.ConnOptions) (*sandbox.Child, *runtime.Conn, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	conn, err := runtime.Dial(ours, o)
	if err != nil {
		return nil, nil, err
	}
	c, err := z.Fork(ctx, theirs, stdout, stderr)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	theirs.Close()
	if _, err := conn.Load(r, time.Now().Add(loadTime)); err != nil {
		conn.Close()
		c.Kill()
		c.Wait()
		return nil, nil, err
	}
	return c, conn, nil
}

// Forking says whether functions can be forked on this machine with this Node.js: it tries.
func Forking(ctx context.Context, l *sandbox.Launcher, n runtime.Node) sandbox.Wall {
	return forking(ctx, l, n, forkaddon.Addon())
}

func forking(ctx context.Context, l *sandbox.Launcher, n runtime.Node, addon []byte) sandbox.Wall {
	w := sandbox.Wall{Name: sandbox.Zygote, State: sandbox.InForce,
		Detail: "instances can be forked from a process that has loaded their function; tried with Node.js " + n.Version}
	err := tryForking(ctx, l, n, addon)
	if err == nil {
		return w
	}
	w.State = sandbox.Fallback
	w.Detail = fmt.Sprintf("each instance is started by itself, which takes longer (%v)", err)
	w.Remedy = "use another version of Node.js; all else works without"
	var e *weir.Error
	switch {
	case errors.Is(err, errNoAddon):
		w.Remedy = "build it where there is one (make build with cc)"
	case errors.As(err, &e) && e.Remedy != "":
		w.Remedy = e.Remedy
	}
	return w
}

// trial is a function to try it with.
const trial = "exports.handler = async (event) => ({ event, pid: process.pid });"

// tryForking forks a function twice and calls both children.
func tryForking(ctx context.Context, l *sandbox.Launcher, n runtime.Node, addon []byte) error {
	dir, err := os.MkdirTemp("", "weir-trial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "f.js"), []byte(trial), 0o644))
	if err != nil {
		return err
	}
	limits := weir.Limits{}.WithDefaults()
	r := runtime.LoadRequest{Node: n, Limits: limits,
		Bundle: weir.Bundle{Function: "trial", Dir: dir, Entry: "f.js", Export: "handler"}}
	content := runtime.Content()
	content[runtime.CertPath] = nil
	z, err := startZygote(ctx, l, sandbox.Spec{Name: "trial", Env: runtime.Environ(), Programs: []string{n.Path}, Bundle: dir,
		Content: content, Reserve: runtime.Reserve(n, limits), Limits: limits}, addon, r)
	if err != nil {
		return err
	}
	defer func() {
		z.Kill()
		z.Wait()
	}()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	var answers []string
	for range 2 {
		_, conn, err := fork(ctx, z, null, null, r, runtime.ConnOptions{})
		if err != nil {
			return err
		}
		defer conn.Close()
		res, _, err := conn.Invoke(weir.Invocation{ID: "trial", Function: "trial", Event: []byte("1")}, time.Now().Add(loadTime), func() {})
		if err == nil && res.Error != nil {
			err = res.Error
		}
		if err != nil {
			return err
		}
		answers = append(answers, string(res.Payload))
	}
	if answers[0] == answers[1] {
		return fmt.Errorf("two children gave the same answer: %s", answers[0])
	}
	return nil
}
