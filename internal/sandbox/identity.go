package sandbox

// Who a sandbox is outside.

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
)

// identity is the user and group of the host that a sandbox's only user is mapped to.
type identity struct {
	uid, gid int
	reserved bool // not this process's own
}

// Reserved user ids start above those that systemd-nspawn gives out (524288 to 1879048191) and
// end below 2^31, where some programs take them for negative.
const (
	reservedBase = 0x70000000
	reservedSize = 0x0fffffff
)

var identities struct {
	first int
	next  atomic.Uint32
}

func init() {
	var b [4]byte
	rand.Read(b[:])
	identities.first = int(binary.LittleEndian.Uint32(b[:]) % reservedSize)
}

// newIdentity gives a sandbox's. Root gives every sandbox another, so that what the kernel counts
// or permits per user (processes, signals, keys, ptrace) never meets between two of them, and
// starts at a random one, so that two supervisors' sandboxes hardly meet either. An ordinary user has only
// its own: there the namespaces keep sandboxes apart.
func newIdentity() identity {
	if os.Geteuid() != 0 || !mapped(reservedBase+reservedSize) {
		return identity{uid: os.Geteuid(), gid: os.Getegid()}
	}
	n := reservedBase + (identities.first+int(identities.next.Add(1)))%reservedSize
	return identity{uid: n, gid: n, reserved: true}
}

// mapped tells whether this process's own user namespace has the id, as uid and gid: in a
// container, root may not.
func mapped(id uint64) bool {
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		if !mappedIn(file, id) {
			return false
		}
	}
	return true
}

func mappedIn(file string, id uint64) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var first, outside, count uint64
		if _, err := fmt.Sscan(s.Text(), &first, &outside, &count); err == nil && first <= id && id-first < count {
			return true
		}
	}
	return false
}
