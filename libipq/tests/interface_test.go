//go:build linux

package tests_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipq/internal/sandbox"
)

// The library's own check, which compares every string, return value, errno and
// byte, as compiled in many ways.
func TestInterface(t *testing.T) {
	madeOf(t, "../src", "../include/libipq", "../include/linux/netfilter_ipv4", "interface")
	for _, c := range []struct {
		compiler string
		flags    string
	}{
		{"gcc", "-m64 -O2 -std=c89 -pedantic -Werror"},
		{"gcc", "-m32 -O2 -std=c2x -pedantic -Werror"},
		{"gcc", "-m64 -O3 -flto -D_FORTIFY_SOURCE=2 -Werror"},
		{"gcc", "-m64 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Werror"},
		{"gcc", "-m32 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Werror"},
		{"clang", "-m64 -O2 -std=c2x -pedantic -Werror"},
		{"clang", "-m32 -O2 -std=c89 -pedantic -Werror"},
		{"clang", "-m64 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Werror"},
	} {
		t.Run(c.compiler+" "+c.flags, func(t *testing.T) {
			t.Parallel()
			requireTool(t, "make")
			flags := strings.Fields(c.flags)
			requireCompiler(t, c.compiler, flags[0])
			if i := slices.IndexFunc(flags, func(f string) bool { return strings.HasPrefix(f, "-fsanitize") }); i >= 0 {
				requireCompiler(t, c.compiler, flags[0], flags[i])
			}
			out, err := output("make", "-s", "-C", "..", "O="+t.TempDir(), "CC="+c.compiler, "CFLAGS="+c.flags, "check-symbols", "check-interface")
			if err != nil {
				t.Error(err)
			}
			if out != "" {
				t.Errorf("it says:\n%s", out)
			}
		})
	}
}

