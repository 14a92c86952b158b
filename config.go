package ipq

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ipq/internal/wire"
)

// Mode says what the kernel copies of each packet.
type Mode uint8

const (
	ModePacket Mode = iota // metadata and payload
	ModeMeta               // metadata alone; Packet.Payload is empty
)

// String names the mode: "packet" or "meta".
func (m Mode) String() string {
	switch m {
	case ModePacket:
		return "packet"
	case ModeMeta:
		return "meta"
	}
	return fmt.Sprintf("invalid mode %d", uint8(m))
}

// Flags are capabilities of a queue that the kernel may or may not have.
type Flags uint32

const (
	// FlagFailOpen lets packets pass, unseen, when the queue or the socket's buffer is full. Whoever can flood the queue
	// then gets past the program: leave it out of anything that protects. Requires at least Linux 3.6.
	FlagFailOpen Flags = wire.FlagFailOpen

	// FlagConntrack sends the packet's connection along: Packet.Conntrack. Requires at least Linux 3.6, with
	// CONFIG_NETFILTER_NETLINK_GLUE_CT.
	FlagConntrack Flags = wire.FlagConntrack

	// FlagGSO takes segmented packets whole, up to 64 KiB, with checksums that are not filled in yet
	// (Packet.ChecksumPending). It is many times faster for bulk TCP, but such a packet's payload cannot be replaced
	// (ErrGSO), nor that of a few tunnels (ErrChecksumInside): use it where packets are only looked at. It also keeps trains
	// of UDP datagrams (UDP_SEGMENT, QUIC) together, whose segments the kernel may lose when it has to cut them for the
	// queue: see Hold. Requires at least Linux 3.10.
	FlagGSO Flags = wire.FlagGSO

	// FlagUIDGID sends the owner of the local socket along: Packet.UID and GID. Requires at least Linux 3.14.
	FlagUIDGID Flags = wire.FlagUIDGID

	// FlagSecurityContext sends the security context of the local socket along. Requires at least Linux 4.3, with
	// CONFIG_NETWORK_SECMARK and a security module.
	FlagSecurityContext Flags = wire.FlagSecCtx

	flagsKnown = FlagFailOpen | FlagConntrack | FlagGSO | FlagUIDGID | FlagSecurityContext
)

var flagNames = [...]struct {
	flag Flags
	name string
}{
	{FlagFailOpen, "fail-open"},
	{FlagConntrack, "conntrack"},
	{FlagGSO, "gso"},
	{FlagUIDGID, "uid-gid"},
	{FlagSecurityContext, "security-context"},
}

// String lists the flags by name, separated by commas: "gso,uid-gid".
func (f Flags) String() string {
	var names []string
	for _, x := range flagNames {
		if f&x.flag != 0 {
			names = append(names, x.name)
		}
	}
	if rest := f &^ flagsKnown; rest != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(rest)))
	}
	return strings.Join(names, ",")
}

