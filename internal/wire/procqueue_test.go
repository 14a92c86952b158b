package wire_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ipq/internal/wire"
)

// The first two lines are what Linux 6.18 prints, the third is from a kernel
// that prints the port signed.
const queueTable = `    0   3120     2 2 65531     7     3      211  1
  100 3870416614     0 1     0     0     0        0  1
65535  -4097     1 0 65535     0     0 4294967295  1
`

var queueTableInfo = []wire.QueueInfo{
	{Number: 0, PortID: 3120, Waiting: 2, CopyMode: 2, CopyRange: 65531, QueueDropped: 7, UserDropped: 3, IDSequence: 211},
	{Number: 100, PortID: 3870416614, CopyMode: 1},
	{Number: 65535, PortID: 1<<32 - 4097, Waiting: 1, CopyRange: 65535, IDSequence: 1<<32 - 1},
}

func TestParseQueueTable(t *testing.T) {
	got, err := wire.ParseQueueTable([]byte(queueTable))
	if err != nil || !slices.Equal(got, queueTableInfo) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, queueTableInfo)
	}
	if got, err := wire.ParseQueueTable(nil); got != nil || err != nil {
		t.Errorf("an empty table: %v, %v", got, err)
	}
}

func TestParseQueueTableMalformed(t *testing.T) {
	good := "0 3120 2 2 65531 7 3 211 1\n"
	for _, bad := range []string{
		"\n",
		"0 3120 2 2 65531 7 3 211\n", // cut off
		"65536 3120 2 2 65531 7 3 211 1\n",
		"-1 3120 2 2 65531 7 3 211 1\n",
		"0 3120 2 256 65531 7 3 211 1\n",
		"0 3120 2 2 65531 4294967296 3 211 1\n",
		"0 4294967296 2 2 65531 7 3 211 1\n",
		"0 -2147483649 2 2 65531 7 3 211 1\n",
		"0 0x10 2 2 65531 7 3 211 1\n",
		"0 3120 2 2 65531 7 3 211 x\n",
	} {
		got, err := wire.ParseQueueTable([]byte(good + bad))
		if err == nil || got != nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, %v; want an error about line 2", bad, got, err)
		}
	}
}

// What is parsed can be printed as the kernel prints it and parsed again, and a
// parser made of fmt's scanner reads the same from it.
func FuzzParseQueueTable(f *testing.F) {
	f.Add([]byte(queueTable))
	f.Add([]byte("1 1 1 1 1 1 1 1 1 1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		queues, err := wire.ParseQueueTable(b)
		if err != nil {
			if queues != nil {
				t.Fatalf("both a table and an error: %v, %v", queues, err)
			}
			return
		}
		if want := bytes.Count(b, []byte("\n")); len(queues) != want && len(queues) != want+1 {
			t.Fatalf("%d queues out of %d lines", len(queues), want)
		}
		var out bytes.Buffer
		for _, q := range queues {
			fmt.Fprintf(&out, "%5d %6d %5d %1d %5d %5d %5d %8d %2d\n", q.Number, q.PortID, q.Waiting,
				q.CopyMode, q.CopyRange, q.QueueDropped, q.UserDropped, q.IDSequence, 1)
		}
		again, err := wire.ParseQueueTable(out.Bytes())
		if err != nil || !slices.Equal(queues, again) {
			t.Fatalf("%q\nreads as %+v\nthen as  %+v, %v", b, queues, again, err)
		}
		for i, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
			if len(queues) == 0 {
				break
			}
			var q wire.QueueInfo
			var one int
			if _, err := fmt.Sscan(line, &q.Number, &q.PortID, &q.Waiting, &q.CopyMode, &q.CopyRange,
				&q.QueueDropped, &q.UserDropped, &q.IDSequence, &one); err != nil || q != queues[i] {
				t.Fatalf("%q: scanned %+v, %v; parsed %+v", line, q, err, queues[i])
			}
		}
	})
}
