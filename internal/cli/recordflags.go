package cli

// The flags that say where records go.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

type recordFlags struct {
	file       string
	maxSize    size
	keep       int
	webhook    string
	secretFile string
	given      func(flag string) bool // tells whether it was
	once       bool                   // there is one invocation, and the command itself tells how it ended
}

func (f *recordFlags) register(c *cobra.Command) {
	f.maxSize = record.DefaultMaxSize
	fl := c.Flags()
	f.given = fl.Changed
	fl.StringVar(&f.file, "records", "", "append decisions and invocations to this `FILE`, one JSON object a line; -: to standard output")
	fl.Var(&f.maxSize, "records-max-size", "`SIZE` at which the file of records is put aside and the next one begun")
	fl.IntVar(&f.keep, "records-keep", record.DefaultKeep, "keep `N` files of records; the oldest is removed")
	fl.StringVar(&f.webhook, "records-webhook", "", "post records to this `URL`, too: https, or on this machine")
	fl.StringVar(&f.secretFile, "records-webhook-secret-file", "", "`FILE` with the secret that signs what is posted")
}

// minRecords is the smallest file of records: a few lines must fit.
const minRecords = 64 << 10

// toStdout tells whether records go to standard output, which then holds nothing else.
func (f *recordFlags) toStdout() bool { return f.file == "-" }

// sink is a recorder that must be closed.
type sink interface {
	record.Recorder
	Close() error
}

// open gives a recorder that sends records to people (the log) and to wherever the flags say. The caller
// must call the function it gets, which ends them in order.
func (f *recordFlags) open(s *streams, logger *slog.Logger, stateDir string) (record.Recorder, func(), error) {
	toLog := record.NewLog(logger)
	sinks := []sink{toLog}
	if f.once {
		sinks[0] = denialsOnly{toLog}
	}
	closeAll := func() {
		for _, k := range sinks {
			if err := k.Close(); err != nil {
				logger.Error("records are incomplete", "error", err)
			}
		}
	}
	file, err := f.primary(s, logger, stateDir)
	if file != nil {
		sinks = append(sinks, file)
	}
	if err == nil && f.webhook+f.secretFile != "" {
		var hook sink
		if hook, err = f.hook(logger); err == nil {
			sinks = append(sinks, hook)
		}
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	recorders := make([]record.Recorder, len(sinks))
	for i, k := range sinks {
		recorders[i] = k
	}
	return record.Multi(recorders...), closeAll, nil
}

// denialsOnly does not tell in the log how an invocation ended.
type denialsOnly struct{ *record.Log }

func (denialsOnly) Invoked(record.Invocation) {}

// primary gives what --records asks for, nil if nothing is asked for.
func (f *recordFlags) primary(s *streams, logger *slog.Logger, stateDir string) (sink, error) {
	switch {
	case f.maxSize < minRecords || f.keep < 1:
		return nil, &usageError{errors.New("--records-max-size must be at least 64KB and --records-keep at least 1")}
	case (f.file == "" || f.toStdout()) && (f.given("records-max-size") || f.given("records-keep")):
		return nil, &usageError{errors.New("--records-max-size and --records-keep are about a file: name it with --records")}
	case f.file == "":
		return nil, nil
	case f.toStdout():
		return record.NewStream(jsonLines{s.out}, logger), nil
	}
	key, err := record.LoadKey(stateDir)
	if err != nil {
		return nil, err
	}
	file, err := record.OpenFile(f.file, record.FileOptions{Key: key, MaxSize: int64(f.maxSize), Keep: f.keep, Logger: logger})
	if err != nil {
		return nil, err // not a nil *File in an interface
	}
	return file, nil
}

// jsonLines is where records go that a terminal may show.
type jsonLines struct{ to io.Writer }

func (j jsonLines) Write(b []byte) (int, error) {
	if _, err := io.WriteString(j.to, weir.PrintableJSON(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *recordFlags) hook(logger *slog.Logger) (sink, error) {
	if f.webhook == "" || f.secretFile == "" {
		return nil, &usageError{errors.New("--records-webhook and --records-webhook-secret-file need each other")}
	}
	secret, err := readFile(f.secretFile, "--records-webhook-secret-file")
	if err != nil {
		return nil, err
	}
	hook, err := record.NewWebhook(f.webhook, bytes.TrimRight(secret, "\r\n"), logger)
	if err != nil {
		return nil, err
	}
	return hook, nil
}

// written gives the files that this process writes: the records, and what its output may be redirected
// to. In the site's folder, each line would be a change of the site.
func (f *recordFlags) written() []string {
	var out []string
	for _, fd := range []string{"1", "2"} {
		if path, err := os.Readlink("/proc/self/fd/" + fd); err == nil && filepath.IsAbs(path) {
			out = append(out, path)
		}
	}
	if path, err := filepath.Abs(f.file); err == nil && f.file != "" && !f.toStdout() {
		out = append(out, path)
	}
	return out
}

// size is a flag in bytes: 64MB.
type size int64

var units = []struct {
	suffix string
	bytes  int64
}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}}

// Set reads a size.
func (s *size) Set(text string) error {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n > 0 && n <= math.MaxInt64/u.bytes {
				*s = size(n * u.bytes)
				return nil
			}
		}
	}
	return errors.New("must be a whole number with KB, MB or GB, such as 64MB")
}

// String gives it as it is written.
func (s *size) String() string {
	for i := len(units) - 1; i >= 0; i-- {
		if u := units[i]; *s > 0 && int64(*s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(*s)/u.bytes, u.suffix)
		}
	}
	return fmt.Sprintf("%dB", int64(*s))
}

// Type names it in the help.
func (s *size) Type() string { return "size" }
