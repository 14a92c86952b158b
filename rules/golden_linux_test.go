package rules_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipq/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The bytes of both encodings. testdata/README says how each was checked.
func TestGoldenBytes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden bytes are those of a little-endian machine")
	}
	for _, encoding := range []rules.Encoding{rules.Native, rules.Compat} {
		for _, name := range []string{"everything", "port", "balance cpu", "balance"} {
			messages, err := rules.Messages(plans()[name], encoding)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			for _, m := range messages {
				fmt.Fprintf(&b, "%s %#x\n", messageName(uint16(m.Header.Type)), uint16(m.Header.Flags))
				for line := m.Data; len(line) != 0; {
					n := min(32, len(line))
					fmt.Fprintf(&b, "\t%s\n", hex.EncodeToString(line[:n]))
					line = line[n:]
				}
			}
			file := filepath.Join("testdata", strings.ReplaceAll(encoding.String()+" "+name, " ", "-")+".hex")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s: the bytes are not those of the file; got\n%s", file, &b)
			}
		}
	}
}

// messageName is the kernel's name of a message of nf_tables.
func messageName(kind uint16) string {
	return map[uint16]string{
		0xa00: "NFT_MSG_NEWTABLE", 0xa03: "NFT_MSG_NEWCHAIN", 0xa06: "NFT_MSG_NEWRULE", 0xa12: "NFT_MSG_NEWOBJ", 0xa09: "NFT_MSG_NEWSET", 0xa0c: "NFT_MSG_NEWSETELEM",
	}[kind]
}

// The expressions that queue, byte by byte, as linux/netfilter/nf_tables.h and xt_NFQUEUE.h have them.
func TestQueueBytes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden bytes are those of a little-endian machine")
	}
	target := rules.Target{Queue: 0x1234, Last: 0x1236, Balance: rules.BalanceCPU, Bypass: true}
	p := rules.Plan{Target: target, Chains: []rules.Chain{{Hook: rules.Input}}}
	for _, c := range []struct {
		encoding rules.Encoding
		want     string
	}{
		{rules.Native, "" +
			"0a000100" + hex.EncodeToString([]byte("queue\x00")) + "0000" + // NFTA_EXPR_NAME
			"1c000280" + // NFTA_EXPR_DATA, nested
			"06000100" + "1234" + "0000" + // NFTA_QUEUE_NUM, big-endian
			"06000200" + "0003" + "0000" + // NFTA_QUEUE_TOTAL
			"06000300" + "0003" + "0000"}, // NFTA_QUEUE_FLAGS: NFT_QUEUE_FLAG_BYPASS | NFT_QUEUE_FLAG_CPU_FANOUT
		{rules.Compat, "" +
			"0b000100" + hex.EncodeToString([]byte("target\x00")) + "00" + // NFTA_EXPR_NAME
			"24000280" + // NFTA_EXPR_DATA, nested
			"0c000100" + hex.EncodeToString([]byte("NFQUEUE\x00")) + // NFTA_TARGET_NAME
			"08000200" + "00000003" + // NFTA_TARGET_REV, big-endian
			"0c000300" + "3412" + "0300" + "0300" + "0000"}, // NFTA_TARGET_INFO: struct xt_NFQ_info_v3 in the order of the host
	} {
		messages, err := rules.Messages(p, c.encoding)
		if err != nil {
			t.Fatal(err)
		}
		got := hex.EncodeToString(messages[len(messages)-1].Data)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s is not in %s", c.encoding, c.want, got)
		}
	}
}
