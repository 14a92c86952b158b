package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"ipq/internal/privilege"
	"ipq/ipqueue"
)

func newEmulateCommand() *cobra.Command {
	e := emulation{socket: ipqueue.DefaultSocket, maxLen: ipqueue.DefaultMaxLen}
	cmd := &cobra.Command{
		Use:   "emulate",
		Short: "serve programs written for ip_queue, in place of its modules",
		Long: `Does what "modprobe ip_queue ip6_queue" did up to Linux 3.4: takes the packets
that -j QUEUE sends to queue 0 and gives them to programs that use libipq, one
for each address family at a time. Programs find it by the libipq of this
project, or are started with "ipq run".

Nobody but root and the user of the service may write to the directory of the
socket. Anyone may connect to it, as anyone could open a netlink socket; what a
program asks for is then refused with EPERM unless it runs as root. With
--group, the members of that group may use it too, and nobody else can connect.

As long as no program has set a mode, queued packets are dropped. When the
service stops or is killed, what waited for a verdict is dropped, and the
kernel drops what comes next, or lets it pass where the rule says so (NFQUEUE
--queue-bypass; -j QUEUE has no such thing). A program that uses this project's
libipq connects again by itself once the service is back. Another one reads an
end of file, and has to be started again.

The service gives up every capability but CAP_NET_ADMIN. As root it still owns
root's files, and can open none of them for writing. The directory of the
socket must be one that its user may write to without any other capability.

Without the service, and without ip_queue in the kernel, such programs fail
with "Protocol not supported". "ipq doctor" shows whether it runs, and "ipq ps"
what /proc/net/ip_queue showed.`,
		Example: `# In place of modprobe ip_queue
ipq emulate
# Members of the group "filter" may use it; IPv6 comes by a queue of its own
ipq emulate --group filter --queue6 6`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&e.socket, "socket", e.socket, "`PATH` of the socket that programs connect to")
	flags.Uint16Var(&e.queue4, "queue4", 0, "queue `N` has the IPv4 packets (default 0)")
	flags.Uint16Var(&e.queue6, "queue6", 0, "queue `N` has the IPv6 packets (default 0)")
	flags.Int64Var(&e.maxLen, "maxlen", e.maxLen, "let `N` packets of each family wait, and drop more; -1: any number")
	flags.StringVar(&e.group, "group", "", "let the members of `GROUP`, a name or a number, use it")
	return cmd
}

// emulation is one run of the command.
type emulation struct {
	socket         string
	queue4, queue6 uint16
	maxLen         int64
	group          string
}

func (e *emulation) run(cmd *cobra.Command) error {
	config, mode, gid, err := e.config()
	if err != nil {
		return usageError(err)
	}
	if gid >= 0 {
		privilege.Join(gid) // so that it may give the socket to that group
	}
	if err := restrict(cmd.Context(), privilege.NetAdmin, e.queue4, e.queue6); err != nil {
		return err
	}
	h, err := ipqueue.Open(config)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return unableError(err)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if e.socket == ipqueue.DefaultSocket {
		if err := os.MkdirAll(filepath.Dir(e.socket), 0o755); err != nil {
			return err
		}
	}
	l, err := ipqueue.Listen(e.socket, mode, gid)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "serving ip_queue programs at %s: IPv4 from queue %d, IPv6 from queue %d\n", e.socket, e.queue4, e.queue6)
	notifyReady()
	seal(cmd.ErrOrStderr(), 0)
	return h.Serve(cmd.Context(), l)
}

// config is what the flags say.
func (e *emulation) config() (c ipqueue.Config, mode fs.FileMode, gid int, err error) {
	c = ipqueue.Config{Queue4: e.queue4, Queue6: e.queue6}
	switch {
	case e.maxLen == -1:
		c.MaxLen = math.MaxUint32
	case e.maxLen < 1 || e.maxLen > math.MaxUint32:
		return c, 0, 0, fmt.Errorf("--maxlen %d: use 1 to %d, or -1", e.maxLen, uint32(math.MaxUint32))
	default:
		c.MaxLen = uint32(e.maxLen)
	}
	if e.group == "" {
		return c, 0o666, -1, nil
	}
	if gid, err = groupID(e.group); err != nil {
		return c, 0, 0, fmt.Errorf("--group: %w", err)
	}
	c.Allow = ipqueue.RootOrGroup(uint32(gid))
	return c, 0o660, gid, nil
}

func groupID(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	gid, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q", name)
	}
	return int(gid), nil
}

// notifyReady tells a service manager that asked for it (sd_notify(3)) that
// programs can connect now.
func notifyReady() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	var d net.Dialer
	c, err := d.DialContext(context.Background(), "unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprint(c, "READY=1")
}
