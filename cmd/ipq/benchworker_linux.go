package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The traffic is made by processes of their own, so that this one's CPU time is the reader's, and the two do not share a
// Go scheduler. They are this program again, each with a socket that was made here: connected, and in the right network.
const (
	workFlood     = "flood"     // send packets until killed
	workRoundTrip = "roundtrip" // send one packet at a time, and wait until it is back
	workEcho      = "echo"      // send packets back until killed
	workSend      = "send"      // write to a connection until killed
	workReceive   = "receive"   // read from a connection
)

// benchWork is the work of such a process.
func benchWork(w io.Writer, work string, turn time.Duration) error {
	var result benchValues
	var err error
	switch work {
	case workFlood:
		err = sendPackets(workerFD)
	case workRoundTrip:
		result, err = roundTrips(workerFD, turn)
	case workEcho:
		err = sendBack(workerFD)
	case workSend:
		err = sendStream(workerFD)
	case workReceive:
		result, err = receiveStream(workerFD, turn)
	default:
		err = usageError(fmt.Errorf("--%s: %q is no work", workerFlag, work))
	}
	if err != nil {
		return err
	}
	return writeJSON(w, result)
}

// workerFD is the socket of a worker.
const workerFD = 3

// benchWorker is a running worker.
type benchWorker struct {
	work           string
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func startWorker(work string, turn time.Duration, socket *os.File) (*benchWorker, error) {
	// Also when the file of this program is gone.
	cmd := exec.Command("/proc/self/exe", "bench", "--"+workerFlag, work, "--time", turn.String())
	w := &benchWorker{work: work, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &w.stdout, &w.stderr
	cmd.ExtraFiles = []*os.File{socket} // becomes workerFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process that makes traffic: %w", err)
	}
	return w, nil
}

// result waits for the worker and returns what it has found out.
func (w *benchWorker) result() (v benchValues, err error) {
	if err := w.cmd.Wait(); err != nil {
		if says := strings.TrimPrefix(strings.TrimSpace(w.stderr.String()), "ipq: "); says != "" {
			err = errors.New(says)
		}
		return nil, fmt.Errorf("%s: %w", w.work, err)
	}
	if err := json.Unmarshal(w.stdout.Bytes(), &v); err != nil {
		return nil, fmt.Errorf("%s: %w", w.work, err)
	}
	return v, nil
}

// kill ends the worker.
func (w *benchWorker) kill() {
	w.cmd.Process.Kill()
	w.cmd.Wait() // that it was killed is no news
}
