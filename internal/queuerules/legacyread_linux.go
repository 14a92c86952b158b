package queuerules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options of getsockopt; the same numbers for both families.
const (
	optGetInfo    = 64 // IPT_SO_GET_INFO
	optGetEntries = 65 // IPT_SO_GET_ENTRIES
)

// legacy lists the rules of iptables-legacy in the caller's network namespace. Only tables that exist are asked for: the
// kernel loads a module for any other name.
func legacy() (rules []Rule, err error) {
	for _, f := range legacyFamilies {
		names, err := os.ReadFile("/proc/thread-self/net/" + f.names)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ip_tables is not loaded
		}
		if err != nil {
			return rules, err
		}
		for name := range bytes.FieldsSeq(names) {
			table, err := f.read(string(name))
			rules = append(rules, table...)
			if err != nil {
				return rules, fmt.Errorf("read table %s of %s-legacy: %w", name, map[string]string{"ip": "iptables", "ip6": "ip6tables"}[f.name], err)
			}
		}
	}
	return rules, nil
}

// read lists the rules of a table that exists. It needs CAP_NET_ADMIN.
func (f legacyFamily) read(table string) ([]Rule, error) {
	domain := unix.AF_INET
	if f.level == unix.IPPROTO_IPV6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for range attempts {
		head := make([]byte, legacyInfoSize)
		copy(head[:legacyNameSize-1], table)
		if err := getsockopt(fd, f.level, optGetInfo, head); err != nil {
			if errors.Is(err, unix.ENOENT) {
				return nil, nil // gone meanwhile
			}
			return nil, err
		}
		info, err := parseLegacyInfo(head)
		if err != nil {
			return nil, err
		}
		entries := make([]byte, legacyEntriesSize+int(info.size))
		copy(entries[:legacyNameSize-1], table)
		binary.NativeEndian.PutUint32(entries[legacyNameSize:], info.size)
		err = getsockopt(fd, f.level, optGetEntries, entries)
		if errors.Is(err, unix.EAGAIN) {
			continue // another size: the table was replaced meanwhile
		}
		if err != nil {
			return nil, err
		}
		return f.rules(table, info, entries[legacyEntriesSize:])
	}
	return nil, errChanging
}

// getsockopt hands b to the kernel to read and to fill.
func getsockopt(fd, level, option int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}