// Config says which queue to open, and how. The zero value works: queue 0, whole packets. A field needs the privilege and
// the kernel that Open needs, unless it says otherwise.
type Config struct {
	// Queue is the number of the queue, as in the rule that feeds it. The QUEUE target feeds queue 0.
	Queue uint16

	// Mode says whether the payload is copied. Programs that decide by metadata alone (interface, mark, owner) save
	// little by ModeMeta: a few per cent for packets of 1,400 bytes. Leave it where payloads are looked at.
	Mode Mode

	// Range is how many bytes of each packet are copied, from its IP header on; 0 means whole packets, which is also
	// the kernel's limit, 65,531. A packet that is longer is Truncated and its payload cannot be replaced. Set it only
	// where headers are enough: buffers get smaller with it.
	Range int

	// MaxLen is how many packets may wait for a verdict, in the kernel, before the kernel drops more (or passes them:
	// FlagFailOpen). 0 leaves the kernel's 1,024. It is never sent as 0, which would drop everything. Firewalls in
	// front of busy hosts want 4,096 or more.
	MaxLen uint32

	// RecvBuffer is the size of the socket's receive buffer in bytes, as SO_RCVBUF counts it. 0 takes what MaxLen
	// packets of the copy range need, which is right for most. With CAP_NET_ADMIN in the initial user namespace the limit
	// net.core.rmem_max does not hold. Queue.RecvBuffer says what was granted.
	RecvBuffer int

	// Flags are asked for, and left out where the kernel lacks them; Queue.Flags says what was granted. Each flag says which
	// kernel it requires.
	Flags Flags

	// Require are asked for, and Open fails with the names of those that the kernel lacks. Each flag says which kernel it
	// requires.
	Require Flags

	// Default answers where the program does not: for a handler that panicked, timed out or returned no valid verdict,
	// for a message that could not be read, for what a cancelled Serve left of its last batch, for a Hold beyond
	// MaxHeld, and for what Drain finds. 0 means Drop. Hold is refused.
	Default Verdict

	// MaxHeld is how many packets may be held at the same time: answered neither by a verdict nor by Config.Default.
	// A Hold beyond it is answered by Default. 0 means MaxLen, which the kernel bounds anyway; set less to keep room in
	// the queue for packets that are answered at once. Each costs 32 bytes.
	MaxHeld int

	// HandlerTimeout bounds each call of a Serve handler; 0 means no bound. A call that takes longer has its packet
	// answered by Default, keeps its buffer until it returns, and the next call may run beside it. At most 16 such calls
	// may be outstanding; then Serve waits. A packet that a call has held in time may be held for ever. A bound costs two
	// timer operations for each packet, and no second thread sends verdicts under saturation.
	HandlerTimeout time.Duration

	// HoldTimeout is how long a packet may be held, counted from its receipt; 0 means for ever. Default answers one that is
	// held longer, an eighth of HoldTimeout or a millisecond later at most, whichever is more. Set it where the ID of a held
	// packet could get lost.
	HoldTimeout time.Duration

	// BusyPoll is how long to look for the next packet before going to sleep; 0 sleeps at once. With a core to spare, 50 µs
	// halve the round trip of a packet; without one they slow everything down.
	BusyPoll time.Duration

	// OnVerdictError is called for every verdict that the kernel refused: ErrPacketGone, ErrNotOwner, or the kernel's error.
	// Answers that are alike, whatever the verdict, and with the same mark if one is set, may leave as one message for a run
	// of packets, of which the kernel reports nothing as long as one of them was still there. Called from Recv, Serve and
	// Drain; nil ignores them, and Stats counts them all the same.
	OnVerdictError func(ID, error)

	// OnDefault is called for every packet that Default answered, with the reason. Called from Recv, Serve and Drain, or, for
	// ErrHandlerTimeout and ErrHoldTimeout, beside them. If it is nil, a panic in a handler is not recovered: its packet is
	// answered, and the panic goes on.
	OnDefault func(ID, error)

	// OnOverrun is called, from Recv, Serve and Drain, when the kernel dropped packets because the socket's buffer was full.
	// missing is how many ids were skipped; 0 where that is not known. Stats has the kernel's own count.
	OnOverrun func(missing uint64)

	// OnHighWater is called, from Recv, Serve and Drain, when three quarters of the queue's length or of the socket's buffer
	// are taken, with the share: soon the kernel will drop packets. It is called again when less than half was taken in
	// between. Set MaxLen and leave RecvBuffer 0, and the two fill up together. Where the kernel's table of queues cannot
	// be read, only the packets that the program holds count for the queue. Requires at least Linux 4.12.
	OnHighWater func(full float64)

	// OnFlush is called, from Recv, Serve and Drain, when a number of verdicts found no packet: the queue was flushed. The
	// kernel flushes every queue of the namespace when any base chain there goes, be it by a reload, by "nft -c", by a
	// transaction that was refused, with its device, or because its table is made dormant, and when the last rule goes that
	// makes it hook something in (conntrack, MASQUERADE, TPROXY, SYNPROXY, -m socket): docs/packet-loss.md lists it all. It
	// flushes the packets of an interface that goes down. OnFlush is called once for all verdicts that come back within a
	// second; Stats.Gone counts them.
	OnFlush func()

	// Netns is the path of the network namespace to open the queue in, "" for the caller's: /run/netns/NAME for one that
	// "ip netns" has named, or what NetnsOfPID and NetnsOfFile return. It needs CAP_SYS_ADMIN in the user namespace that
	// owns it and in the caller's own. Only the socket is opened there: no thread of the program stays. The socket keeps the
	// namespace alive until Close, also when the path is gone; only Supervise follows the path to another one.
	Netns string

	// File is an open descriptor to use instead of a new socket: a netlink socket of protocol NETLINK_NETFILTER that
	// somebody else opened (a service manager, a privileged helper, another namespace), bound to the queue already or
	// not, or an end of a SEQPACKET socketpair whose other end plays the kernel (package ipqtest). Open takes it over
	// and closes it, also when it fails. Packets that a former owner has received and not answered are answered by Default
	// when the first packet is received.
	File *os.File
}

