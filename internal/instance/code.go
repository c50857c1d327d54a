package instance

// Compiled code that a function's instances share, so that each starts faster. It is made once, after the
// first instance has started, in a sandbox in which no code but the shim's runs, and kept in the state
// directory for the next server; see runtime.Code.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

const (
	// compileTime bounds the compilation of one pack.
	compileTime = 30 * time.Second
	// maxCodeDir bounds the compiled code that is kept, in bytes. What was not used for the longest time goes first.
	maxCodeDir = 256 << 20
)

// compiled is the compiled code of one pool's function. Its methods may be called on nil, which has none.
type compiled struct {
	cfg    *Config
	limits weir.Limits

	mu    sync.Mutex
	code  *runtime.Code
	tried int  // times that it was looked for or made
	told  bool // that it was rejected
}

// maxTried is two: code that was rejected is made anew, once.
const maxTried = 2

func newCompiled(cfg *Config, limits weir.Limits) *compiled {
	if !cfg.Bundle.Pack || cfg.CodeDir == "" {
		return nil
	}
	c := &compiled{cfg: cfg, limits: limits}
	if file, err := c.file(); err == nil {
		c.code = readCode(file)
	}
	return c
}

// get gives the code, nil if there is none yet.
func (c *compiled) get() *runtime.Code {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code
}

// want makes the code unless it is there. A failure is no harm: functions start without it.
func (c *compiled) want(ctx context.Context) {
	if c == nil {
		return
	}
	c.mu.Lock()
	needed := c.code == nil && c.tried < maxTried
	if needed {
		c.tried++
	}
	c.mu.Unlock()
	if !needed {
		return
	}
	code, err := c.make(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.cfg.Logger.Warn("the function's code can't be compiled ahead", "function", c.cfg.Function, "error", err)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code = code
}

// reject drops code that V8 can't use. Who says so may be the function: it can only slow itself down.
func (c *compiled) reject() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code == nil || c.told {
		return
	}
	c.code, c.told = nil, true
	c.cfg.Logger.Warn("the code that was compiled ahead is not for this Node.js; it is compiled anew", "function", c.cfg.Function)
}

// file gives the place of the code in the state directory.
func (c *compiled) file() (string, error) {
	dir := filepath.Join(c.cfg.Bundle.Dir, weir.PackDir)
	pack, err := os.Open(filepath.Join(dir, "pack.js"))
	if err != nil {
		return "", err
	}
	defer pack.Close()
	index, err := os.Open(filepath.Join(dir, "pack.json"))
	if err != nil {
		return "", err
	}
	defer index.Close()
	key, err := runtime.CodeKey(c.cfg.Node, c.limits, pack, index)
	return filepath.Join(c.cfg.CodeDir, key), err
}

// make compiles the pack and keeps the result.
func (c *compiled) make(ctx context.Context) (*runtime.Code, error) {
	file, err := c.file()
	if err != nil {
		return nil, err
	}
	raw, err := c.compile(ctx)
	if err != nil {
		return nil, err
	}
	code, err := runtime.ParseCode(raw)
	if err != nil {
		return nil, err
	}
	return code, keepCode(file, raw)
}

// compile runs the compiler in a sandbox of its own, which has no way out.
func (c *compiled) compile(ctx context.Context) ([]byte, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	proc, err := c.cfg.Fleet.o.Launcher.Start(ctx, &sandbox.Spec{
		Name:     c.cfg.Function,
		Argv:     runtime.CompileArgv(c.cfg.Node, c.limits),
		Env:      runtime.Environ(),
		Files:    []*os.File{theirs},
		Programs: []string{c.cfg.Node.Path},
		Bundle:   c.cfg.Bundle.Dir,
		Content:  runtime.Content(),
		Reserve:  runtime.Reserve(c.cfg.Node, c.limits),
		Limits:   c.limits,
	})
	theirs.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, proc.Kill)
	defer stop()
	late := time.AfterFunc(compileTime, proc.Kill)
	defer late.Stop()
	raw, err := io.ReadAll(io.LimitReader(ours, runtime.MaxCode+1))
	if len(raw) > runtime.MaxCode {
		proc.Kill()
	}
	if exit := proc.Wait(); exit.Code != 0 {
		return nil, fmt.Errorf("the compiler ended with status %d %s", exit.Code, exit.Signal)
	}
	return raw, err
}

// readCode reads kept code, and gives nil if there is none or it is damaged: V8 would believe it.
func readCode(file string) *runtime.Code {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, runtime.MaxCode+sha256.Size+1))
	if err != nil || len(b) < sha256.Size || len(b) > runtime.MaxCode+sha256.Size {
		return nil
	}
	sum := sha256.Sum256(b[sha256.Size:])
	if !bytes.Equal(sum[:], b[:sha256.Size]) {
		return nil
	}
	code, err := runtime.ParseCode(b[sha256.Size:])
	if err != nil {
		return nil
	}
	now := time.Now()
	os.Chtimes(file, now, now) // it was used
	return code
}

// keepCode writes code with its hash in front, where only this user may read or write.
func keepCode(file string, raw []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	sum := sha256.Sum256(raw)
	_, err = tmp.Write(append(sum[:], raw...))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return boundDir(dir, maxCodeDir)
}

// boundDir removes the files that were not used for the longest time until the rest is within a bound.
func boundDir(dir string, bound int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var sum int64
	for _, info := range files {
		if sum += info.Size(); sum > bound {
			if err := os.Remove(filepath.Join(dir, info.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
