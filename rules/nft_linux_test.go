package rules_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ipq/internal/sandbox"
	"ipq/rules"
)

func requireNft(t *testing.T) string {
	t.Helper()
	sandbox.RequireNamespaces(t)
	nft, err := exec.LookPath("nft")
	sandbox.Require(t, "nft", err == nil, "the command nft (package nftables) reads what is installed")
	return nft
}

func run(t *testing.T, stdin string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var complaints strings.Builder // libxtables has one about tables of family inet, and nft goes on
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, &complaints, stdin)
	}
	return string(out)
}

// inet returns how to install a plan into a table of family inet, whatever this kernel has.
func inet(native bool) func(rules.Plan) (*rules.Table, error) {
	if native {
		return func(p rules.Plan) (*rules.Table, error) { p.Encoding = rules.Native; return rules.Install(p) }
	}
	return rules.InstallInet
}

func hasNative(t *testing.T) bool {
	t.Helper()
	e, err := rules.Probe("")
	if err != nil {
		t.Fatal(err)
	}
	return e == rules.Native
}

// What is installed is what the text says: nft lists it as it lists the same text when it has installed it itself.
func TestInstalledIsWhatTheTextSays(t *testing.T) {
	nft := requireNft(t)
	native := hasNative(t)
	for _, way := range []struct {
		name    string
		install func(rules.Plan) (*rules.Table, error)
	}{
		{"ip and ip6", func(p rules.Plan) (*rules.Table, error) { p.Encoding = rules.Compat; return rules.Install(p) }},
		{"inet", inet(native)},
	} {
		for name, p := range plans() {
			t.Run(way.name+"/"+name, func(t *testing.T) {
				table, err := way.install(p)
				if err != nil {
					t.Fatal(err)
				}
				defer table.Close()
				for text := range strings.SplitSeq(strings.TrimPrefix(table.String(), "table "), "\ntable ") {
					family, _, _ := strings.Cut(text, " ")
					got := listing(run(t, "", nft, "list", "table", family, table.Name()))
					twin := "ipq-twin"
					// nft's own queue statement may be missing here: the counter stands for it.
					input := "table " + queueStatement.ReplaceAllString(strings.Replace(text, table.Name(), twin, 1), "counter")
					run(t, input, nft, "-f", "-")
					want := listing(run(t, "", nft, "list", "table", family, twin))
					run(t, "", nft, "delete", "table", family, twin)
					if got = strings.Replace(got, table.Name(), twin, 1); got != want {
						t.Errorf("installed:\n%s\nas nft would have installed it:\n%s", got, want)
					}
				}
			})
		}
	}
}

// Where nft has its queue statement, it takes the text of every plan as it is.
func TestNftAcceptsText(t *testing.T) {
	nft := requireNft(t)
	native := hasNative(t)
	for name, p := range plans() {
		input := p.String()
		if !native {
			input = queueStatement.ReplaceAllString(input, "counter")
		}
		t.Run(name, func(t *testing.T) { run(t, input, nft, "-c", "-f", "-") })
	}
}

var (
	queueStatement = regexp.MustCompile(`\bqueue (num|flags|to) [^}\n]*|\bxt target "?NFQUEUE"?`)
	counter        = regexp.MustCompile(`\bcounter packets \d+ bytes \d+`)
	braces         = regexp.MustCompile(`\{ [^{}]* \}`)
)

// listing makes two listings of nft comparable: no comments, no owner, no order within a set, the same word for queue and
// counter.
func listing(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "flags owner" {
			continue
		}
		line, _, _ = strings.Cut(line, " # progname")
		line = counter.ReplaceAllString(queueStatement.ReplaceAllString(line, "QUEUE"), "QUEUE")
		line = braces.ReplaceAllStringFunc(line, func(set string) string {
			elements := strings.Split(strings.Trim(set, "{} "), ", ")
			slices.Sort(elements)
			return "{ " + strings.Join(elements, ", ") + " }"
		})
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// nft, which knows the xtables target, reads the same numbers from it as the text has.
func TestQueueStatement(t *testing.T) {
	nft := requireNft(t)
	for _, c := range []struct {
		target rules.Target
		want   []string // how versions of nft say it
	}{
		{rules.Target{Queue: 7}, []string{"queue num 7", "queue to 7"}},
		{rules.Target{Queue: 65535, Bypass: true}, []string{"queue num 65535 bypass", "queue flags bypass to 65535"}},
		{rules.Target{Queue: 4, Last: 7, Balance: rules.BalanceAddresses, Bypass: true}, []string{"queue num 4-7 bypass", "queue flags bypass to 4-7"}},
		{rules.Target{Queue: 4, Last: 7, Balance: rules.BalanceCPU}, []string{"queue num 4-7 fanout", "queue flags fanout to 4-7"}},
		{rules.Target{Queue: 4, Last: 7, Balance: rules.BalanceCPU, Bypass: true}, []string{"queue num 4-7 bypass,fanout", "queue num 4-7 fanout,bypass", "queue flags bypass,fanout to 4-7"}},
	} {
		table, err := rules.Install(rules.Plan{Target: c.target, Chains: []rules.Chain{{Hook: rules.Input, Match: []rules.Match{{Family: rules.IPv4}}}}})
		if err != nil {
			t.Fatal(err)
		}
		family := "ip"
		if table.Encoding() == rules.Native {
			family = "inet"
		}
		got := run(t, "", nft, "list", "table", family, table.Name())
		if !slices.ContainsFunc(c.want, func(w string) bool { return strings.Contains(got, w+"\n") }) {
			t.Errorf("%+v is listed as\n%s\nwant one of %q", c.target, got, c.want)
		}
		if !strings.Contains(got, "flags owner") {
			t.Errorf("the table has no owner:\n%s", got)
		}
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	}
	if left := run(t, "", nft, "list", "ruleset"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
