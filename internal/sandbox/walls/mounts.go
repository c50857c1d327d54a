package walls

// The root of a sandbox: an empty, bounded, read-only file system in memory, into which exactly
// what the configuration names is bound. The host's own root is detached: no path leads there.

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// scaffold is where the new root is built: a directory that every machine has. Only this mount
// namespace sees it.
const scaffold = "/proc"

// realProc is where the process's own part of the real /proc is mounted; see fillProc.
const realProc = "/.proc"

// devices are the device files that exist inside. /dev/zero is not among them: mapped as shared, it is
// memory that no rlimit counts.
var devices = []string{"/dev/null", "/dev/full", "/dev/random", "/dev/urandom"}

// mounts builds the root and moves into it.
func (r *raiser) mounts() *Failure {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return failure(Mounts, "making mounts private", err)
	}
	binds := r.cfg.Binds
	for _, d := range devices {
		binds = append(binds, Bind{Source: d, Target: d, Wall: Mounts, Device: true})
	}
	trees, f := clone(binds)
	if f != nil {
		return f
	}
	if err := r.newRoot(len(binds)); err != nil {
		return failure(Mounts, "mounting the root", err)
	}
	root, err := unix.Open(scaffold, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failure(Mounts, "opening the root", err)
	}
	if err := r.fill(); err != nil {
		return failure(Mounts, "filling the root", err)
	}
	if err := r.makeTmp(); err != nil {
		return failure(Mounts, "/tmp", err)
	}
	for i, b := range binds {
		if err := attach(root, trees[i], b.Target); err != nil {
			return failure(b.Wall, "placing "+b.Target, err)
		}
	}
	if r.cfg.Procfs {
		if f := r.mountProc(); f != nil {
			if !r.cfg.Probe {
				return f
			}
			r.failed(f)
		}
	}
	return r.enter(root)
}

// mountProc mounts what of /proc is about the sandbox's own processes. The children of a zygote see each
// other not at all: 4 hides all that ptrace(2) could not reach (proc(5)).
func (r *raiser) mountProc() *Failure {
	hide := 2
	if r.cfg.Slots > 0 {
		hide = 4
	}
	flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	err := unix.Mount("proc", scaffold+realProc, "proc", flags, fmt.Sprintf("hidepid=%d,subset=pid", hide))
	if err != nil {
		return failure(Procfs, "mounting it", err)
	}
	return nil
}

// tree is a detached copy of a mount.
type tree struct {
	fd  int
	dir bool
}

// clone copies every source before anything is covered, and sets what may be done there.
func clone(binds []Bind) ([]tree, *Failure) {
	trees := make([]tree, 0, len(binds))
	for _, b := range binds {
		fd, err := b.open()
		if err != nil {
			return nil, failure(b.Wall, b.Source, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nil, failure(b.Wall, b.Source, err)
		}
		attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_RDONLY)
		if b.Exec {
			attr &^= unix.MOUNT_ATTR_NOEXEC
		}
		if b.Write {
			attr &^= unix.MOUNT_ATTR_RDONLY
		}
		if b.Device {
			attr &^= unix.MOUNT_ATTR_NODEV
		}
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr})
		if err != nil {
			return nil, failure(b.Wall, "restricting "+b.Source, err)
		}
		trees = append(trees, tree{fd: fd, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR})
	}
	return trees, nil
}

// open gives a detached copy of the source.
func (b *Bind) open() (int, error) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	if !b.NoLinks {
		return unix.OpenTree(unix.AT_FDCWD, b.Source, flags)
	}
	at, err := unix.Openat2(unix.AT_FDCWD, b.Source, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	return unix.OpenTree(at, "", flags|unix.AT_EMPTY_PATH)
}

// newRoot mounts the empty file system, large enough for what will be written into it.
func (r *raiser) newRoot(binds int) error {
	size := 256 << 10
	for _, f := range r.cfg.Content {
		size += f.Size + 8<<10
	}
	inodes := 512 + 16*(binds+len(r.cfg.Content))
	opts := fmt.Sprintf("size=%d,nr_inodes=%d,mode=755", size, inodes)
	return unix.Mount("tmpfs", scaffold, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, opts)
}

// attach mounts t at the target. Nothing on the way may be a symbolic link: one in a bound
// directory could lead elsewhere.
func attach(root int, t tree, target string) error {
	defer unix.Close(t.fd)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	rel := strings.TrimPrefix(target, "/")
	at, err := unix.Openat2(root, rel, &how)
	if errors.Is(err, unix.ENOENT) {
		if err := makePoint(scaffold+target, t.dir); err != nil {
			return err
		}
		at, err = unix.Openat2(root, rel, &how)
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(t.fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// makePoint makes the file or directory that a mount will cover.
func makePoint(p string, dir bool) error {
	if dir {
		return os.MkdirAll(p, 0o755)
	}
	return writeFile(p, nil)
}

// writeFile makes a read-only file and the directories that lead to it.
func writeFile(p string, data []byte) error {
	if err := os.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// makeTmp makes /tmp and what is writable below it, if it isn't writable as a whole.
func (r *raiser) makeTmp() error {
	if r.cfg.zygote() {
		return os.Symlink(ownTmp, scaffold+"/tmp")
	}
	if err := os.Mkdir(scaffold+"/tmp", 0o755); err != nil {
		return err
	}
	if err := r.mountTmp(scaffold+"/tmp", 0); err != nil {
		return err
	}
	for _, p := range r.cfg.TmpWritable {
		if strings.HasSuffix(p, "/") {
			if err := os.MkdirAll(scaffold+p, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(path.Dir(scaffold+p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(scaffold+p, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mountTmp mounts an empty, bounded file system.
func (r *raiser) mountTmp(at string, flags uintptr) error {
	const page = 4096
	opts := fmt.Sprintf("size=%d,nr_inodes=%d,mode=1777", r.cfg.TmpSize, min(max(r.cfg.TmpSize/page, 1024), 64<<10))
	return unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|flags, opts)
}

// enter makes the new root read-only and the only one (pivot_root(2), the case of equal
// arguments).
func (r *raiser) enter(root int) *Failure {
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if len(r.cfg.TmpWritable) == 0 && !r.cfg.zygote() {
		if err := unix.MountSetattr(unix.AT_FDCWD, scaffold+"/tmp", 0, &readOnly); err != nil {
			return failure(Mounts, "making /tmp read-only", err)
		}
	}
	if err := unix.MountSetattr(root, "", unix.AT_EMPTY_PATH, &readOnly); err != nil {
		return failure(Mounts, "making the root read-only", err)
	}
	if err := unix.Fchdir(root); err != nil {
		return failure(Mounts, "entering the root", err)
	}
	unix.Close(root)
	if err := unix.PivotRoot(".", "."); err != nil {
		return failure(Mounts, "pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return failure(Mounts, "detaching the host's root", err)
	}
	if err := unix.Chdir(r.cfg.Dir); err != nil {
		return failure(Mounts, "working directory "+r.cfg.Dir, err)
	}
	return nil
}
