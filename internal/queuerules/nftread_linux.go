package queuerules

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
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
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for range attempts {
		view := newNftView()
		whole := true
		for _, part := range []struct {
			request netlink.HeaderType
			add     func(body []byte) error
		}{{nftGetTable, view.addTable}, {nftGetChain, view.addChain}, {nftGetRule, view.addRule}} {
			messages, err := conn.Execute(netlink.Message{
				Header: netlink.Header{Type: part.request, Flags: netlink.Request | netlink.Dump},
				Data:   make([]byte, 4), // struct nfgenmsg: every family
			})
			if errors.Is(err, unix.EINVAL) && part.request == nftGetTable {
				return nil, nil // the kernel has no such subsystem: it was built without nf_tables
			}
			if err != nil {
				return nil, fmt.Errorf("read the rules of nftables: %w", err)
			}
			for _, m := range messages {
				whole = whole && m.Header.Flags&netlink.DumpInterrupted == 0
				if err := part.add(m.Data); err != nil {
					return nil, fmt.Errorf("read the rules of nftables: %w", err)
				}
			}
		}
		if whole {
			return view.reached(), nil
		}
	}
	return nil, errChanging
}
