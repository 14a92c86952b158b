package main_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
	"ipq/rules"
)

// A service that is killed: its program reads an end of file, what waited is
// dropped, and what comes next passes if the rule says so. When the service is
// back, so is a program.
func TestEmulateKilledWithARule(t *testing.T) {
	sandbox.RequireNamespaces(t)
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	port := sink.LocalAddr().(*net.UDPAddr).Port
	source, err := net.DialUDP("udp4", nil, sink.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	send := func(text string) {
		t.Helper()
		if _, err := source.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, bypass := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "ipq.sock")
		table, err := rules.Install(rules.Plan{Target: rules.Target{Bypass: bypass}, Chains: []rules.Chain{{
			Hook:  rules.Output,
			Match: []rules.Match{{Family: rules.IPv4, Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(uint16(port))}}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			cmd := emulate(t, nil, "--socket", path)
			program := peer(t, path)
			send("waits")
			if n, err := program.Read(make([]byte, 1000)); err != nil || n < 88 {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			if s, err := ipqueue.ReadStatus(path); err != nil || s.IPv4.Length != 1 {
				t.Errorf("status %+v, %v", s.IPv4, err)
			}
			cmd.Process.Signal(syscall.SIGKILL)
			if n, err := program.Read(make([]byte, 1000)); err != io.EOF {
				t.Errorf("the program read %d bytes, %v; want an end of file", n, err)
			}
			cmd.Wait()
			send("comes next")
			// lo delivers before the send returns: what is not there now does not come.
			sink.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			b := make([]byte, 100)
			n, err := sink.Read(b)
			switch {
			case bypass && string(b[:n]) != "comes next":
				t.Errorf("with the bypass flag %q arrived, %v", b[:n], err)
			case !bypass && !errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("without the bypass flag %q arrived, %v", b[:n], err)
			}
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	}
}
