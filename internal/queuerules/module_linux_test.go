package queuerules_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipq/internal/queuerules"
)

// A message to nf_tables would load the module, so it is looked for first.
func TestModulePresent(t *testing.T) {
	zip := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
		return b.String()
	}
	for _, c := range []struct {
		what    string
		files   map[string]string
		present bool
		known   bool
	}{
		{"no modules at all", nil, true, true},
		{"loaded", map[string]string{"proc/modules": "x 1 0 - Live 0x0\nnf_tables 300000 1 nft_compat, Live 0x0\n"}, true, true},
		{"built in", map[string]string{"proc/modules": "x 1 0 - Live 0x0\n", "lib/modules/6.1/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n"}, true, true},
		{"not loaded", map[string]string{"proc/modules": "nf_tables_other 1 0 - Live 0x0\n", "lib/modules/6.1/modules.builtin": "kernel/fs/x.ko\n"}, false, true},
		{"configured", map[string]string{"proc/modules": "", "proc/config.gz": zip("# x\nCONFIG_NF_TABLES=y\n")}, true, true},
		{"configured as a module", map[string]string{"proc/modules": "", "proc/config.gz": zip("CONFIG_NF_TABLES=m\nCONFIG_NF_TABLES_INET=y\n")}, false, true},
		{"unknown", map[string]string{"proc/modules": ""}, false, false},
		{"unreadable configuration", map[string]string{"proc/modules": "", "proc/config.gz": "text"}, false, false},
	} {
		root := t.TempDir()
		for name, content := range c.files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		present, err := queuerules.ModulePresent(root, "6.1")
		if present != c.present || (err == nil) != c.known {
			t.Errorf("%s: %v, %v", c.what, present, err)
		}
		if err != nil && !strings.Contains(err.Error(), "could load a module") {
			t.Error(err)
		}
	}
}
