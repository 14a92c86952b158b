//go:build linux

package tests_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ipq/internal/sandbox"
)

// buildDir holds what the tests compile.
var buildDir string

type withBuildDir struct{ m *testing.M }

func (w withBuildDir) Run() int {
	var err error
	// Short: the paths of Unix sockets are in there.
	if buildDir, err = os.MkdirTemp("", "libipq"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir)
	if err := os.Chmod(buildDir, 0o755); err != nil { // some programs become another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return w.m.Run()
}

func TestMain(m *testing.M) {
	// The command is built in the sandbox, which has no network to fetch its
	// modules from. Where this fails the build may, and says so.
	exec.Command("go", "mod", "download").Run()
	sandbox.Main(withBuildDir{m})
}

// once calls make for every name once, and gives every caller its result.
type once struct {
	mu   sync.Mutex
	done map[string]error
}

func (o *once) do(name string, make func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err, ok := o.done[name]; ok {
		return err
	}
	err := make()
	if o.done == nil {
		o.done = map[string]error{}
	}
	o.done[name] = err
	return err
}

// output runs a command and returns an error that has its output.
func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// requireTool skips a test that lacks a program.
func requireTool(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	sandbox.Require(t, name, err == nil, "it is not installed")
}

var compilers once

// requireCompiler skips a test for which the compiler does not make programs
// with the flags. The feature is called like the command: "gcc -m32".
func requireCompiler(t *testing.T, compiler string, flags ...string) {
	t.Helper()
	feature := strings.Join(append([]string{compiler}, flags...), " ")
	err := compilers.do(feature, func() error {
		source := filepath.Join(buildDir, "empty.c")
		if strings.Contains(compiler, "++") {
			source += "c" // .cc
		}
		text := "#include <stdlib.h>\n#include <linux/netlink.h>\nint main(void) { return 0; }\n"
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			return err
		}
		program := filepath.Join(buildDir, "empty")
		if _, err := output(compiler, append(flags, "-o", program, source)...); err != nil {
			return err
		}
		_, err := output(program)
		return err
	})
	sandbox.Require(t, feature, err == nil, fmt.Sprint(err))
}

// target is what a program is built for.
type target struct {
	word   int // bits of a long: 32 or 64
	static bool
}

func (x target) String() string {
	if x.static {
		return fmt.Sprintf("%d static", x.word)
	}
	return fmt.Sprintf("%d", x.word)
}

func (x target) wordFlag() string { return fmt.Sprintf("-m%d", x.word) }

// require skips a test when there is no compiler for the target.
func (x target) require(t *testing.T) {
	t.Helper()
	requireTool(t, "make")
	requireCompiler(t, "gcc", "-m64")
	requireCompiler(t, "gcc", x.wordFlag())
	if x.static {
		requireCompiler(t, "gcc", x.wordFlag(), "-static")
	}
}

var libraries, objects, executables once

// madeOf opens directories that others read files of, so that the result of a
// test which depends on them is not cached when they change.
func madeOf(t *testing.T, directories ...string) {
	t.Helper()
	for _, dir := range directories {
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// library builds the library and returns its directory.
func library(t *testing.T, word int) string {
	t.Helper()
	madeOf(t, "..", "../src", "../include", "../include/libipq", "../include/linux/netfilter_ipv4")
	dir := filepath.Join(buildDir, fmt.Sprint("lib", word))
	err := libraries.do(dir, func() error {
		_, err := output("make", "-s", "-C", "..", "O="+dir, "CC=gcc", fmt.Sprintf("CFLAGS=-O2 -g -m%d", word))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// compile builds the program of a source file, for a target, and returns it.
func compile(t *testing.T, source string, x target, flags ...string) string {
	t.Helper()
	lib := library(t, x.word)
	madeOf(t, filepath.Dir(source))
	name := filepath.Base(filepath.Dir(source)) + "." + strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
	object := filepath.Join(buildDir, fmt.Sprintf("%s.%d.o", name, x.word))
	program := filepath.Join(buildDir, strings.ReplaceAll(name+" "+x.String(), " ", "."))
	compiler := "gcc"
	if filepath.Ext(source) == ".cc" {
		compiler = "g++"
	}
	err := objects.do(object, func() error {
		args := append([]string{"-Wall", "-Wextra", "-Werror", "-O1", "-pthread"}, flags...)
		_, err := output(compiler, append(args, x.wordFlag(), "-I../include", "-c", "-o", object, source)...)
		return err
	})
	if err == nil {
		err = executables.do(program, func() error {
			args := []string{x.wordFlag(), "-pthread", "-o", program, object, "-L" + lib, "-lipq"}
			if x.static {
				args = append(args, "-static")
			} else {
				args = append(args, "-Wl,-rpath,"+lib)
			}
			_, err := output(compiler, args...)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// sourceFiles lists the programs.
func sourceFiles(t *testing.T) []string {
	t.Helper()
	c, err := filepath.Glob("programs/*.c")
	if err != nil {
		t.Fatal(err)
	}
	cc, err := filepath.Glob("programs/*.cc")
	if err != nil {
		t.Fatal(err)
	}
	return append(c, cc...)
}

var commands once

// command builds the ipq command and returns it.
func command(t *testing.T) string {
	t.Helper()
	madeOf(t, "../../cmd/ipq", "../../internal/trap", "../../internal/filter") // the rest is linked to this test
	path := filepath.Join(buildDir, "ipq")
	err := commands.do(path, func() error {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "ipq/cmd/ipq")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(out))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}
