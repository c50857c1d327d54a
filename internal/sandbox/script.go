package sandbox

// Programs that are scripts: the interpreter in their first line is the program (execve(2)).

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// scriptPath is where "#!/usr/bin/env NAME" is looked up: the PATH of a sandbox.
var scriptPath = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// maxFirstLine is the kernel's BINPRM_BUF_SIZE, in bytes.
const maxFirstLine = 256

// readScript gives the files of a script: itself and its interpreter's.
func readScript(path, real string) (*program, error) {
	f, err := os.Open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxFirstLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, err
	}
	interpreters, err := interpretersOf(line)
	if err != nil {
		return nil, fmt.Errorf("%s is neither an ELF file nor a script: %w", path, err)
	}
	parts := []part{{target: path, source: real, exec: true}}
	for _, i := range interpreters {
		// The interpreter must not be a script again: the kernel would follow, but hardly anybody
		// does that, and a chain of scripts can be a circle.
		if _, err := readObject(i); err != nil {
			return nil, fmt.Errorf("%s is a script: its interpreter %s: %w", path, i, err)
		}
		p, err := readProgram(i)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p.parts...)
	}
	return &program{parts: parts}, nil
}

// interpretersOf reads a "#!" line: the interpreter and, if that is env, what env will start.
func interpretersOf(line string) ([]string, error) {
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil, fmt.Errorf("it has no #! line")
	}
	words := strings.Fields(rest)
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return nil, fmt.Errorf("its #! line names no absolute path")
	}
	out := []string{filepath.Clean(words[0])}
	if filepath.Base(words[0]) != "env" {
		return out, nil
	}
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "-") || strings.Contains(w, "=") {
			continue
		}
		for _, dir := range scriptPath {
			p := filepath.Join(dir, w)
			if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
				return append(out, p), nil
			}
		}
		return nil, fmt.Errorf("its #! line names %s, which is not in %s", w, strings.Join(scriptPath, ":"))
	}
	return nil, fmt.Errorf("its #! line names no interpreter")
}
