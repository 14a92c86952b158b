package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The readers. Those in Go are this program executed again; the others are built from peers.
const (
	ipqReader       = "ipq"
	lnfqReader      = "lnfq"       // libnetfilter_queue's canonical loop
	limitReader     = "limit"      // C: recvmmsg of 32, one range verdict
	goNfqueueReader = "go-nfqueue" // github.com/florianl/go-nfqueue/v2
	chifflierReader = "chifflier"  // github.com/chifflier/nfqueue-go, through cgo
	noReader        = ""           // nothing is queued
)

//go:embed peers
var peers embed.FS

// chifflierSource is where Debian's golang-github-chifflier-nfqueue-go-dev puts the binding.
const chifflierSource = "/usr/share/gocode/src/github.com/chifflier/nfqueue-go"

// readers knows how each reader is run, or why it cannot be.
type readers struct {
	dir      string
	commands map[string][]string
	why      map[string]string
}

// buildReaders builds the peers into a temporary directory. A peer that cannot be built is left out, with the reason.
func buildReaders() (*readers, error) {
	dir, err := os.MkdirTemp("", "ipq-bench-")
	if err != nil {
		return nil, err
	}
	r := &readers{dir: dir, why: map[string]string{}, commands: map[string][]string{}}
	err = os.CopyFS(dir, peers)
	for _, name := range []string{ipqReader, goNfqueueReader} {
		err = errors.Join(err, r.again(name))
	}
	if err != nil {
		r.remove()
		return nil, err
	}
	src := filepath.Join(dir, "peers")
	r.build(limitReader, src, "gcc", "-O2", "-o", limitReader, "limit.c", "control.c", "-lpthread")
	r.build(lnfqReader, src, "gcc", "-O2", "-o", lnfqReader, "lnfq.c", "control.c", "-lnetfilter_queue", "-lpthread")
	r.buildEmulate(src)
	if err := layOutChifflier(src); err != nil {
		r.why[chifflierReader] = err.Error()
	} else {
		r.build(chifflierReader, src, "go", "build", "-tags", "libnfqueue1", "-o", chifflierReader, "chifflier.go")
	}
	return r, nil
}

// again makes a reader of this program, under a name that tells it from the harness in ps and in a profile.
func (r *readers) again(name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(r.dir, strings.ReplaceAll(name, " ", "-"))
	r.commands[name] = []string{path, "reader", name}
	return os.Symlink(self, path)
}

func (r *readers) build(name, dir string, command ...string) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		r.why[name] = command[0] + " is not installed"
	case err != nil:
		first, _, _ := strings.Cut(string(out), "\n")
		r.why[name] = fmt.Sprintf("%v: %s", err, first)
	default:
		r.commands[name] = []string{filepath.Join(dir, name)}
	}
}

// layOutChifflier makes a module of the binding, which has no go.mod of its own, beside its reader's source.
func layOutChifflier(dir string) error {
	if _, err := os.Stat(chifflierSource); err != nil {
		return errors.New("golang-github-chifflier-nfqueue-go-dev is not installed")
	}
	binding := filepath.Join(dir, "nfqueue-go")
	if err := os.CopyFS(binding, os.DirFS(chifflierSource)); err != nil {
		return err
	}
	const path = "github.com/chifflier/nfqueue-go"
	if err := os.WriteFile(filepath.Join(binding, "go.mod"), []byte("module "+path+"\n\ngo 1.21\n"), 0o644); err != nil {
		return err
	}
	mod := "module reader\n\ngo 1.21\n\nrequire " + path + " v0.0.0\n\nreplace " + path + " => ./nfqueue-go\n"
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644)
}

func (r *readers) remove() { os.RemoveAll(r.dir) }
