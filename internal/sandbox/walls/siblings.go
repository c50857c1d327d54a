package walls

// The children of a zygote share one network namespace. What tells them apart there is the mark of each
// socket (socket(7), SO_MARK), which the gate sets when it makes the socket and which takes a capability
// to change. The supervisor's own sockets have ownMark, its listeners none.

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// acceptMark makes the socket of an accepted connection take over the mark of the one that dialled, where
// the supervisor reads it (ip-sysctl.rst).
const acceptMark = "/proc/sys/net/ipv4/tcp_fwmark_accept"

// MaxSlots bounds Config.Slots.
const MaxSlots = 64

// slotMask are the bits of a mark that say the slot. The others tell children apart that had the same one
// slot after the other: what one has left behind is not the next one's.
const slotMask = 0xff

// MarkOf gives the mark of the sockets of a child. Slot 0 is the zygote's own.
func MarkOf(slot int, generation uint32) uint32 { return generation<<8 | uint32(slot+1) }

// separate lets a packet through to a socket of a child only from a socket of the same child, whatever
// its address: on this network, every address is local.
func separate(slots int) *Failure {
	if err := setSysctl(acceptMark, "1"); err != nil {
		return failure(Forking, "writing "+acceptMark, err)
	}
	conn, err := nftables.New()
	if err != nil {
		return failure(Forking, "nftables", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "siblings"})
	c := capturer{Conn: conn, table: table}
	same := &nftables.Set{Table: table, Name: "same", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeMark, nftables.TypeMark)}
	var pairs []nftables.SetElement
	for slot := range slots + 1 {
		mark := binaryutil.NativeEndian.PutUint32(MarkOf(slot, 0))
		pairs = append(pairs, nftables.SetElement{Key: append(mark, mark...)})
	}
	if err := conn.AddSet(same, pairs); err != nil {
		return failure(Forking, "the pairs of marks", err)
	}
	in := c.AddChain(&nftables.Chain{Name: "arrival", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	tcp, udp, accept := protocol(unix.IPPROTO_TCP), protocol(unix.IPPROTO_UDP), verdict(expr.VerdictAccept)
	own := binaryutil.NativeEndian.PutUint32(ownMark)
	// Of a connection only the first segment is looked at: what follows belongs to it, or to nothing.
	c.rule(in, tcp, opening(), socketMark(make([]byte, 4)), accept)
	c.rule(in, udp, marked(), accept)
	c.rule(in, udp, socketMark(own), accept)
	c.rule(in, match{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 8}, // registers of 4 bytes, side by side
		slotOf(8),
		&expr.Socket{Key: expr.SocketKeyMark, Register: 9},
		slotOf(9),
		&expr.Lookup{SourceRegister: 8, SetName: same.Name, SetID: same.ID},
	}, accept)
	c.rule(in, tcp, opening(), match{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	c.rule(in, udp, verdict(expr.VerdictDrop))
	if err := c.Flush(); err != nil {
		return failure(Forking, "nftables rules", err)
	}
	return nil
}

// slotOf leaves of a mark what says the slot.
func slotOf(register uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(slotMask), Xor: make([]byte, 4)}
}

// socketMark matches the mark of the socket that a packet arrives at.
func socketMark(mark []byte) match {
	return equal(&expr.Socket{Key: expr.SocketKeyMark, Register: 1}, mark)
}
