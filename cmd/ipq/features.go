package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"ipq"
	"ipq/internal/filter"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// features is what a kernel lets this process do in one network namespace,
// found out by doing it. Empty strings are good news.
type features struct {
	Denied   bool      `json:"denied"`   // the privilege is missing; the rest says nothing
	Queue    string    `json:"queue"`    // why no queue can be opened
	Lacking  ipq.Flags `json:"lacking"`  // flags that the kernel does not have
	Buffer   int       `json:"buffer"`   // bytes granted to a receive buffer of bufferWanted
	Rules    string    `json:"rules"`    // why no rule can queue
	Encoding string    `json:"encoding"` // how a rule says it: native, compat
	Watch    string    `json:"watch"`    // why the rules of watch cannot be installed; only tried in a sandbox
}

const allFlags = ipq.FlagFailOpen | ipq.FlagConntrack | ipq.FlagGSO | ipq.FlagUIDGID | ipq.FlagSecurityContext

// bufferWanted is the receive buffer that watch has use for on a busy host.
const bufferWanted = 8 << 20

// probeFeatures tries what can be tried without touching anybody's packets: it
// binds a queue that is free, and makes a rule that no packet can reach.
func probeFeatures() features {
	var f features
	q, err := openFree(func(n uint16) (*ipq.Queue, error) {
		return ipq.Open(ipq.Config{Queue: n, Flags: allFlags, RecvBuffer: bufferWanted})
	})
	if err != nil {
		f.Denied = errors.Is(err, os.ErrPermission)
		f.Queue = err.Error()
	} else {
		f.Lacking = allFlags &^ q.Flags()
		f.Buffer = q.RecvBuffer()
		q.Close()
	}
	encoding, err := rules.Probe("")
	if err != nil {
		f.Denied = f.Denied || errors.Is(err, os.ErrPermission)
		f.Rules = err.Error()
	} else {
		f.Encoding = encoding.String()
	}
	return f
}

// probeInside does it in a sandbox, where more may be tried, and where a user
// with no privilege has it all. It is the other end of askInside.
func probeInside() (features, error) {
	if err := sandbox.Enter(); err != nil {
		return features{}, err
	}
	f := probeFeatures()
	everything, err := filter.Parse("")
	if err != nil {
		return features{}, err
	}
	table, err := rules.Install(watchPlan(everything, firstFree))
	if err != nil {
		f.Watch = err.Error()
	} else {
		table.Close()
	}
	return f, nil
}

// insideFlag makes doctor print the features of a sandbox and nothing else.
const insideFlag = "inside"

// askInside starts this program again to probe a sandbox.
func askInside(ctx context.Context) (features, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	path, err := os.Executable()
	if err != nil {
		return features{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "doctor", "--"+insideFlag)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if says := strings.TrimPrefix(strings.TrimSpace(stderr.String()), "ipq: "); says != "" {
			return features{}, errors.New(says)
		}
		return features{}, fmt.Errorf("probe in a sandbox: %w", err)
	}
	var f features
	if err := json.Unmarshal(stdout.Bytes(), &f); err != nil {
		return features{}, fmt.Errorf("probe in a sandbox: %w", err)
	}
	return f, nil
}
