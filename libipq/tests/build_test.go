//go:build linux

package tests_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The library compiles in every dialect without a word.
func TestBuild(t *testing.T) {
	madeOf(t, "..", "../src", "../include/libipq", "../include/linux/netfilter_ipv4")
	for _, compiler := range []string{"gcc", "clang"} {
		for _, word := range []string{"-m64", "-m32"} {
			t.Run(compiler+" "+word, func(t *testing.T) {
				t.Parallel()
				requireTool(t, "make")
				requireCompiler(t, compiler, word)
				for dialect := range strings.FieldsSeq("c89 c99 c11 c17 c2x gnu89 gnu17") {
					flags := word + " -O2 -Werror -std=" + dialect
					if dialect != "gnu89" { // LDEBUG is a variadic macro
						flags += " -pedantic"
					}
					out, err := output("make", "-s", "-C", "..", "O="+t.TempDir(), "CC="+compiler, "CFLAGS="+flags)
					if err != nil || out != "" {
						t.Errorf("%s: %v%s", flags, err, out)
					}
				}
			})
		}
	}
}

// What the library must not have: constructors, which a program that becomes a
// daemon would have run for nothing, other than the one that reads the
// environment; threads; and in the files that ipq_read and the verdicts run
// through while there is a queue handler, which programs leave by longjmp,
// anything that locks or allocates.
func TestObjects(t *testing.T) {
	for _, word := range []int{64, 32} {
		t.Run(fmt.Sprint(word), func(t *testing.T) {
			target{word: word}.require(t)
			dir := library(t, word)
			for _, name := range []string{"error", "service", "socket", "request", "kept", "connection", "handle", "message"} {
				f, err := elf.Open(filepath.Join(dir, name+".o"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				constructors := 0
				for _, s := range f.Sections {
					if s.Name == ".init_array" && name == "service" {
						constructors = int(s.Size) / (word / 8)
						continue
					}
					for _, prefix := range []string{".init", ".preinit", ".ctors", ".tbss", ".tdata"} {
						if strings.HasPrefix(s.Name, prefix) {
							t.Errorf("%s.o has a section %s", name, s.Name)
						}
					}
				}
				if want := map[bool]int{true: 1}[name == "service"]; constructors != want {
					t.Errorf("%s.o has %d constructors, want %d", name, constructors, want)
				}
				symbols, err := f.Symbols()
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range symbols {
					if s.Section != elf.SHN_UNDEF || s.Name == "" {
						continue
					}
					if strings.HasPrefix(s.Name, "pthread_") || s.Name == "clone" {
						t.Errorf("%s.o calls %s", name, s.Name)
					}
					if (name == "message" || name == "request") && !inMessage[s.Name] {
						t.Errorf("%s.o calls %s", name, s.Name)
					}
				}
			}
			testErrmapSize(t, filepath.Join(dir, "libipq.so.0"), word)
		})
	}
}

// inMessage is all that sending and receiving may call. Those of kept.o only look at
// memory; those of connection.o, and the last two, are for when the queue handler has ended.
var inMessage = map[string]bool{
	"libipq_set_error": true, "__errno_location": true, "memset": true, "memcpy": true, "sendmsg": true,
	"recvfrom": true, "select": true, "poll": true, "_GLOBAL_OFFSET_TABLE_": true, "__stack_chk_fail": true,
	"libipq_fill_header": true, "libipq_send": true, "libipq_send_mode": true,
	"libipq_keep_mode": true, "libipq_received": true, "libipq_id_for_handler": true,
	"libipq_await_handler": true, "libipq_follow": true, "fcntl": true, "getsockopt": true,
}

// A program that refers to ipq_errmap has a copy of it, of the size that it had
// in the library it was linked with.
func testErrmapSize(t *testing.T, file string, word int) {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(17 * 2 * word / 8)
	for _, s := range symbols {
		if s.Name == "ipq_errmap" && (s.Size != want || elf.ST_TYPE(s.Info) != elf.STT_OBJECT) {
			t.Errorf("ipq_errmap has %d bytes, want %d", s.Size, want)
		}
	}
}

// The command that docs/libipq.md has for a 32-bit library beside the other.
func TestInstall32(t *testing.T) {
	target{word: 32}.require(t)
	dir := t.TempDir()
	_, err := output("make", "-s", "-C", "..", "O="+t.TempDir(), "CFLAGS=-O2 -m32", "LIBDIR=/usr/local/lib32", "DESTDIR="+dir, "install")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(dir + "/usr/local/lib32/libipq.so")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Class != elf.ELFCLASS32 {
		t.Errorf("the library is of %v", f.Class)
	}
	b, err := os.ReadFile(dir + "/usr/local/lib32/pkgconfig/libipq.pc")
	if err != nil || !strings.Contains(string(b), "\nlibdir=/usr/local/lib32\n") {
		t.Errorf("libipq.pc: %v\n%s", err, b)
	}
}

// A netlink socket comes before the service: here one of "ipq run", with a path
// that leads nowhere. Without either the path is what is complained about.
func TestNetlinkFirst(t *testing.T) {
	requireRules(t)
	x := target{word: 64}
	x.require(t)
	program := compile(t, "programs/destroy_null.c", x)
	defer awaitFree(t)
	cmd := commandOf(t, "run", "--socket", "", program)
	env := append(os.Environ(), "IPQ_SOCKET=/nowhere")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with a netlink socket: %v\n%s", err, out)
	}
	cmd = exec.Command(program)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "errno 2, Unable to create netlink socket") {
		t.Errorf("with none: %v\n%s", err, out)
	}
}
