package cli

// The flags that say where records go.

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/record"
)

type recordFlags struct {
	file    string
	maxSize size
	keep    int
}

func (f *recordFlags) register(c *cobra.Command) {
	f.maxSize = record.DefaultMaxSize
	fl := c.Flags()
	fl.StringVar(&f.file, "records", "", "append decisions and invocations to this file, one JSON object a line")
	fl.Var(&f.maxSize, "records-max-size", "size at which the file of records is put aside and the next one begun")
	fl.IntVar(&f.keep, "records-keep", record.DefaultKeep, "how many files of records are kept; the oldest is removed")
}

// minRecords is the smallest file of records: a few lines must fit.
const minRecords = 64 << 10

// open gives a recorder that sends records to people (the log) and to wherever the flags say. The caller
// must call the function it gets.
func (f *recordFlags) open(logger *slog.Logger, stateDir string) (record.Recorder, func(), error) {
	if f.maxSize < minRecords || f.keep < 1 {
		return nil, nil, &usageError{errors.New("--records-max-size must be at least 64KB and --records-keep at least 1")}
	}
	people := record.NewLog(logger)
	if f.file == "" {
		return people, func() { people.Close() }, nil
	}
	key, err := record.LoadKey(stateDir)
	if err != nil {
		return nil, nil, err
	}
	file, err := record.OpenFile(f.file, record.FileOptions{Key: key, MaxSize: int64(f.maxSize), Keep: f.keep, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return record.Multi(people, file), func() {
		people.Close()
		if err := file.Close(); err != nil {
			logger.Error("records are incomplete", "file", f.file, "error", err)
		}
	}, nil
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
	if path, err := filepath.Abs(f.file); err == nil && f.file != "" {
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
