package ipq_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// imports is the structure of the module: what each package imports of it, no more and no less. "*" is everything. What tests
// import is not in it.
var imports = map[string][]string{
	"ipq":                     {"ipq/packet", "ipq/internal/nlsock", "ipq/internal/wire"},
	"ipq/packet":              {},
	"ipq/rules":               {"ipq/internal/nlsock", "ipq/internal/wire"},
	"ipq/ipqueue":             {"ipq", "ipq/internal/wire"},
	"ipq/ipqtest":             {"ipq", "ipq/internal/wire"},
	"ipq/internal/wire":       {},
	"ipq/internal/nlsock":     {},
	"ipq/internal/filter":     {"ipq/packet", "ipq/rules"},
	"ipq/internal/privilege":  {},
	"ipq/internal/sandbox":    {},
	"ipq/internal/trap":       {"ipq/ipqueue", "ipq/internal/privilege"},
	"ipq/internal/queuerules": {"ipq/internal/wire"},
	"ipq/libipq/tests":        {},
	"ipq/cmd/ipq":             {"*"},
}

// lean packages need nothing but the standard library and golang.org/x/sys, and what they import neither.
var lean = []string{"ipq", "ipq/packet", "ipq/ipqueue", "ipq/ipqtest", "ipq/internal/wire", "ipq/internal/nlsock"}

func TestImports(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal("the go command is needed to look at the imports: ", err)
	}
	type listed struct {
		ImportPath string
		Imports    []string
		Deps       []string
		Standard   bool
	}
	out, err := exec.Command(goTool, "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	standard := make(map[string]bool)
	var ours []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		standard[p.ImportPath] = p.Standard
		if inside(p.ImportPath) {
			ours = append(ours, p)
		}
	}
	if len(ours) < 5 {
		t.Fatalf("go list shows only %d packages of the module", len(ours))
	}
	for _, p := range ours {
		allowed, known := imports[p.ImportPath]
		if !known {
			t.Errorf("%s is not in the table of packages", p.ImportPath)
		}
		for _, i := range p.Imports {
			if inside(i) && !slices.Contains(allowed, i) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, and may import %v", p.ImportPath, i, allowed)
			}
		}
		for _, a := range allowed { // an edge that is not there guards nothing
			if a != "*" && runtime.GOOS == "linux" && !slices.Contains(p.Imports, a) {
				t.Errorf("%s may import %s, and does not: take it out of the table, and out of docs/architecture.md", p.ImportPath, a)
			}
		}
		if !slices.Contains(lean, p.ImportPath) {
			continue
		}
		for _, d := range p.Deps {
			if !standard[d] && !inside(d) && !strings.HasPrefix(d, "golang.org/x/sys/") {
				t.Errorf("%s depends on %s: the library needs golang.org/x/sys alone", p.ImportPath, d)
			}
		}
	}
}

func inside(path string) bool { return path == "ipq" || strings.HasPrefix(path, "ipq/") }
