package ipqueue_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

// systemd understands every line of the unit, and finds it confined.
func TestUnit(t *testing.T) {
	_, err := exec.LookPath("systemd-analyze")
	sandbox.Require(t, "systemd", err == nil, "no systemd-analyze in PATH; install systemd")
	b, err := os.ReadFile("../packaging/systemd/ipq-emulate.service")
	if err != nil {
		t.Fatal(err)
	}
	// What it refers to need not be installed here.
	const command, manual = "ExecStart=/usr/local/bin/ipq emulate\n", "Documentation=man:ipq(1)\n"
	page, err := os.ReadFile("../docs/libipq.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "sudo install ipq /usr/local/bin`") {
		t.Error("the page on libipq installs the command elsewhere than where the unit has it")
	}
	text := strings.Replace(string(b), manual, "", 1)
	text = strings.Replace(text, command, "ExecStart=/bin/true\n", 1)
	if len(text) != len(b)-len(manual)-len(command)+len("ExecStart=/bin/true\n") {
		t.Error("the unit has another command or manual page than this test knows")
	}
	unit := filepath.Join(t.TempDir(), "ipq-emulate.service")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", unit).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 10 is a service without any confinement; what is left is what it is for.
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
