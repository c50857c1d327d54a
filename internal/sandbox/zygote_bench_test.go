package sandbox

import "testing"

// BenchmarkFork is a child from the wish for it to its first answer.
func BenchmarkFork(b *testing.B) {
	p := startZygote(b, zygoteSpec(b, ""))
	for b.Loop() {
		c := fork(b, p)
		c.expect(b, "return 1", "1")
		b.StopTimer()
		c.Kill()
		c.Wait()
		c.out.Close()
		b.StartTimer()
	}
}
