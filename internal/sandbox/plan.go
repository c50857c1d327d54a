package sandbox

// From a Spec to the configuration of the first process: every path is looked at and every limit
// becomes a number here, so that the first process only carries out.

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

const (
	// ownThreads are the threads that a program of the size of Node has before user code adds
	// any: Node 20 on two processors has 11, and starts a few more for WebAssembly and file
	// watching.
	ownThreads = 24
	// ownData is the writable memory that such a program reserves without using it (RLIMIT_DATA
	// counts what is mapped, not what is touched): mostly stacks of its threads, 8 MB each.
	ownData = 128 << 20
	dnsPort = 53
	// hostname is the same in every sandbox: some start before it is known whom they will serve.
	hostname = "function"
	// maxFiles bounds Spec.Files.
	maxFiles = 64
)

type planner struct {
	launcher *Launcher
	spec     *Spec
	id       identity
	limits   weir.Limits
	cfg      *walls.Config
	dirs     []string  // of the host that functions may write, without links
	written  []written // the same and single files, by rule
}

// plan makes the configuration.
func (l *Launcher) plan(s *Spec, id identity) (*walls.Config, error) {
	p := &planner{launcher: l, spec: s, id: id, limits: s.Limits.WithDefaults()}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.cfg = l.mode.config()
	p.cfg.Hostname = hostname
	p.cfg.Argv, p.cfg.Env = s.Argv, s.Env
	p.cfg.Dir = "/"
	p.cfg.Files = len(s.Files)
	p.cfg.Slots = s.Zygote
	p.cfg.Ports = append([]uint16{80, 443}, s.Ports...)
	p.cfg.Loopback = s.Loopback
	p.cfg.UDPPorts = s.UDPPorts
	p.cfg.UDPAll = s.UDPAll && p.cfg.CaptureAll
	for path, data := range s.Content {
		p.cfg.Content = append(p.cfg.Content, walls.File{Path: path, Data: data})
	}
	p.dirs = s.writable()
	p.written = s.written(p.dirs)
	for _, step := range []func() error{p.checkOwn, p.addPrograms, p.addBundle, p.addGrants} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	p.addLimits()
	// What lies in another mount is mounted after it.
	slices.SortStableFunc(p.cfg.Binds, func(a, b walls.Bind) int {
		return strings.Count(a.Target, "/") - strings.Count(b.Target, "/")
	})
	return p.cfg, nil
}

// check refuses a Spec that is wrong in itself.
func (p *planner) check() error {
	s := p.spec
	if len(s.Argv) == 0 || !slices.Contains(s.Programs, s.Argv[0]) {
		return invalid("the command of sandbox %s is none of its programs", s.Name)
	}
	if len(s.Files) > maxFiles {
		return invalid("sandbox %s is given %d descriptors, more than %d", s.Name, len(s.Files), maxFiles)
	}
	if s.Zygote > 0 {
		if !p.launcher.mode.forks() {
			return &weir.Error{Code: weir.NoWall, Message: "no zygote can be had on this machine", Remedy: "see weir doctor"}
		}
		if why := s.unsuited(); why != "" || s.Zygote > walls.MaxSlots {
			return invalid("%s can't be a zygote: %s", s.Name, cmp.Or(why, "too many children"))
		}
	}
	if slices.Contains(s.UDPPorts, dnsPort) {
		return invalid("port %d of %s is DNS, which is captured by itself", dnsPort, s.Name)
	}
	if l := p.limits; l.Memory < 0 || l.CPU < 0 || l.Tmp < 0 || l.Processes < 0 || l.Files < 0 {
		return invalid("a limit of %s is negative", s.Name)
	}
	for path := range s.Content {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || within(path, bundleTarget) || within(path, tmpTarget) {
			return invalid("%s can't be the path of a file to create", path)
		}
	}
	for _, path := range slices.Concat(s.Programs, s.Exec) {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return invalid("program %q is not an absolute path", path)
		}
	}
	return nil
}

// addPrograms binds the program and those it may start, with their libraries.
func (p *planner) addPrograms() error {
	for _, path := range p.spec.Programs {
		if err := p.addProgram("program "+path, path, true); err != nil {
			return err
		}
	}
	for _, path := range p.spec.Exec {
		if within(path, bundleTarget) {
			e := invalid("exec rule %s: nothing in the bundle can be executed", path)
			e.Remedy = "install the program on the host"
			return e
		}
		if err := p.addProgram("exec rule "+path, path, false); err != nil {
			if err = p.leaveOut(err); err != nil {
				return err
			}
			continue
		}
		p.cfg.Fork = true
	}
	return nil
}

// leaveOut takes the error of a grant, and gives it back if the grant can't be left out.
func (p *planner) leaveOut(err error) error {
	if err == nil || p.spec.LeftOut == nil || weir.ErrorCode(err) != weir.Invalid {
		return err
	}
	p.spec.LeftOut(err)
	return nil
}

