#!/bin/sh
# Where the readers' CPU time goes in one experiment (default: drain): the share of their samples in the program itself, in
# the system call that receives, in the one that answers, and in the rest: starting, sleeping, being woken.
# Needs perf, and root.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/bench" .
perf record -a -g -F 8000 -o "$dir/data" -- "$dir/bench" -only "${1:-drain}" -pairs 12 -readers lnfq,limit >&2
perf script -i "$dir/data" -F comm,ip,sym --comm ipq,limit,lnfq 2>/dev/null | awk '
	BEGIN { RS = ""; FS = "\n" }
	NF > 1 {
		split($1, first, " "); reader = first[1]
		if ($0 ~ /sys_recvmmsg|sys_recvfrom/) part = "receive"
		else if ($0 ~ /sys_sendmsg|sys_sendto/) part = "verdict"
		else if ($2 ~ /^[ \t]*ffff/) part = "rest"
		else part = "program"
		all[reader]++; in_part[reader, part]++
	}
	END {
		printf "%-8s %8s %8s %8s %8s\n", "", "program", "receive", "verdict", "rest"
		n = split("ipq limit lnfq", readers, " ")
		for (i = 1; i <= n; i++) {
			r = readers[i]
			if (all[r]) printf "%-8s %7.0f%% %7.0f%% %7.0f%% %7.0f%%\n", r, 100 * in_part[r, "program"] / all[r],
				100 * in_part[r, "receive"] / all[r], 100 * in_part[r, "verdict"] / all[r], 100 * in_part[r, "rest"] / all[r]
		}
	}'