// NetnsOfPID is the path of the network namespace that a process lives in, for Config.Netns. It is good as long as the process
// lives; afterwards the number may become another's.
func NetnsOfPID(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// NetnsOfFile is a path of the network namespace that an open file stands for, for Config.Netns. It is good as long as
// the file is open: keep the file while it may be used, which under Supervise is until Supervise returns.
func NetnsOfFile(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

const defaultMaxLen = 1024 // NFQNL_QMAX_DEFAULT

func (c *Config) check() error {
	switch {
	case c.Mode > ModeMeta:
		return fmt.Errorf("Config.Mode: %v: use ModePacket or ModeMeta", c.Mode)
	case c.Range < 0 || c.Range > wire.MaxPayload:
		return fmt.Errorf("Config.Range: %d bytes: the kernel can copy 1 to %d, or 0 for all it can", c.Range, wire.MaxPayload)
	case c.Mode == ModeMeta && c.Range != 0:
		return errors.New("Config.Range: ModeMeta copies no payload: leave the range 0, or use ModePacket")
	case c.RecvBuffer < 0 || c.RecvBuffer > 1<<30:
		return fmt.Errorf("Config.RecvBuffer: %d bytes: use 0 (sized for the queue) to 1 GiB", c.RecvBuffer)
	case c.MaxHeld < 0 || c.MaxHeld > 1<<24:
		return fmt.Errorf("Config.MaxHeld: %d: use 0 (MaxLen) to %d", c.MaxHeld, 1<<24)
	case c.HandlerTimeout < 0:
		return fmt.Errorf("Config.HandlerTimeout: %v: use 0 for no bound", c.HandlerTimeout)
	case c.HoldTimeout < 0:
		return fmt.Errorf("Config.HoldTimeout: %v: use 0 for no bound", c.HoldTimeout)
	case c.BusyPoll < 0:
		return fmt.Errorf("Config.BusyPoll: %v: use 0 to sleep at once", c.BusyPoll)
	case (c.Flags|c.Require)&^flagsKnown != 0:
		return fmt.Errorf("Config.Flags: unknown flags %v", (c.Flags|c.Require)&^flagsKnown)
	case c.Default != 0 && !c.Default.final():
		return fmt.Errorf("Config.Default: %v cannot answer for the program: use Accept or Drop", c.Default)
	case c.File != nil && c.Netns != "":
		return errors.New("Config.Netns: Config.File is already open in a namespace: set one of the two")
	}
	return nil
}

// withDefaults fills in what the zero values stand for.
func (c Config) withDefaults() Config {
	if c.Default == 0 {
		c.Default = Drop
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = min(c.maxLen(), 1<<24)
	}
	if c.RecvBuffer == 0 {
		c.RecvBuffer = c.recvBuffer(min(c.maxLen(), 1<<20))
	}
	return c
}

// maxLen is the length of the kernel's queue.
func (c *Config) maxLen() int {
	if c.MaxLen == 0 {
		return defaultMaxLen
	}
	return int(min(c.MaxLen, 1<<30))
}

// recvBuffer is what n packets of the copy range need. The kernel accounts 832 bytes for a message with a small packet
// and 2,304 for one of 1,500 bytes, and doubles the number it is given.
func (c *Config) recvBuffer(n int) int {
	per := 1152
	if c.Mode == ModeMeta || c.Range > 0 && c.Range <= 128 {
		per = 416
	}
	return min(max(n*per, 212992), 32<<20)
}

// slotSize is the size of a receive buffer: the copy range, and room for everything the kernel says about a packet.
func (c *Config) slotSize() int {
	size := 512
	if (c.Flags|c.Require)&FlagConntrack != 0 {
		size += 1024
	}
	if (c.Flags|c.Require)&FlagSecurityContext != 0 {
		size += 4096
	}
	switch {
	case c.Mode == ModeMeta:
	case c.Range == 0:
		size += wire.MaxPayload
	default:
		size += c.Range
	}
	return size
}

func (c *Config) copyMode() uint8 {
	if c.Mode == ModeMeta {
		return wire.CopyMeta
	}
	return wire.CopyPacket
}
