//go:build linux

package tests_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A module that is loaded later has the library in it, or needs the shared one.
func TestModule(t *testing.T) {
	requireRules(t)
	x := target{word: 64}
	x.require(t)
	lib := library(t, 64)
	dir := t.TempDir()
	program := filepath.Join(dir, "main")
	if _, err := output("gcc", "-Wall", "-Wextra", "-Werror", "-o", program, "module/main.c", "-ldl"); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string][]string{
		"with libipq.a":    {filepath.Join(lib, "libipq.a")},
		"with libipq.so.0": {"-L" + lib, "-lipq", "-Wl,-rpath," + lib},
	} {
		module := filepath.Join(dir, name+".so")
		args := append([]string{"-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-I../include", "-o", module, "module/module.c"}, link...)
		if _, err := output("gcc", args...); err != nil {
			t.Fatal(err)
		}
		for _, w := range ways[:2] {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				service := ""
				if w.service {
					service = emulate(t)
				} else {
					t.Cleanup(func() { awaitFree(t) })
				}
				env, before := w.start(t, service)
				words := append(append([]string{}, before...), program, module)
				cmd := exec.Command(words[0], words[1:]...)
				cmd.Env = append(os.Environ(), env...)
				passes(2, "next")(t, run(t, cmd))
			})
		}
	}
}
