package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// kernelVersion is the number of a kernel: 6.14.2 is {6, 14, 2}. A release candidate is
// before the first release: 6.8-rc3 is {6, 8, candidate}.
type kernelVersion [3]int

const candidate = -1

// parseKernelVersion reads the start of a release such as "6.18.44-generic".
func parseKernelVersion(release string) (v kernelVersion, ok bool) {
	numbers, rest := release, ""
	if i := strings.IndexFunc(release, func(c rune) bool { return c != '.' && (c < '0' || c > '9') }); i >= 0 {
		numbers, rest = release[:i], release[i:]
	}
	n, _ := fmt.Sscanf(numbers, "%d.%d.%d", &v[0], &v[1], &v[2])
	if strings.HasPrefix(rest, "-rc") {
		v[2] = candidate
	}
	return v, n >= 2
}

func (v kernelVersion) before(w kernelVersion) bool { return slices.Compare(v[:], w[:]) < 0 }

// String is "6.14.2", and "6.8" for the first of a series and its candidates.
func (v kernelVersion) String() string {
	if v[2] <= 0 {
		return fmt.Sprintf("%d.%d", v[0], v[1])
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}

// oldest is the first kernel whose tables go away with the process that made
// them.
var oldest = kernelVersion{5, 12}

// kernelBug is a fault of some kernels that users of queues have met.
type kernelBug struct {
	what string
	// Kernels from the first of a pair on, and before the second, have it.
	kernels [][2]kernelVersion
	fix     string // the kernels to use; those of a distribution may have the fix under an old number
}

var kernelBugs = []kernelBug{
	{
		// Linux commit ee04805ff54a, and d005fbb855d3 that mended it. 5.6 ended without.
		"it can crash when a program answers a packet of a tracked connection",
		[][2]kernelVersion{{{5, 4, 44}, {5, 4, 52}}, {{5, 6, 16}, {5, 7, candidate}}, {{5, 7}, {5, 7, 9}}},
		"use Linux 5.4.52, or 5.7.9 or later",
	},
	{
		// Linux commits 6291b3a67ad5 and f82777e8ce6c.
		"the verdict repeat does what accept does: the packet goes on to the next chain",
		[][2]kernelVersion{{{6, 7, candidate}, {6, 7, 5}}, {{6, 8, candidate}, {6, 8}}},
		"use Linux 6.7.5 or later, or no program that answers with repeat",
	},
	{
		// Linux commits 2d470c778120 and 778b09d91baa.
		"it can crash when a packet is queued (CVE-2025-22110)",
		[][2]kernelVersion{{{6, 14, candidate}, {6, 14, 2}}},
		"use Linux 6.14.2 or later, or a kernel that has the fix of CVE-2025-22110",
	},
	{
		"of UDP datagrams that arrive or leave as one train (GRO, UDP_SEGMENT) and begin a tracked connection, it drops all when they are queued without FlagGSO (CVE-2026-45859)",
		[][2]kernelVersion{{{6, 11}, {6, 12, 75}}, {{6, 13, candidate}, {6, 18, 14}}, {{6, 19, candidate}, {6, 19, 4}}},
		"use Linux 6.12.83, 6.18.24, 6.19.14 or later, programs that set FlagGSO, or rules that queue before connection tracking (priority -300)",
	},
	{
		"it can crash when a packet gets its verdict: a use after free where it looks the packet up (CVE-2026-43084)",
		[][2]kernelVersion{{{6, 12, 75}, {6, 12, 83}}, {{6, 18, 14}, {6, 18, 24}}, {{6, 19, 4}, {6, 19, 14}}},
		"use Linux 6.12.83, 6.18.24, 6.19.14 or later, or a kernel that has the fix of CVE-2026-43084",
	},
}

// has reports whether a kernel has the bug, by its number.
func (b kernelBug) has(v kernelVersion) bool {
	return slices.ContainsFunc(b.kernels, func(r [2]kernelVersion) bool { return !v.before(r[0]) && v.before(r[1]) })
}

func (r *report) kernel(release string) {
	finding := "Linux " + printable(release) + ", " + runtime.GOARCH
	v, ok := parseKernelVersion(release)
	if ok && v.before(oldest) {
		r.add("kernel", stateFail, finding, fmt.Sprintf("upgrade to Linux %s or later: before, rules do not go away with the program that made them", oldest))
	} else {
		r.add("kernel", stateOK, finding, "")
	}
	for _, b := range kernelBugs {
		if ok && b.has(v) {
			r.add("kernel", stateNote, "this number is of a kernel with a fault: "+b.what, b.fix)
		}
	}
}
