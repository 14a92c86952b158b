package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"ipq/internal/sandbox"
)

// The tool itself is the judge: what it prints for a packet, we print.
func TestLineAgainstTcpdump(t *testing.T) {
	tool, err := exec.LookPath("tcpdump")
	sandbox.Require(t, "tcpdump", err == nil, "tcpdump is not installed")
	all := cases(t)
	for _, c := range shown {
		all[c.line] = unhex(t, c.hex)
	}
	for name, b := range all {
		for _, verbose := range []bool{false, true} {
			flags := []string{"-n", "-t", "-S", "-r", "-"}
			if verbose {
				if strings.HasPrefix(name, "dns") {
					continue // tcpdump repeats the question; ours is the same as without -v
				}
				flags = append(flags, "-v")
				if b[0]>>4 == 4 && b[9] == 17 || b[0]>>4 == 6 && b[6] == 17 {
					flags = append(flags, "-v") // it compares UDP checksums only then
				}
			}
			cmd := exec.Command(tool, flags...)
			cmd.Stdin = bytes.NewReader(pcap(b))
			cmd.SysProcAttr = ordinaryUser()
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			l := &lines{Names: names{Numeric: true}, Stamp: stamp{Form: stampNone}, Verbose: verbose}
			got, want := text(l, b, len(b)), strings.TrimSpace(string(out))
			want = strings.ReplaceAll(want, ",  ", ", ") // it doubles a blank here and there
			if verbose {
				want, _, _ = strings.Cut(want, "\n\t") // the packet that an ICMP error quotes
				if strings.Contains(got, "ICMP6") {    // it leaves out the length of some
					got, _, _ = strings.Cut(got, ", length")
					want, _, _ = strings.Cut(want, ", length")
				}
			}
			if got != want {
				t.Errorf("%s, verbose %t\n got %s\nwant %s", name, verbose, got, want)
			}
		}
	}
}

// pcap is a capture file with one packet.
func pcap(b []byte) []byte {
	f := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	f = append(f, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)
	f = binary.LittleEndian.AppendUint32(f, 101) // LINKTYPE_RAW
	f = append(f, 1, 0, 0, 0, 0, 0, 0, 0)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(b)))
	f = binary.LittleEndian.AppendUint32(f, uint32(len(b)))
	return append(f, b...)
}

// ordinaryUser makes a process believe that it is not root. Started by the root
// of a user namespace with one user, tcpdump would try to become another, and
// fail.
func ordinaryUser() *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: os.Getgid(), Size: 1}},
	}
}