// addProgram binds one program, which what asks for. stage copies what the sandbox's user can't reach.
func (p *planner) addProgram(what, path string, stage bool) error {
	if err := p.unwritten(what, path); err != nil { // before anything in it is believed
		return err
	}
	prog, err := p.launcher.program(path)
	if err != nil {
		e := &weir.Error{Code: weir.Invalid, Message: "program " + path, Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			e.Remedy = "install it, or correct the path"
		}
		return e
	}
	if err := p.unwrittenParts(what, prog.parts); err != nil {
		return err
	}
	for _, part := range prog.parts {
		if err := p.addPart(part, stage); err != nil {
			return err
		}
		if part.exec && !slices.Contains(p.cfg.Execute, part.target) {
			p.cfg.Execute = append(p.cfg.Execute, part.target)
		}
	}
	return nil
}

func (p *planner) addPart(f part, stage bool) error {
	if slices.ContainsFunc(p.cfg.Binds, func(b walls.Bind) bool { return b.Target == f.target }) {
		return nil
	}
	source := f.source
	if p.id.reserved && !readable(source) {
		if !stage {
			return hidden("program "+f.target, source)
		}
		var err error
		if source, err = p.launcher.Stage(source); err != nil {
			return err
		}
	}
	p.cfg.Binds = append(p.cfg.Binds, walls.Bind{Source: source, Target: f.target, Wall: walls.Program, Exec: true})
	return nil
}

// addBundle binds the bundle, and the libraries of the system that its native ones need.
func (p *planner) addBundle() error {
	if p.spec.Bundle == "" {
		return nil
	}
	dir, err := filepath.EvalSymlinks(p.spec.Bundle)
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the bundle of " + p.spec.Name, Err: err}
	}
	if p.id.reserved && !readable(dir) {
		return hidden("the bundle of "+p.spec.Name, dir)
	}
	p.cfg.Dir = bundleTarget
	p.cfg.Binds = append(p.cfg.Binds, walls.Bind{Source: dir, Target: bundleTarget, Wall: walls.Grants, Exec: len(p.spec.Addons) > 0})
	if len(p.spec.Addons) == 0 {
		return nil
	}
	prog, err := p.launcher.program(p.spec.Argv[0])
	if err != nil {
		return err
	}
	for _, a := range p.spec.Addons {
		if prog.loader == nil {
			break
		}
		parts := addonParts(a, dir, prog.loader)
		if err := p.unwrittenParts("native library "+a, parts); err != nil {
			return err
		}
		for _, part := range parts {
			if err := p.addPart(part, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// addLimits turns the limits into numbers of the kernel's. What a cgroup holds is not said twice.
func (p *planner) addLimits() {
	l, c, cg := p.limits, p.cfg, p.launcher.cgroups
	c.TmpSize, c.Memory = l.Tmp, l.Memory
	c.CPUs = min(max(1, int(math.Ceil(l.CPU))), runtime.NumCPU())
	if !cg.has(cpuController) {
		c.Pinned = pin(c.CPUs)
	}
	if !cg.has(memoryController) {
		c.Data = uint64(l.Memory + ownData + p.spec.Reserve)
	}
	c.Rlimits = []walls.Rlimit{
		{Resource: unix.RLIMIT_CORE, Value: 0},
		{Resource: unix.RLIMIT_NOFILE, Value: uint64(l.Files)},
		{Resource: unix.RLIMIT_NPROC, Value: uint64((l.Processes + ownThreads) * (1 + p.spec.Zygote))},
		{Resource: unix.RLIMIT_FSIZE, Value: uint64(l.Tmp)},
		{Resource: unix.RLIMIT_MEMLOCK, Value: 64 << 10},
		{Resource: unix.RLIMIT_MSGQUEUE, Value: 0},
		{Resource: unix.RLIMIT_SIGPENDING, Value: 1024},
		{Resource: unix.RLIMIT_RTPRIO, Value: 0},
		{Resource: unix.RLIMIT_NICE, Value: 0},
		{Resource: unix.RLIMIT_STACK, Value: 8 << 20},
	}
}

// pin chooses n of the processors that this process may use, neighbours from a random one on; nil
// if it has no more than n.
func pin(n int) []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() <= n {
		return nil
	}
	var all []int
	for cpu := 0; len(all) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	start := rand.IntN(len(all))
	out := make([]int, n)
	for i := range out {
		out[i] = all[(start+i)%len(all)]
	}
	return out
}

// config starts a configuration with what this machine can do.
func (m mode) config() *walls.Config {
	return &walls.Config{CaptureAll: m.captureAll, Procfs: m.procfs, Records: m.records, Sysctls: m.sysctls,
		UDPRecords: m.udpRecords}
}
