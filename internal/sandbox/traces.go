package sandbox

// What a sandbox was allowed to do leaves no refusal. Whoever wants to know all the same, as
// monitoring does, looks for its traces from outside.

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// maxMaps bounds how much of a process's list of mappings is read, in bytes.
const maxMaps = 4 << 20

// TmpChanged says when something in the private /tmp was made, renamed or removed last; directories in
// it are not looked into. The error is that of the look: the program may have ended.
func (p *Process) TmpChanged() (time.Time, error) {
	st, err := os.Lstat(fmt.Sprintf("/proc/%d/root%s", p.first.pid, tmpTarget))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// Libraries gives the native libraries of the bundle that the program has loaded, by their paths
// inside, sorted. The error is as for TmpChanged.
func (p *Process) Libraries() ([]string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", p.first.pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	maps, err := io.ReadAll(io.LimitReader(f, maxMaps))
	return executable(maps, bundleTarget+"/"), err
}

// executable gives the files below dir that are mapped to be executed (proc_pid_maps(5)).
func executable(maps []byte, dir string) []string {
	var files []string
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) < 6 || !bytes.Contains(fields[1], []byte("x")) {
			continue
		}
		if i := bytes.Index(line, []byte(" "+dir)); i >= 0 {
			files = append(files, string(bytes.TrimSuffix(line[i+1:], []byte("\n"))))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
