package queuerules

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var errUnknownNft = errors.New("the rules of nftables were not read: whether this kernel has nf_tables built in is unknown here, and asking it could load a module")

// nftPresent reports whether the kernel has nf_tables at this time: a message to it would load the module otherwise.
func nftPresent() (bool, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, os.NewSyscallError("uname", err)
	}
	return modulePresent("/", unix.ByteSliceToString(u.Release[:]))
}

// modulePresent looks for nf_tables under root: among the loaded modules, and among what is built in.
func modulePresent(root, release string) (bool, error) {
	loaded, err := os.ReadFile(filepath.Join(root, "proc/modules"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // this kernel loads no modules: asking is safe
	}
	if err != nil {
		return false, err
	}
	for line := range bytes.Lines(loaded) {
		if bytes.HasPrefix(line, []byte("nf_tables ")) {
			return true, nil
		}
	}
	if builtin, err := os.ReadFile(filepath.Join(root, "lib/modules", release, "modules.builtin")); err == nil {
		return bytes.Contains(builtin, []byte("/nf_tables.ko")), nil
	}
	f, err := os.Open(filepath.Join(root, "proc/config.gz"))
	if err != nil {
		return false, errUnknownNft
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return false, errUnknownNft
	}
	for lines := bufio.NewScanner(io.LimitReader(z, 8<<20)); lines.Scan(); {
		if lines.Text() == "CONFIG_NF_TABLES=y" {
			return true, nil
		}
	}
	return false, nil
}