func TestInterfaceUnderValgrind(t *testing.T) {
	t.Parallel()
	requireTool(t, "valgrind")
	target{word: 64}.require(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "interface-shared")
	if _, err := output("make", "-s", "-C", "..", "O="+dir, "CC=gcc", "CFLAGS=-g -O1", program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=all", program)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// The headers in every dialect of both languages, twice over, with all that an
// old program includes around them.
func TestHeaders(t *testing.T) {
	text := `#include <libipq.h>
#include <libipq/libipq.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include <linux/netfilter.h>
ipq_packet_msg_t *probe(unsigned char *b);
ipq_packet_msg_t *probe(unsigned char *b) { return ipq_get_packet(b); }
`
	source := func(t *testing.T, name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		compilers []string
		dialects  string
		name      string
		text      string
	}{
		{[]string{"gcc", "clang"}, "c89 c99 c11 c17 c2x gnu99 gnu17", "probe.c", text},
		{[]string{"g++", "clang++"}, "c++98 c++11 c++14 c++17 c++20 gnu++98", "probe.cc", text},
		{[]string{"g++", "clang++"}, "c++98 c++11 c++14 c++17 c++20 gnu++98", "probe.cc", "extern \"C\" {\n" + text + "}\n"},
	} {
		for _, compiler := range c.compilers {
			t.Run(compiler+" "+c.name, func(t *testing.T) {
				t.Parallel()
				requireCompiler(t, compiler)
				path := source(t, c.name, c.text)
				for dialect := range strings.FieldsSeq(c.dialects) {
					for _, define := range []string{"-DNOTHING", "-DDEBUG_LIBIPQ", "-DIPQ_OLD_CREATE_HANDLE"} {
						if strings.HasPrefix(dialect, "gnu++98") && define != "-DNOTHING" {
							continue
						}
						args := []string{"-std=" + dialect, define, "-Wall", "-Wextra", "-Werror", "-I../include", "-fsyntax-only"}
						if !strings.HasPrefix(dialect, "gnu++98") { // LDEBUG is a variadic macro
							args = append(args, "-pedantic")
						}
						if out, err := output(compiler, append(args, path)...); err != nil || out != "" {
							t.Errorf("-std=%s %s: %v%s", dialect, define, err, out)
						}
					}
				}
			})
		}
	}
}

// What is installed is enough to build with, by pkg-config and by an autoconf
// probe, and a static program needs nothing else.
func TestInstall(t *testing.T) {
	target{word: 64}.require(t)
	dir, build := t.TempDir(), t.TempDir()
	if _, err := output("make", "-s", "-C", "..", "install", "O="+build, "DESTDIR="+dir, "PREFIX=/opt/ipq"); err != nil {
		t.Fatal(err)
	}
	var files []string
	prefix := dir + "/opt/ipq/"
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, prefix))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	want := strings.Fields(`include/libipq.h include/libipq/libipq.h include/linux/netfilter_ipv4/ip_queue.h
		lib/libipq.a lib/libipq.so lib/libipq.so.0 lib/libipq.so.0.0.0 lib/pkgconfig/libipq.pc
		share/doc/libipq/examples/passer.c
		share/man/man3/ipq_create_handle.3 share/man/man3/ipq_destroy_handle.3 share/man/man3/ipq_errstr.3
		share/man/man3/ipq_get_msgerr.3 share/man/man3/ipq_get_packet.3 share/man/man3/ipq_message_type.3
		share/man/man3/ipq_perror.3 share/man/man3/ipq_read.3 share/man/man3/ipq_set_mode.3
		share/man/man3/ipq_set_verdict.3 share/man/man3/libipq.3`)
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("installed\n%s\nwant\n%s", strings.Join(files, "\n"), strings.Join(want, "\n"))
	}
	soname, err := os.Readlink(prefix + "lib/libipq.so.0")
	if err != nil || soname != "libipq.so.0.0.0" {
		t.Errorf("libipq.so.0 leads to %q, %v", soname, err)
	}

	probe := filepath.Join(build, "conftest.c")
	text := "char ipq_message_type();\nint main(void) { return ipq_message_type == 0; }\n"
	if err := os.WriteFile(probe, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(build, "conftest")
	if _, err := output("gcc", "-w", "-o", program, probe, "-L"+prefix+"lib", "-lipq"); err != nil {
		t.Error(err)
	}
	t.Run("static", func(t *testing.T) {
		requireCompiler(t, "gcc", "-static")
		if _, err := output("gcc", "-w", "-static", "-o", program, probe, prefix+"lib/libipq.a"); err != nil {
			t.Error(err)
		}
		if _, err := output(program); err != nil {
			t.Error(err)
		}
	})
	t.Run("pkg-config", func(t *testing.T) {
		requireTool(t, "pkg-config")
		cmd := exec.Command("pkg-config", "--cflags", "--libs", "libipq >= 1.4.12")
		cmd.Env = append(os.Environ(), "PKG_CONFIG_LIBDIR="+prefix+"lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		args := append([]string{"-w", "-o", program, "programs/destroy_null.c"}, strings.Fields(string(out))...)
		if _, err := output("gcc", args...); err != nil {
			t.Error(err)
		}
	})
}

func TestManualPages(t *testing.T) {
	requireTool(t, "make")
	requireTool(t, "mandoc")
	if out, err := output("make", "-s", "-C", "..", "check-man"); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every program that the tests run exists, and every one that exists is run.
func TestProgramsAreComplete(t *testing.T) {
	var have []string
	for _, file := range sourceFiles(t) {
		have = append(have, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	}
	slices.Sort(have)
	var want []string
	for _, p := range patterns {
		want = append(want, p.name)
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(have, want) {
		t.Errorf("there are\n%v\nrun are\n%v", have, want)
	}
}

// A service that takes a connection and never answers does not hang a program
// for longer than it says.
func TestSilentService(t *testing.T) {
	t.Parallel()
	target{word: 64}.require(t)
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	defer l.Close()
	program := compile(t, "programs/destroy_null.c", target{word: 64})
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "IPQ_SOCKET="+path)
	start := time.Now()
	out, _ := cmd.CombinedOutput()
	passed := time.Since(start)
	if want := "errno 110, Unable to create netlink socket"; !strings.Contains(string(out), want) {
		t.Errorf("it says %q, want %q", out, want)
	}
	if passed < 4*time.Second || passed > 15*time.Second {
		t.Errorf("it gave up after %v", passed)
	}
}

// Whoever starts a set-user-id program does not choose its service.
func TestSetIDIgnoresEnvironment(t *testing.T) {
	target{word: 64}.require(t)
	probe := exec.Command("setpriv", "--reuid=65534", "--clear-groups", "true")
	err := probe.Run()
	sandbox.Require(t, "setpriv as root", err == nil, fmt.Sprint(err))
	_, err = os.Stat("/run/ipq/ipq.sock")
	sandbox.Require(t, "no service at /run/ipq/ipq.sock", err != nil, "one is running")

	dir, err := os.MkdirTemp("", "setid")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "create")
	source := filepath.Join(dir, "create.c")
	text := `#include <libipq.h>
#include <stdio.h>
int main(void) { if (!ipq_create_handle(0, PF_INET)) ipq_perror("create"); return 0; }
`
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := output("gcc", "-I../include", "-o", path, source, filepath.Join(library(t, 64), "libipq.a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		cmd := exec.Command("setpriv", "--reuid=65534", "--clear-groups", path)
		cmd.Env = append(os.Environ(), "IPQ_SOCKET=/nowhere")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if got, want := run(), "create: Unable to create netlink socket: No such file or directory\n"; got != want {
		t.Errorf("an ordinary program says %q, want %q", got, want)
	}
	if err := os.Chmod(path, os.ModeSetuid|0o755); err != nil {
		t.Fatal(err)
	}
	if got, want := run(), "create: Unable to create netlink socket: Protocol not supported\n"; got != want {
		t.Errorf("a set-user-id program says %q, want %q", got, want)
	}
}
