package natsstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
)

const crashDir = "WEIR_TEST_STORE_DIR" // set: this process writes there until it is killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashing is a store as those who write and those who check see it.
type crashing struct {
	kv    store.KV
	log   store.Stream
	blobs store.Blobs
}

func openCrashing(ctx context.Context, dir string) (*Store, crashing, error) {
	var c crashing
	s, err := Open(ctx, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return nil, c, err
	}
	c.blobs = s.Blobs()
	if c.kv, err = s.KV(ctx, "values"); err == nil {
		c.log, err = s.Stream(ctx, "log", store.Bounds{})
	}
	return s, c, err
}

// writeForEver goes on where the one before ended, and prints each step when it was acknowledged.
func writeForEver(dir string) error {
	ctx := context.Background()
	_, c, err := openCrashing(ctx, dir)
	if err != nil {
		return err
	}
	i := 1
	if last, err := c.kv.Get(ctx, "last"); err == nil {
		if i, err = strconv.Atoi(string(last.Value)); err != nil {
			return err
		}
	}
	for ; ; i++ {
		// What the one before has appended already is told by its id.
		if _, err := c.log.Append(ctx, "s", strconv.Itoa(i), []byte(strconv.Itoa(i))); err != nil {
			return err
		}
		if _, err := c.kv.Create(ctx, "once."+strconv.Itoa(i), []byte(strconv.Itoa(i))); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		if _, err := c.blobs.Put(ctx, bytes.NewReader(crashContent(i)), ""); err != nil {
			return err
		}
		if _, err := c.kv.Put(ctx, "last", []byte(strconv.Itoa(i))); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func crashContent(i int) []byte { return bytes.Repeat([]byte(strconv.Itoa(i)), 200_000) }

// TestKilled: whenever the process is killed, all that it acknowledged is there afterwards, and nothing is torn.
func TestKilled(t *testing.T) {
	var dir string
	acknowledged := 0
	for round := range kills(5) {
		if round%10 == 0 { // all is read back each time
			dir, acknowledged = t.TempDir(), 0
		}
		acknowledged = max(acknowledged, killedWriter(t, dir, 3+rand.IntN(8), time.Duration(rand.IntN(4000))*time.Microsecond))
		s, c, err := openCrashing(t.Context(), dir)
		must(t, err)
		checkKilled(t, c, acknowledged)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		s.Close()
	}
}

// killedWriter starts a writer, kills it some time after so many steps, and gives the last that was acknowledged.
func killedWriter(t *testing.T, dir string, steps int, after time.Duration) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		last, err = strconv.Atoi(lines.Text())
		must(t, err)
		if n == steps {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait()
	if cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %s", stderr.Bytes())
	}
	return last
}

func checkKilled(t *testing.T, c crashing, acknowledged int) {
	t.Helper()
	ctx := t.Context()
	messages, err := c.log.Read(ctx, "", 0, acknowledged+100)
	must(t, err)
	if len(messages) < acknowledged {
		t.Errorf("%d messages of %d", len(messages), acknowledged)
	}
	for i, m := range messages {
		if want := strconv.Itoa(i + 1); string(m.Data) != want || m.Seq != uint64(i+1) {
			t.Errorf("message %s: %d %q", want, m.Seq, m.Data)
		}
	}
	last, err := c.kv.Get(ctx, "last")
	must(t, err)
	if n, err := strconv.Atoi(string(last.Value)); err != nil || n < acknowledged {
		t.Errorf("the last value is %q, %d was acknowledged", last.Value, acknowledged)
	}
	must(t, c.blobs.Tidy(ctx, 0))
	whole := map[string]bool{}
	must(t, c.blobs.List(ctx, func(b store.Blob) error {
		r, _, err := c.blobs.Open(ctx, b.SHA256)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		whole[string(got)] = true
		return err
	}))
	keys, err := c.kv.Keys(ctx, "once")
	must(t, err)
	for i := range acknowledged {
		if !slices.Contains(keys, "once."+strconv.Itoa(i+1)) {
			t.Errorf("value %d is lost", i+1)
		}
		if !whole[string(crashContent(i+1))] {
			t.Errorf("blob %d is lost", i+1)
		}
	}
}

// kills gives how often it is tried: more, if there is time.
func kills(n int) int {
	if os.Getenv("WEIR_SOAK") != "" {
		return 100
	}
	return n
}
