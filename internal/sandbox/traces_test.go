package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// TestTraces: what the program writes to /tmp shows from outside, and what it only looks at doesn't.
func TestTraces(t *testing.T) {
	orders, program, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := nodeSpec(t, `
	const fs = require('fs');
	const wait = () => fs.readSync(3, Buffer.alloc(1));
	fs.readdirSync('/tmp');
	console.log('looked'); wait();
	fs.writeFileSync('/tmp/x', 'x'); fs.unlinkSync('/tmp/x');
	console.log('wrote'); wait();`)
	s.Write = []string{"/tmp/**"}
	s.Files = []*os.File{orders}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdout = stdout
	p := start(t, launcher(t, Options{}), s)
	orders.Close()
	stdout.Close()
	said := func(want string) time.Time {
		t.Helper()
		b := make([]byte, len(want)+1)
		if _, err := io.ReadFull(out, b); err != nil || string(b) != want+"\n" {
			t.Fatalf("%q %v", b, err)
		}
		changed, err := p.TmpChanged()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(program, "\n")
		return changed
	}
	before := said("looked")
	if libraries, err := p.Libraries(); err != nil || len(libraries) > 0 {
		t.Errorf("%q %v", libraries, err)
	}
	if after := said("wrote"); !after.After(before) {
		t.Errorf("%v, then %v", before, after)
	}
	p.Wait()
	if _, err := p.TmpChanged(); err == nil {
		t.Error("a program that has ended left traces")
	}
	if _, err := p.Libraries(); err == nil {
		t.Error("a program that has ended has libraries")
	}
}

func TestExecutable(t *testing.T) {
	got := executable(bytes.Join([][]byte{
		[]byte("7f00-7f01 r-xp 00000000 00:2a 11                         /var/task/node_modules/a b/x.node"),
		[]byte("7f01-7f02 r-xp 00001000 00:2a 11                         /var/task/node_modules/a b/x.node"),
		[]byte("7f02-7f03 rw-p 00000000 00:2a 12                         /var/task/data.bin"),
		[]byte("7f03-7f04 r-xp 00000000 00:2a 13                         /usr/lib/libc.so.6"),
		[]byte("7f04-7f05 r-xp 00000000 00:00 0 "), nil}, []byte("\n")), "/var/task/")
	if fmt.Sprint(got) != "[/var/task/node_modules/a b/x.node]" {
		t.Errorf("%q", got)
	}
}
