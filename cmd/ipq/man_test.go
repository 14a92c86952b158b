package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

// There is a page for every command, and it says what the help says.
func TestMan(t *testing.T) {
	dir := t.TempDir()
	if e := run(t, "man", dir); e.status != 0 {
		t.Fatal(e.stderr)
	}
	names := append(commands(t), "")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(names) {
		t.Errorf("%d pages for %d commands, and ipq itself: %v", len(files), len(names)-1, err)
	}
	for _, name := range names {
		page := filepath.Join(dir, strings.TrimSuffix("ipq-"+name, "-")+".1")
		b, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		plain := strings.NewReplacer(`\-`, "-", `\e`, `\`, `\(ti`, "~", `\(ha`, "^", `\&`, "").Replace(string(b))
		for _, section := range []string{".TH IPQ", ".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES", ".SH EXIT STATUS"} {
			if !strings.Contains(plain, section) {
				t.Errorf("%s: no %s", page, section)
			}
		}
		args := []string{"--help"}
		if name != "" {
			args = []string{name, "--help"}
		}
		if _, status, ok := strings.Cut(run(t, args...).stdout, "Exit status:\n"); ok {
			for _, line := range strings.Split(strings.TrimSpace(status), "\n") {
				if line = strings.TrimSpace(line); !strings.Contains(plain, line) && !strings.HasPrefix(line, "More about") {
					t.Errorf("%s: its exit status is not %q", page, line)
				}
			}
		}
		for _, value := range regexp.MustCompile(`\(default\s+"?([^")]*)"?\)`).FindAllStringSubmatch(run(t, args...).stdout, -1) {
			if !strings.Contains(plain, "(default "+value[1]+")") {
				t.Errorf("%s: no default %s", page, value[1])
			}
		}
		for _, word := range strings.Fields(run(t, args...).stdout) {
			word = strings.TrimRight(word, ".,;:)")
			if strings.HasPrefix(word, "--") && len(word) > 2 && word != "--help" && !strings.Contains(plain, word) {
				t.Errorf("%s: no %s", page, word)
			}
		}
	}

	groff, err := exec.LookPath("groff")
	sandbox.Require(t, "groff", err == nil, "the command groff checks the pages")
	for _, f := range files {
		out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", filepath.Join(dir, f.Name())).CombinedOutput()
		if err != nil || len(out) != 0 {
			t.Errorf("%s: %s%v", f.Name(), out, err)
		}
	}
}
