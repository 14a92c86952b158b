// Command bench measures queue readers side by side: the package ipq, libnetfilter_queue, a C reader at the kernel's
// limit, and the Go libraries that can be had. README.md says how to read what it prints.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "reader":
			exit(runReader(os.Args[2:]))
		case "echo":
			exit(runEcho())
		case "tcp-send":
			exit(runTCPSend())
		}
	}
	o := parseOptions()
	if o.list {
		for _, e := range experiments(o.packets, 3*o.packets) {
			fmt.Printf("%-12s %s\n", e.name, e.about)
		}
		return
	}
	inside, code, err := enterNamespaces()
	if err != nil {
		exit(err)
	}
	if !inside {
		os.Exit(code)
	}
	code, err = run(o)
	if err != nil {
		exit(err)
	}
	os.Exit(code)
}

// exit ends the process, saying why where there is a reason.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	pairs   int
	packets int
	only    []string
	gate    float64
	readers []string
	json    bool
	list    bool
}

func parseOptions() options {
	var o options
	var only, readers string
	flag.IntVar(&o.pairs, "pairs", 9, "`rounds` of each experiment; in a round every reader runs once")
	flag.IntVar(&o.packets, "packets", 20000, "`packets` waiting when a reader starts to drain")
	flag.StringVar(&only, "only", "", "run these experiments only, a comma-separated `list`")
	flag.Float64Var(&o.gate, "gate", 0, "exit 1 when a figure misses what it must be by more than this `factor`")
	flag.StringVar(&readers, "readers", "", "beside the first reader of each experiment run these only, a comma-separated `list`")
	flag.BoolVar(&o.json, "json", false, "print JSON, with every sample, in place of the table")
	flag.BoolVar(&o.list, "list", false, "name the experiments and exit")
	flag.Parse()
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if readers != "" {
		o.readers = strings.Split(readers, ",")
	}
	if flag.NArg() > 0 || o.pairs < 1 || o.packets < 100 || (o.gate != 0 && o.gate < 1) {
		flag.Usage()
		os.Exit(2)
	}
	return o
}

// run measures what was asked for and returns the exit code.
func run(o options) (int, error) {
	one, err := waitingRoom(o.packets)
	if err != nil {
		return 0, err
	}
	many, err := waitingRoom(3 * o.packets)
	if err != nil {
		return 0, err
	}
	experiments, err := choose(experiments(one, many), o.only)
	if err != nil {
		return 0, err
	}
	if o.readers != nil {
		for i := range experiments {
			experiments[i].keep(o.readers)
		}
	}
	a, err := newArena()
	if err != nil {
		return 0, err
	}
	defer a.close()
	r := report{Machine: describeMachine(), Command: strings.Join(append([]string{"go", "run", "."}, os.Args[1:]...), " "), Pairs: o.pairs}
	for _, e := range experiments {
		rows, err := e.measure(a, o.pairs)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", e.name, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	if o.json {
		err = r.writeJSON(os.Stdout)
	} else {
		err = r.writeTable(os.Stdout)
	}
	if err != nil || o.gate == 0 {
		return 0, err
	}
	return r.gate(os.Stderr, o.gate), nil
}
