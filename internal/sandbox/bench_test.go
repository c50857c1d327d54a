package sandbox

// What a sandbox costs: compare BenchmarkStart with BenchmarkBare in the same run.

import (
	"context"
	"os/exec"
	"testing"
)

// BenchmarkStart runs Node in a sandbox, from Start to its end.
func BenchmarkStart(b *testing.B) {
	l := launcher(b, Options{})
	s := nodeSpec(b, "0")
	for b.Loop() {
		p, err := l.Start(context.Background(), s)
		if err != nil {
			b.Fatal(err)
		}
		p.Wait()
	}
}

// BenchmarkBare runs Node without a sandbox.
func BenchmarkBare(b *testing.B) {
	n := node(b)
	for b.Loop() {
		if err := exec.Command(n, "-e", "0").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalls is everything but Node: raising, executing and ending a program that does
// nothing.
func BenchmarkWalls(b *testing.B) {
	l := launcher(b, Options{})
	s := probeSpec(b, "nothing")
	for b.Loop() {
		p, err := l.Start(context.Background(), s)
		if err != nil {
			b.Fatal(err)
		}
		p.Wait()
	}
}
