package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func newScanner() *scanner {
	return &scanner{secret: [secretLen]byte([]byte("SECRET-of-16-byt")), limit: 100}
}

// encode writes a frame as the shim does.
func (s *scanner) encode(kind byte, seq uint32, payload []byte) []byte {
	b := append(bytes.Clone(s.secret[:]), kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// drain gives what the frames hold, with "!" for one that can't be taken.
func drain(s *scanner) (out []string) {
	for f, ok := s.next(); ok; f, ok = s.next() {
		if f.err != nil {
			out = append(out, "!")
		} else {
			out = append(out, string(f.payload))
		}
	}
	return out
}

func TestScanner(t *testing.T) {
	s := newScanner()
	one, two, empty := s.encode(outResult, 1, []byte("one")), s.encode(outError, 2, []byte("two")), s.encode(outLoaded, 3, nil)
	large := s.encode(outResult, 4, make([]byte, 101))
	report := s.encode(outReport, 0, bytes.Repeat([]byte("r"), 101))
	tooLarge := s.encode(outReport, 0, make([]byte, maxReport+1))
	endless := s.encode(outResult, 5, nil)
	binary.LittleEndian.PutUint32(endless[secretLen+8:], 1<<32-1)
	wrong := bytes.Clone(one)
	wrong[secretLen-1] ^= 1
	for name, c := range map[string]struct {
		in      []byte
		want    []string
		skipped int
	}{
		"nothing":               {nil, nil, 0},
		"one":                   {one, []string{"one"}, 0},
		"two":                   {slices.Concat(one, two), []string{"one", "two"}, 0},
		"empty payload":         {slices.Concat(empty, one), []string{"", "one"}, 0},
		"garbage before":        {slices.Concat([]byte("garbage"), one), []string{"one"}, 7},
		"garbage between":       {slices.Concat(one, []byte("garbage"), two), []string{"one", "two"}, 7},
		"garbage after":         {slices.Concat(one, []byte("garbage")), []string{"one"}, 7},
		"start of the secret":   {slices.Concat(s.secret[:9], one), []string{"one"}, 9},
		"starts of the secret":  {slices.Concat(s.secret[:1], s.secret[:15], s.secret[:3], one), []string{"one"}, 19},
		"wrong secret":          {wrong, nil, len(wrong)},
		"no secret":             {slices.Concat(one[secretLen:], two), []string{"two"}, len(one) - secretLen},
		"at the limit":          {s.encode(outResult, 1, bytes.Repeat([]byte("x"), 100)), []string{string(bytes.Repeat([]byte("x"), 100))}, 0},
		"over the limit":        {slices.Concat(large, one), []string{"!", "one"}, 0},
		"report has its own":    {slices.Concat(report, one), []string{string(bytes.Repeat([]byte("r"), 101)), "one"}, 0},
		"report too large":      {slices.Concat(tooLarge, one), []string{"!", "one"}, 0},
		"cut":                   {one[:len(one)-1], nil, 0},
		"cut in the head":       {one[:secretLen+3], nil, 0},
		"endless":               {endless, []string{"!"}, 0},
		"frame in a payload":    {s.encode(outResult, 1, two), []string{string(two)}, 0},
		"frame in what's large": {slices.Concat(s.encode(outResult, 1, slices.Concat(make([]byte, 100), two)), one), []string{"!", "one"}, 0},
	} {
		for _, chunk := range []int{1, 2, 7, 16, 27, 1 << 20} {
			s := newScanner()
			var got []string
			for part := range slices.Chunk(c.in, chunk) {
				s.feed(part)
				got = append(got, drain(s)...)
			}
			if !slices.Equal(got, c.want) || s.skipped != c.skipped {
				t.Errorf("%s by %d: %q, %d skipped; want %q, %d", name, chunk, got, s.skipped, c.want, c.skipped)
			}
		}
	}
}

func TestScannerTakesTheHead(t *testing.T) {
	s := newScanner()
	s.feed(s.encode(outError, 0xfedcba98, []byte("x")))
	if f, ok := s.next(); !ok || f.kind != outError || f.seq != 0xfedcba98 || string(f.payload) != "x" {
		t.Errorf("%+v %v", f, ok)
	}
	s.feed(s.encode(outResult, 7, make([]byte, 200)))
	if f, ok := s.next(); !ok || f.seq != 7 || weir.ErrorCode(f.err) != weir.TooLarge {
		t.Errorf("%+v %v", f, ok)
	}
}

func TestPayloadIsNotOverwritten(t *testing.T) {
	s := newScanner()
	s.feed(s.encode(outResult, 1, []byte("first")))
	f, _ := s.next()
	s.feed(s.encode(outResult, 1, []byte("other")))
	if string(f.payload) != "first" {
		t.Errorf("became %q", f.payload)
	}
}

func TestGarbageIsNotKept(t *testing.T) {
	s := newScanner()
	for range 1000 {
		s.feed(bytes.Repeat([]byte("S"), 1000)) // the secret's first byte
		drain(s)
	}
	if len(s.buf)-s.off > secretLen || cap(s.buf) > 1<<16 {
		t.Errorf("%d bytes kept in %d", len(s.buf)-s.off, cap(s.buf))
	}
}

// FuzzScanner: a process that does not know the secret writes anything around the shim's frames;
// every frame comes out, in order, and nothing else. Each byte of plan is one thing that is
// written, its bytes taken from data; cuts says where the stream is cut.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03"), []byte("garbage and payload"), []byte{1, 5, 200})
	f.Add([]byte("\x09\x0d\x11\x02\xfe\xff"), bytes.Repeat([]byte{0}, 300), []byte{1})
	f.Add([]byte(nil), []byte("x"), []byte(nil))
	f.Fuzz(func(t *testing.T, plan, data, cuts []byte) {
		sum := sha256.Sum256(slices.Concat(plan, []byte{0}, data)) // a secret that the data can't hold
		s := &scanner{secret: [secretLen]byte(sum[:secretLen]), limit: 20}
		var stream []byte
		var want []string
		garbage := 0
		for _, p := range plan {
			n := min(int(p>>2), len(data))
			part := data[:n]
			data = data[n:]
			switch p & 3 {
			case 0:
				stream = append(stream, part...)
				garbage += len(part)
			case 1: // half of the secret, as if it had been guessed; more of it could, by chance, be all of it
				guess := s.secret[:min(n, secretLen/2)]
				stream = append(stream, guess...)
				garbage += len(guess)
			case 2, 3:
				stream = append(stream, s.encode(outResult, uint32(p), part)...)
				if n > 20 {
					want = append(want, "!")
				} else {
					want = append(want, string(part))
				}
			}
		}
		var got []string
		for i := 0; len(stream) > 0; i++ {
			n := len(stream)
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)])+1)
			}
			s.feed(stream[:n])
			stream = stream[n:]
			got = append(got, drain(s)...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		// What is still in the buffer could have become a frame: a start of the secret at the end.
		if left := len(s.buf) - s.off; s.skipped+left != garbage || left >= secretLen {
			t.Fatalf("%d skipped and %d left of %d bytes of garbage", s.skipped, left, garbage)
		}
	})
}
