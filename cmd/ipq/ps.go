package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipq/ipqueue"
)

func newPsCommand() *cobra.Command {
	var out format
	socket := ipqueue.DefaultSocket
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "list every queue: who owns it, what waits, what was lost",
		Long: `Lists the queues that are bound in every network namespace that a process lives
in, or that has a name in /run/netns. One line for each queue:

  QUEUE     its number, as the rule that feeds it says
  PID NAME  the process that reads it; - when it is not visible from here
  MODE      what is copied to the process: packet, meta (no payload), or none,
            in which case the kernel drops everything that comes
  RANGE     how many bytes of each packet are copied at most
  PACKETS   how many packets have come since it was bound (the count wraps)
  WAITING   packets that have no verdict yet
  FULL      packets dropped because the queue was full
  BUFFER    packets dropped because the process read too slowly and the buffer
            of its socket was full
  NETNS     the network namespace; - for the one that ipq itself runs in

Under the table is a line for each rule that sends packets to a queue that no
program reads: the kernel drops them, or lets them pass unseen where the rule
has bypass. The counter is the rule's own, since it was made or reset. Rules
are those of nftables, which are those of iptables-nft too, and of
iptables-legacy; a rule that no packet can reach is left out, and so is one
that takes the number of the queue out of a map. Another line is for each
process that packets wait for, and that has lost CAP_NET_ADMIN: the kernel
refuses its verdicts.

With -o json each queue, each such rule (it has "unread_queues") and each
family of the ip_queue service (it has "service") is an object on a line of its
own.

Only root sees all queues, and the rules of all network namespaces. Packets
that a process dropped by its verdict are not counted here: they are not lost.`,
		Example: `# Who owns queue 0? What was lost?
ipq ps
# The same for programs
ipq ps -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runtime.GOOS != "linux" {
				return unableError(errors.New("packet queues exist on Linux only"))
			}
			v, err := lookAtHost("/proc", "/run/netns")
			if err != nil {
				return unableError(err)
			}
			for _, h := range v.hidden {
				fmt.Fprintf(cmd.ErrOrStderr(), "ipq: %s\n", h)
			}
			if out == formatJSON {
				err = v.writeJSON(cmd.OutOrStdout())
			} else {
				err = v.print(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return printService(cmd.OutOrStdout(), socket, out)
		},
	}
	addFormatFlag(cmd, &out)
	cmd.Flags().StringVar(&socket, "socket", socket, "`PATH` of the socket of the ip_queue service")
	return cmd
}

// hostQueue is one bound queue.
type hostQueue struct {
	Queue        uint16 `json:"queue"`
	PortID       uint32 `json:"portid"`         // netlink port of the owner's socket
	PID          int    `json:"pid,omitempty"`  // 0 when not visible
	Name         string `json:"name,omitempty"` // of that process
	Mode         string `json:"mode"`           // none, meta, packet
	Range        uint32 `json:"range"`
	Packets      uint32 `json:"packets"`
	Waiting      uint32 `json:"waiting"`
	QueueDropped uint32 `json:"queue_dropped"`
	UserDropped  uint32 `json:"user_dropped"`
	Netns        string `json:"netns,omitempty"` // a name, or "pid N" of a process in it; empty for the caller's own
	NetnsInode   uint64 `json:"netns_inode,omitempty"`
	Refused      bool   `json:"refused,omitempty"` // packets wait, and the kernel takes no verdict from that process
}

func (v hostView) writeJSON(w io.Writer) error {
	for _, q := range v.queues {
		if err := writeJSON(w, q); err != nil {
			return err
		}
	}
	for _, r := range v.unread {
		if err := writeJSON(w, r); err != nil {
			return err
		}
	}
	return nil
}

// print writes the table of queues, and under it what is wrong with some of them.
func (v hostView) print(w io.Writer) error {
	if err := printQueues(w, v.queues); err != nil {
		return err
	}
	var wrong []string
	for _, q := range v.queues {
		if q.Refused {
			wrong = append(wrong, q.title()+" of "+q.owner()+": "+q.refusal())
		}
	}
	for _, r := range v.unread {
		wrong = append(wrong, r.name()+": "+r.finding())
	}
	if len(wrong) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(wrong, "\n"))
	return err
}

// title is the queue's number, and where it is.
func (q hostQueue) title() string {
	title := "queue " + strconv.Itoa(int(q.Queue))
	if q.Netns != "" {
		title += " in " + printable(q.Netns)
	}
	return title
}

// owner is the process that reads it.
func (q hostQueue) owner() string {
	if q.PID == 0 {
		return "a process that is not visible from here"
	}
	return fmt.Sprintf("process %d (%s)", q.PID, printable(q.Name))
}

// refusal says why the packets wait.
func (q hostQueue) refusal() string {
	return fmt.Sprintf("packets that wait: %d; the process has no CAP_NET_ADMIN, without which the kernel refuses its verdicts", q.Waiting)
}

func printQueues(w io.Writer, queues []hostQueue) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "QUEUE\tPID\tNAME\tMODE\tRANGE\tPACKETS\tWAITING\tFULL\tBUFFER\tNETNS")
	for _, q := range queues {
		pid, name, netns := "-", "-", "-"
		if q.PID != 0 {
			pid, name = strconv.Itoa(q.PID), printable(q.Name)
		}
		if q.Netns != "" {
			netns = printable(q.Netns)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n",
			q.Queue, pid, name, q.Mode, q.Range, q.Packets, q.Waiting, q.QueueDropped, q.UserDropped, netns)
	}
	return t.Flush()
}
