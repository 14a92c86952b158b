package main

import (
	"fmt"
	"io"

	"ipq/ipqueue"
)

// handlerRow is what the ip_queue service does for one address family: what
// /proc/net/ip_queue showed, and where to find it.
type handlerRow struct {
	Service        string `json:"service"` // its socket
	Family         string `json:"family"`  // ip, ip6
	Queue          uint16 `json:"queue"`
	Programs       int    `json:"programs"` // that hold a socket
	PeerPID        uint32 `json:"peer_pid"`
	CopyMode       uint8  `json:"copy_mode"`
	CopyRange      uint32 `json:"copy_range"`
	Length         uint32 `json:"length"`
	MaxLength      uint32 `json:"max_length"`
	QueueDropped   uint32 `json:"queue_dropped"`
	NetlinkDropped uint32 `json:"netlink_dropped"`
}

// printService shows what the service at a socket does, if one answers there.
func printService(w io.Writer, path string, out format) error {
	s, err := ipqueue.ReadStatus(path)
	if noService(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, proc string
		ipqueue.FamilyStatus
	}{{"ip", "ip_queue", s.IPv4}, {"ip6", "ip6_queue", s.IPv6}} {
		if out == formatJSON {
			err = writeJSON(w, handlerRow{
				path, f.name, f.Queue, f.Programs, f.PeerPID, f.CopyMode, f.CopyRange, f.Length, f.MaxLength, f.QueueDropped, f.NetlinkDropped,
			})
		} else {
			_, err = fmt.Fprintf(w, "\n%s (queue %d, served at %s, programs: %d)\n%s", f.proc, f.Queue, path, f.Programs, f.FamilyStatus)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
