#!/bin/sh
# github.com/google/nftables v0.3.0 creates a table without the flags in Table.Flags, and reports no error.
#
# Versions: Linux 6.18, Go 1.26, github.com/google/nftables v0.3.0.
# Input:    a connection made with nftables.AsLasting, and a table with Flags 2 (NFT_TABLE_F_OWNER of
#           linux/netfilter/nf_tables.h). The field is documented as NFTA_TABLE_FLAGS. With the flag the table belongs to
#           the socket: the kernel deletes it when the socket is closed, also after SIGKILL.
# Seen:     "flags after Flush: 0", "table after the socket was closed: still there".
#           Rules that were meant to vanish with their program outlive it.
# The commit v0.3.1-0.20251119083706-1db35da82052 sends the flag: the same program prints "flags after Flush: 2" and
# "table after the socket was closed: gone".
# Run it as root. It works in a network namespace of its own. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"log"

	"github.com/google/nftables"
)

// NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h
const tableOwner = 2

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	owner, err := nftables.New(nftables.AsLasting())
	must(err)
	table := owner.AddTable(&nftables.Table{Name: "owned", Family: nftables.TableFamilyINet, Flags: tableOwner})
	must(owner.Flush())
	other, err := nftables.New()
	must(err)
	tables, err := other.ListTables()
	must(err)
	for _, t := range tables {
		if t.Name == table.Name {
			fmt.Println("flags after Flush:", t.Flags)
		}
	}
	must(owner.CloseLasting())
	tables, err = other.ListTables()
	must(err)
	state := "gone"
	for _, t := range tables {
		if t.Name == table.Name {
			state = "still there"
		}
	}
	fmt.Println("table after the socket was closed:", state)
}
GO
go mod init finding 2>/dev/null
go get "github.com/google/nftables@${VERSION:-v0.3.0}" >/dev/null 2>&1
go build -o finding .
unshare -n ./finding | tee seen
grep -qx 'flags after Flush: 0' seen
grep -qx 'table after the socket was closed: still there' seen
