package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is what somebody who reads figures has to know about where they were taken.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// String is one line.
func (m machine) String() string {
	cores := "cores"
	if m.Cores == 1 {
		cores = "core"
	}
	return fmt.Sprintf("%s, %d %s, Linux %s, %s", m.CPU, m.Cores, cores, m.Kernel, m.Go)
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = printable(strings.TrimSpace(string(release)))
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = printable(strings.TrimSpace(value))
			break
		}
	}
	return m
}
