package queuerules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// Messages, of subsystem NFNL_SUBSYS_NFTABLES.
const (
	nftGetTable = 10<<8 | 1 // NFT_MSG_GETTABLE
	nftGetChain = 10<<8 | 4 // NFT_MSG_GETCHAIN
	nftGetRule  = 10<<8 | 7 // NFT_MSG_GETRULE
)

// attempts is how often rules are read that change while they are read.
const attempts = 8

var errChanging = errors.New("the rules change faster than they can be read")

// nft lists the rules of nftables in the caller's network namespace. It needs CAP_NET_ADMIN.
func nft() ([]Rule, error) {
	if present, err := nftPresent(); err != nil || !present {
		return nil, err
	}
	d, err := newDumper()
	if err != nil {
		return nil, err
	}
	defer unix.Close(d.fd)
	for range attempts {
		v := newNftView()
		whole, err := d.dump(nftGetRule, v.addRule)
		if errors.Is(err, unix.EINVAL) {
			return nil, nil // the kernel has no such subsystem: it was built without nf_tables
		}
		// Most rulesets queue nothing, and then the rest does not matter.
		if err == nil && len(v.found) != 0 {
			var tables, chains bool
			tables, err = d.dump(nftGetTable, v.addTable)
			if err == nil {
				chains, err = d.dump(nftGetChain, v.addChain)
			}
			whole = whole && tables && chains
		}
		if err != nil {
			return nil, fmt.Errorf("read the rules of nftables: %w", err)
		}
		if whole {
			return v.reached(), nil
		}
	}
	return nil, errChanging
}

// dumper reads lists from the kernel's netfilter.
type dumper struct {
	fd  int
	buf []byte
}

func newDumper() (*dumper, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// The kernel refuses what other processes send to a socket that is connected to it.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return &dumper{fd, make([]byte, 64<<10)}, nil // the kernel sends up to 32 KiB at once, if there is room
}

// dump asks for a list of all families, and hands the body of each message to add. It reports false if the list changed
// meanwhile.
func (d *dumper) dump(request uint16, add func(body []byte) error) (whole bool, err error) {
	b := binary.NativeEndian.AppendUint32(nil, wire.HeaderSize+4)
	b = binary.NativeEndian.AppendUint16(b, request)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = append(b, make([]byte, 8+4)...) // sequence number and port; struct nfgenmsg: every family
	if _, err := unix.Write(d.fd, b); err != nil {
		return false, os.NewSyscallError("write", err)
	}
	whole = true
	for {
		n, err := unix.Read(d.fd, d.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, os.NewSyscallError("read", err)
		}
		for rest := d.buf[:n]; ; {
			h, body, left, ok, err := wire.Next(rest)
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			rest = left
			whole = whole && h.Flags&unix.NLM_F_DUMP_INTR == 0
			switch h.Type {
			case wire.TypeDone, wire.TypeError: // both begin with an errno, of which 0 is no error
				if len(body) < 4 {
					return false, errCut
				}
				if errno := -int32(binary.NativeEndian.Uint32(body)); errno > 0 {
					return false, syscall.Errno(errno)
				}
				return whole, nil
			}
			if err := add(body); err != nil {
				return false, err
			}
		}
	}
}
