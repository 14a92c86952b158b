#!/bin/sh
# A lasting connection of github.com/google/nftables is closed by Go's garbage collector when the program has no reference to
# it any more, and the table that it owns goes with it: rules vanish at some later collection, while the program runs.
#
# Versions: Linux 6.18, Go 1.26, github.com/google/nftables v0.3.1-0.20251119083706-1db35da82052.
# Input:    a function opens a connection with nftables.AsLasting, adds a table with TableFlagOwner, flushes, and returns.
#           The documentation of AsLasting says that CloseLasting closes the connection.
# Seen:     "after Flush: table there", "after a garbage collection: table gone".
#           A program that installs owned rules at its start and forgets about them has to keep the Conn in a variable that
#           lives as long as the rules.
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
	"runtime"
	"time"

	"github.com/google/nftables"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

//go:noinline
func install() {
	owner, err := nftables.New(nftables.AsLasting())
	must(err)
	owner.AddTable(&nftables.Table{Name: "owned", Family: nftables.TableFamilyINet, Flags: nftables.TableFlagOwner})
	must(owner.Flush())
}

func there() bool {
	c, err := nftables.New()
	must(err)
	tables, err := c.ListTables()
	must(err)
	return len(tables) > 0
}

func show(when string) {
	state := "gone"
	if there() {
		state = "there"
	}
	fmt.Printf("after %s: table %s\n", when, state)
}

func main() {
	install()
	show("Flush")
	// The file is closed by a cleanup, which runs some time after the collection.
	for end := time.Now().Add(10 * time.Second); there() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		runtime.GC()
	}
	show("a garbage collection")
}
GO
go mod init finding 2>/dev/null
go get github.com/google/nftables@v0.3.1-0.20251119083706-1db35da82052 >/dev/null 2>&1
go build -o finding .
timeout 60 unshare -n ./finding | tee seen
diff - seen <<'SEEN'
after Flush: table there
after a garbage collection: table gone
SEEN
