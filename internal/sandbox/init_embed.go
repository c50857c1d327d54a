//go:build weirinit

package sandbox

// A first process of its own: built separately from cmd/weir-init and small, so that starting a
// sandbox doesn't load all of Weir. It is executed from a sealed memory file: no path to it can
// be replaced.

import (
	_ "embed"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

//go:embed weir-init.bin
var initBinary []byte

var initMemory = sync.OnceValues(func() (*os.File, error) {
	fd, err := unix.MemfdCreate(walls.InitName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 there is no MFD_EXEC, and all are executable
		fd, err = unix.MemfdCreate(walls.InitName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.NoWall, Message: "no executable memory file can be made", Err: err,
			Remedy: "sysctl vm.memfd_noexec=0"}
	}
	f := os.NewFile(uintptr(fd), walls.InitName)
	if _, err := f.Write(initBinary); err != nil {
		return nil, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, os.NewSyscallError("sealing the first process", err)
	}
	return f, nil
})

// initImage gives the file that is executed as first process, and a descriptor that must be
// passed along for it, if any.
func initImage() (string, *os.File, error) {
	f, err := initMemory()
	return "", f, err
}
