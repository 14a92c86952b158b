package queuerules

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// legacyFamily is how iptables-legacy and ip6tables-legacy lay out a table. Source: include/uapi/linux/netfilter_ipv4/ip_tables.h,
// netfilter_ipv6/ip6_tables.h, as on 64-bit machines.
type legacyFamily struct {
	name  string
	names string // the file in /proc/net with the names of the tables that exist
	level int    // of the socket options

	targetOffset int // of target_offset in struct ipt_entry; next_offset and comefrom follow
	counters     int // offset of counters, after which the matches come
}

var legacyFamilies = [...]legacyFamily{
	{name: "ip", names: "ip_tables_names", level: 0, targetOffset: 88, counters: 96},      // IPPROTO_IP
	{name: "ip6", names: "ip6_tables_names", level: 41, targetOffset: 140, counters: 152}, // IPPROTO_IPV6
}

const (
	legacyNameSize     = 32 // XT_TABLE_MAXNAMELEN
	legacyInfoSize     = 84 // struct ipt_getinfo
	legacyEntriesSize  = 40 // struct ipt_get_entries, to its entrytable
	legacyTargetHeader = 32 // struct xt_entry_target
	legacyNameMax      = 29 // XT_EXTENSION_MAXNAMELEN: the revision follows
	errorTarget        = "ERROR"
	verdictQueue       = -3 - 1 // as libiptc writes NF_QUEUE
)

// hookNames are the built-in chains, by hook.
var hookNames = [...]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// legacyInfo is what the kernel says of a table before it gives the table.
type legacyInfo struct {
	hooks map[uint32]string // the built-in chain that begins at an offset
	size  uint32            // of the entries
}

func parseLegacyInfo(b []byte) (legacyInfo, error) {
	if len(b) < legacyInfoSize {
		return legacyInfo{}, errCut
	}
	info := legacyInfo{hooks: make(map[uint32]string), size: binary.NativeEndian.Uint32(b[80:])}
	valid := binary.NativeEndian.Uint32(b[legacyNameSize:])
	for hook, name := range hookNames {
		if valid&(1<<hook) != 0 {
			info.hooks[binary.NativeEndian.Uint32(b[legacyNameSize+4+4*hook:])] = name
		}
	}
	return info, nil
}

// rules decodes the entries of a table. Rules that no packet can reach are left out: the kernel has noted in each entry
// from which hooks it can be reached, when the table was loaded.
func (f legacyFamily) rules(table string, info legacyInfo, entries []byte) ([]Rule, error) {
	var rules []Rule
	chain, number := "", uint64(0)
	for offset := 0; offset < len(entries); {
		e := entries[offset:]
		if len(e) < f.counters+16 {
			return rules, fmt.Errorf("entry at %d of table %s: %w", offset, table, errCut)
		}
		targetOffset := int(binary.NativeEndian.Uint16(e[f.targetOffset:]))
		next := int(binary.NativeEndian.Uint16(e[f.targetOffset+2:]))
		reached := binary.NativeEndian.Uint32(e[f.targetOffset+4:]) != 0 // comefrom
		if next > len(e) || targetOffset < f.counters+16 || targetOffset+legacyTargetHeader > next {
			return rules, fmt.Errorf("entry at %d of table %s: target at %d, end at %d: %w", offset, table, targetOffset, next, errCut)
		}
		if name, ok := info.hooks[uint32(offset)]; ok {
			chain, number = name, 0
		}
		t := e[targetOffset:next]
		name, data := cString(t[2:2+legacyNameMax]), t[legacyTargetHeader:]
		if name == errorTarget { // the head of a chain that is not built in, with its name
			chain, number = cString(data), 0
			offset += next
			continue
		}
		number++
		to, ok, err := legacyTarget(name, t[legacyTargetHeader-1], data)
		if err != nil {
			return rules, fmt.Errorf("target %s of rule %d in chain %s of table %s: %w", name, number, chain, table, err)
		}
		if ok && reached {
			rules = append(rules, Rule{
				System: Iptables, Family: f.name, Table: table, Chain: chain, Number: number,
				First: to.first, Last: to.last, Bypass: to.bypass,
				Counted: true, Packets: binary.NativeEndian.Uint64(e[f.counters:]),
			})
		}
		offset += next
	}
	return rules, nil
}

// legacyTarget reports whether a target queues. The name is empty for the standard target, which is a verdict, or the
// offset of a chain to jump to.
func legacyTarget(name string, revision uint8, data []byte) (to target, ok bool, err error) {
	switch name {
	case nfqueueName:
		to, err = nfqueue(uint32(revision), data)
		return to, err == nil, err
	case "":
		if len(data) < 4 {
			return target{}, false, errCut
		}
		return spread(0, 1), int32(binary.NativeEndian.Uint32(data)) == verdictQueue, nil // -j QUEUE
	}
	return target{}, false, nil
}

// cString is the text in b before its first zero byte.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
