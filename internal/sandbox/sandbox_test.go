package sandbox

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

func TestTry(t *testing.T) {
	l, err := NewLauncher(Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatalf("%v\n%+v", err, Diagnose(err))
	}
	for _, w := range l.Walls() {
		t.Logf("%+v", w)
	}
	r, w, _ := os.Pipe()
	p, err := l.Start(context.Background(), &Spec{Name: "x", Argv: []string{"/usr/bin/node", "-e", "console.log(process.version, process.memoryUsage(), os.cpus().length, fs.readFileSync('/proc/self/mountinfo','utf8'), fs.readFileSync('/proc/self/status','utf8'))"},
		Programs: []string{"/usr/bin/node"}, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	io.Copy(&b, r)
	t.Log(b.String())
	t.Logf("%+v", p.Wait())
	for a := range p.Attempts() {
		t.Log(a)
	}
}
