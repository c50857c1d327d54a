package build

// What the functions of a deploy are, without making anything of them. An archive is the same whenever it comes: of a
// deploy in which one function has changed, one is read.

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/weir-run/weir/internal/weir"
)

// maxExamined bounds what an Examiner remembers, in bytes of each of two generations.
const maxExamined = 8 << 20

// Examiner remembers what it has read. The zero Examiner is ready to be used, and safe for concurrent use.
type Examiner struct {
	mu         sync.Mutex
	now, older map[[sha256.Size]byte][]byte // outputs without their files, as a child sends them
	size       int                          // of now
}

// Examined is the functions of a deploy, sorted by name.
type Examined struct {
	Functions []Function // of each Bundle only Function and, unless Err is set, Config
	Warnings  []string   // as an Artifact's
}

// Examine reads archives as Unpack does, and makes no artifact of them. Errors are those of Unpack.
func (e *Examiner) Examine(ctx context.Context, o UnpackOptions) (*Examined, error) {
	built, done, err := readArchives(ctx, o, e)
	if err != nil {
		return nil, err
	}
	done()
	out := &Examined{}
	for _, b := range built {
		f := Function{Bundle: weir.Bundle{Function: b.name}, Policy: b.policy, Err: b.err}
		if b.err == nil {
			f.Bundle.Config = b.config
		}
		out.Functions = append(out.Functions, f)
	}
	out.Warnings = warnings(built, out.Functions)
	return out, nil
}

// keyOf tells archives apart that may be read differently, and those of different owners: what an archive made of the
// process that reads it is believed of nobody else's.
func keyOf(owner string, a Archive, env map[string]string) [sha256.Size]byte {
	all, err := json.Marshal([]any{owner, a.Name, a.SHA256, a.Config, a.Packed, env})
	if err != nil {
		panic(err) // it is text and numbers
	}
	return sha256.Sum256(all)
}

// find gives what an archive was when it was read; a nil Examiner knows none.
func (e *Examiner) find(owner string, a Archive, env map[string]string) (output, bool) {
	if e == nil {
		return output{}, false
	}
	key := keyOf(owner, a, env)
	e.mu.Lock()
	kept, ok := e.now[key]
	if !ok {
		if kept, ok = e.older[key]; ok {
			e.keep(key, kept)
		}
	}
	e.mu.Unlock()
	var w wire
	if !ok || json.Unmarshal(kept, &w) != nil {
		return output{}, false
	}
	return w.output(), true
}

// note remembers what an archive is. What kept it from being read may pass.
func (e *Examiner) note(owner string, a Archive, env map[string]string, o output) {
	if e == nil || o.err != nil {
		return
	}
	o.files = nil
	kept, err := json.Marshal(o.wire())
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keep(keyOf(owner, a, env), kept)
}

// keep adds to what is remembered. What nobody has asked for since half of it was added is forgotten. The caller holds
// e.mu.
func (e *Examiner) keep(key [sha256.Size]byte, kept []byte) {
	if e.size += len(kept); e.now == nil || e.size > maxExamined {
		e.now, e.older, e.size = map[[sha256.Size]byte][]byte{}, e.now, len(kept)
	}
	e.now[key] = kept
}
