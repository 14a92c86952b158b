package ipqueue_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// recordedCases reads testdata/cases.txt: for each recording every case that it
// had, and why it is not replayed, "" when it is.
func recordedCases(t testing.TB) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]map[string]string{}
	for line := range strings.Lines(string(b)) {
		words, why, _ := strings.Cut(strings.TrimSpace(line), ": ")
		names := strings.Fields(words)
		for _, recording := range names[1:] {
			if cases[recording] == nil {
				cases[recording] = map[string]string{}
			}
			if _, twice := cases[recording][names[0]]; twice {
				t.Errorf("%s is listed twice for %s", names[0], recording)
			}
			cases[recording][names[0]] = why
		}
	}
	return cases
}

// Nothing that was recorded is left out silently: every case is replayed, or the
// list says why not and the page about differences names it.
func TestEveryRecordedCaseIsReplayed(t *testing.T) {
	page, err := os.ReadFile("../docs/ip_queue-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	cases := recordedCases(t)
	recorded, replayed := 0, 0
	for _, r := range recordings(t) {
		dialogues := map[string]bool{}
		for _, c := range r.cases {
			if dialogues[c.name] {
				t.Errorf("%s: %s is there twice", r.name, c.name)
			}
			dialogues[c.name] = true
			if _, ok := cases[r.name][c.name]; !ok {
				t.Errorf("%s: %s is not in the list", r.name, c.name)
			}
			if slices.ContainsFunc(c.steps, func(s step) bool { return s.verb == "then" }) && !named(string(page), c.name) {
				t.Errorf("%s: %s ends in another way today, and the page about differences does not name it", r.name, c.name)
			}
		}
		for name, why := range cases[r.name] {
			recorded++
			switch {
			case why == "" && !dialogues[name]:
				t.Errorf("%s: %s is neither replayed nor left out", r.name, name)
			case why == "":
				replayed++
			case !named(string(page), name):
				t.Errorf("%s: %s is left out (%s), and the page about differences does not name it", r.name, name, why)
			}
		}
		delete(cases, r.name)
	}
	for name := range cases {
		t.Errorf("there is no recording %q", name)
	}
	if want := fmt.Sprintf("replay %d of the %d dialogues", replayed, recorded); !strings.Contains(strings.Join(strings.Fields(string(page)), " "), want) {
		t.Errorf("the page about differences does not say %q", want)
	}
}

// named reports whether a page has the case, or its short name, in brackets.
func named(page, name string) bool {
	short, _, _ := strings.Cut(name, "-")
	for rest := page; ; {
		_, after, ok := strings.Cut(rest, "[")
		if !ok {
			return false
		}
		inside, after, _ := strings.Cut(after, "]")
		for word := range strings.FieldsFuncSeq(inside, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
			if word == short || word == name {
				return true
			}
		}
		rest = after
	}
}
