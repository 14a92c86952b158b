package filter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"ipq/internal/filter"
	"ipq/internal/sandbox"
	"ipq/packet"
)

// The filters mean what tcpdump means by them. The packets have no IPv6 extension headers, which tcpdump does not look behind,
// and whole transport headers: tcpdump rejects a packet as soon as a filter reads beyond its end.
func TestAgreesWithTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	sandbox.Require(t, "tcpdump", err == nil, "the command tcpdump says what its language means")
	r := rand.New(rand.NewPCG(3, 3))
	var models []model
	for len(models) < 300 {
		p := randomPacket(r)
		header := 40
		if p.version == 4 {
			header = int(p.bytes[0]&15) * 4
		}
		if len(p.bytes) == header+24 && (p.version == 4 || p.bytes[6] == p.protocol) {
			models = append(models, p)
		}
	}
	compared, matched := 0, 0
	for range 250 {
		w := randomFilter(r, 2)
		program, err := compile(tcpdump, w.text)
		if err != nil {
			t.Errorf("tcpdump does not take %q: %v", w.text, err)
			continue
		}
		f, err := filter.Parse(w.text)
		if err != nil {
			if !strings.Contains(err.Error(), "contradict") {
				t.Errorf("%q: %v", w.text, err)
			}
			continue
		}
		compared++
		var h packet.Headers
		for i, p := range models {
			want := false
			if program != nil {
				n, err := program.Run(p.bytes)
				if err != nil {
					t.Fatal(err)
				}
				want = n > 0
			}
			h.Parse(p.bytes)
			if got := f.Match(&h); got != want {
				t.Fatalf("%q: %v for the packet %d, %x, and tcpdump says %v", w.text, got, i, p.bytes, want)
			}
			if want {
				matched++
			}
		}
	}
	if compared < 150 || matched < 1000 {
		t.Errorf("a bad test: %d filters compared, %d matches", compared, matched)
	}
}

// compile has tcpdump make a program of the filter, for packets that begin with the IP header. It is nil when tcpdump says that
// no packet can match.
func compile(tcpdump, text string) (*bpf.VM, error) {
	capture := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4) // an empty capture file
	capture = binary.LittleEndian.AppendUint16(capture, 2)
	capture = binary.LittleEndian.AppendUint16(capture, 4)
	capture = append(capture, make([]byte, 8)...)
	capture = binary.LittleEndian.AppendUint32(capture, 65535)
	capture = binary.LittleEndian.AppendUint32(capture, 101) // LINKTYPE_RAW
	cmd := exec.Command(tcpdump, "-r", "-", "-ddd", text)
	cmd.Stdin = bytes.NewReader(capture)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(complaint.String(), "rejects all packets") {
			return nil, nil
		}
		return nil, errors.New(complaint.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var program []bpf.Instruction
	for _, line := range lines[1:] { // the first says how many
		var raw bpf.RawInstruction
		if _, err := fmt.Sscan(line, &raw.Op, &raw.Jt, &raw.Jf, &raw.K); err != nil {
			return nil, err
		}
		program = append(program, raw.Disassemble())
	}
	return bpf.NewVM(program)
}
