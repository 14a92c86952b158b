package main_test

import (
	"bufio"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
)

// emulate runs "ipq emulate" and waits until it serves.
func emulate(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := prepare(t, append([]string{"emulate"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "serving ip_queue programs at ") {
		t.Fatalf("ipq emulate says %q, %v", line, err)
	}
	return cmd
}

// peer asks for a socket and sets a mode, so that it becomes the peer.
func peer(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := ipqueue.Dial(path, ipqueue.Hello{Family: ipqueue.IPv4, PID: 700})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	layout := wire.IPQLayout(strconv.IntSize / 8)
	h := wire.IPQHeader{Type: wire.IPQTypeMode, Flags: wire.IPQFlagRequest | wire.IPQFlagAck, PID: 700}
	b := layout.AppendMode(wire.AppendIPQMessage(nil, h, layout.VerdictSize()), wire.IPQMode{Value: wire.IPQCopyMeta})
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	n, err := f.Read(answer)
	if e, decodeErr := wire.DecodeIPQError(answer[:n]); err != nil || decodeErr != nil || e.Errno != 0 {
		t.Fatalf("answered %x, %v, %v", answer[:n], err, decodeErr)
	}
	return f
}

// The life of the service: it serves, is killed, comes back at the same place,
// and goes in order.
func TestEmulate(t *testing.T) {
	sandbox.RequireNamespaces(t)
	path := filepath.Join(t.TempDir(), "ipq.sock")
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		cmd := emulate(t, nil, "--socket", path, "--maxlen", "77", "--queue6", "6")
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o666 {
			t.Errorf("the socket: %v, %v", info.Mode(), err)
		}
		program := peer(t, path)
		s, err := ipqueue.ReadStatus(path)
		if err != nil || s.IPv4.PeerPID != 700 || s.IPv4.CopyMode != 1 || s.IPv4.MaxLength != 77 || s.IPv4.Queue != 0 || s.IPv6.Queue != 6 || s.IPv6.Programs != 0 {
			t.Errorf("status %+v, %v", s, err)
		}
		for _, queue := range []int{0, 6} {
			if row, ok := psRow(t, "", queue); !ok || row.PID != cmd.Process.Pid {
				t.Errorf("queue %d belongs to %+v", queue, row)
			}
		}
		e := run(t, "ps", "--socket", path)
		for _, want := range []string{"Peer PID          : 700\n", "Queue max. length : 77\n", "Netfilter dropped : 0\n"} {
			if !strings.Contains(e.stdout, want) {
				t.Errorf("ps does not say %q:\n%s%s", want, e.stdout, e.stderr)
			}
		}
		e = run(t, "ps", "--socket", path, "-o", "json")
		if want := `"family":"ip","queue":0,"programs":1,"peer_pid":700,`; !strings.Contains(e.stdout, want) {
			t.Errorf("ps -o json does not say %s:\n%s%s", want, e.stdout, e.stderr)
		}
		cmd.Process.Signal(end)
		if n, err := program.Read(make([]byte, 100)); err != io.EOF {
			t.Errorf("after %v the program read %d bytes, %v; want an end of file", end, n, err)
		}
		cmd.Wait()
		_, err = os.Lstat(path)
		if killed := end == syscall.SIGKILL; killed != (err == nil) || killed == (cmd.ProcessState.ExitCode() == 0) {
			t.Errorf("after %v: exit status %d, and the socket: %v", end, cmd.ProcessState.ExitCode(), err)
		}
	}
}

// With a group, nobody else can connect. The group need not be one that root is in, and what a service that was killed has
// left there is replaced.
func TestEmulateGroup(t *testing.T) {
	sandbox.RequireNamespaces(t)
	gid := os.Getgid()
	if secondUser(t) {
		gid = 65534
	}
	path := filepath.Join(t.TempDir(), "ipq.sock")
	for range 2 {
		service := emulate(t, nil, "--socket", path, "--group", strconv.Itoa(gid))
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != gid {
			t.Fatalf("the socket: %v, %v; want group %d", info, err, gid)
		}
		peer(t, path)
		service.Process.Kill()
		service.Wait()
	}
}

// Root that has nothing but CAP_NET_ADMIN gives the socket only to a group that it is in.
func TestEmulateGroupOfOthers(t *testing.T) {
	sandbox.RequireNamespaces(t)
	sandbox.Require(t, "root", secondUser(t), "needs a second group")
	for groups, says := range map[string]string{"--groups=65534": "serving", "--clear-groups": "SupplementaryGroups="} {
		cmd := program(t, "setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", groups,
			binary(t), "emulate", "--socket", filepath.Join(t.TempDir(), "ipq.sock"), "--group", "65534")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.Contains(line, says) {
			t.Errorf("with %s it says %q, %v; want %q", groups, line, err, says)
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// A service manager is told when programs can connect.
func TestEmulateNotifies(t *testing.T) {
	sandbox.RequireNamespaces(t)
	dir := t.TempDir()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	emulate(t, []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify")}, "--socket", filepath.Join(dir, "ipq.sock"))
	l.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("told %q, %v", b[:n], err)
	}
}

func TestEmulateRefuses(t *testing.T) {
	sandbox.RequireNamespaces(t)
	path := filepath.Join(t.TempDir(), "ipq.sock")
	public := t.TempDir()
	if err := os.Chmod(public, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--maxlen", "0"}, 64, "--maxlen 0"},
		{[]string{"--maxlen", "-2"}, 64, "--maxlen -2"},
		{[]string{"--maxlen", "4294967296"}, 64, "--maxlen"},
		{[]string{"--group", "no-such-group"}, 64, `no group "no-such-group"`},
		{[]string{"--queue4", "65536"}, 64, "queue4"},
		{[]string{"argument"}, 64, "argument"},
		{[]string{"--socket", filepath.Join(public, "ipq.sock")}, 1, "others may write to the directory " + public},
	} {
		if e := run(t, append([]string{"emulate", "--socket", path}, test.args...)...); e.status != test.status || !strings.Contains(e.stderr, test.says) {
			t.Errorf("%v: status %d, %q", test.args, e.status, e.stderr)
		}
	}
	first := emulate(t, nil, "--socket", path)
	if e := run(t, "emulate", "--socket", path+"2"); e.status != 1 || !strings.Contains(e.stderr, strconv.Itoa(first.Process.Pid)) {
		t.Errorf("a second one: status %d, %q; want the owner's pid", e.status, e.stderr)
	}
	if e := run(t, "emulate", "--socket", path, "--queue4", "4", "--queue6", "6"); e.status != 1 || !strings.Contains(e.stderr, "a service runs there already") {
		t.Errorf("a second one at the same place: status %d, %q", e.status, e.stderr)
	}
	if _, err := ipqueue.ReadStatus(path); err != nil {
		t.Errorf("the first one does not answer any more: %v", err)
	}
}
