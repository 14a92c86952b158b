//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"strings"
	"syscall"
)

// What an ip_queue program knows of linux/netfilter_ipv4/ip_queue.h. Structures
// are as the C compiler lays them out, with longs of this program's size.
const (
	long = 4 << (^uint(0) >> 63) // sizeof(long)

	header = 16 // sizeof(struct nlmsghdr)

	ipqmMode    = 0x11
	ipqmVerdict = 0x12
	ipqmPacket  = 0x13

	sizeofPeer   = 3 * long // struct ipq_peer_msg
	offsetHook   = header + 4*long
	offsetOutdev = offsetHook + 4 + 16
	offsetLen    = header + 5*long + 48 // of data_len, behind names, protocol and address
	offsetData   = offsetLen + long
)

func putLong(b []byte, v uint64) {
	if long == 8 {
		binary.NativeEndian.PutUint64(b, v)
	} else {
		binary.NativeEndian.PutUint32(b, uint32(v))
	}
}

func getLong(b []byte) uint64 {
	if long == 8 {
		return binary.NativeEndian.Uint64(b)
	}
	return uint64(binary.NativeEndian.Uint32(b))
}

func message(kind, flags uint16) []byte {
	b := make([]byte, header+sizeofPeer)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[12:], uint32(os.Getpid()))
	return b
}

func send(fd int, b []byte) {
	if err := syscall.Sendto(fd, b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		say("sendto:", name(err))
	}
}

// passer takes packets of protocol args[0], bound or not, and accepts those with
// "accept" in them, each of which it changes to "ACCEPT". It ends at "end".
func passer(args []string) {
	fd := netlink(number(args[0]))
	if args[1] == "bound" {
		say("bind:", name(bind(fd, uint32(os.Getpid()))))
	}
	mode := message(ipqmMode, 5) // NLM_F_REQUEST, NLM_F_ACK
	mode[header] = 2             // IPQ_COPY_PACKET
	send(fd, mode)
	for {
		b := make([]byte, 70000)
		n, err := syscall.Read(fd, b)
		if err != nil || n < header {
			say("read:", n, name(err))
			return
		}
		if kind := binary.NativeEndian.Uint16(b[4:]); kind != ipqmPacket {
			say("message of type", kind, "error", int32(binary.NativeEndian.Uint32(b[header:])))
			continue
		}
		b = b[:n]
		data := b[offsetData:][:getLong(b[offsetLen:])]
		text := string(data[len(data)-8:])
		outdev, _, _ := strings.Cut(string(b[offsetOutdev:][:16]), "\x00")
		say("packet at hook", binary.NativeEndian.Uint32(b[offsetHook:]), "to", outdev, "with", text)
		verdict := message(ipqmVerdict, 1)
		copy(verdict[header+long:], b[header:][:long]) // the id
		if strings.Contains(text, "accept") {
			binary.NativeEndian.PutUint32(verdict[header:], 1)
			putLong(verdict[header+2*long:], uint64(len(data)))
			copy(data[len(data)-8:], strings.ReplaceAll(text, "accept", "ACCEPT"))
			verdict = append(verdict, data...)
			binary.NativeEndian.PutUint32(verdict, uint32(len(verdict)))
		}
		send(fd, verdict)
		if strings.Contains(text, "end") {
			return
		}
	}
}

// accept accepts every packet, without a word.
func accept([]string) {
	fd := netlink(3)
	mode := message(ipqmMode, 5) // NLM_F_REQUEST, NLM_F_ACK
	mode[header] = 2             // IPQ_COPY_PACKET
	send(fd, mode)
	verdict := message(ipqmVerdict, 1)
	binary.NativeEndian.PutUint32(verdict[header:], 1) // NF_ACCEPT
	for b := make([]byte, 70000); ; {
		n, err := syscall.Read(fd, b)
		switch {
		case err != nil || n < header:
			say("read:", n, name(err))
			return
		case binary.NativeEndian.Uint16(b[4:]) != ipqmPacket:
			say("message of type", binary.NativeEndian.Uint16(b[4:]), "error", int32(binary.NativeEndian.Uint32(b[header:])))
		default:
			copy(verdict[header+long:], b[header:][:long]) // the id
			send(fd, verdict)
		}
	}
}

// refused prints the ports that refusals of messages are for, which the sockets
// have: two that are bound, one that is bound to a port of the kernel's choice, and
// two that are bound by what they send.
func refused([]string) {
	fds := [5]int{netlink(3), netlink(3), netlink(3), netlink(3), netlink(3)}
	for i, port := range []uint32{77, 78, 0} {
		if err := bind(fds[i], port); err != nil {
			say("bind:", name(err))
		}
	}
	for _, fd := range fds {
		send(fd, message(ipqmPacket+1, 1))
		var b [256]byte
		syscall.Read(fd, b[:])
		_, port, _, _ := sockname(fd)
		say("refused", portName(binary.NativeEndian.Uint32(b[12:])), "getsockname", portName(port))
	}
	say("bind after a message:", name(bind(fds[4], 5)))
}
