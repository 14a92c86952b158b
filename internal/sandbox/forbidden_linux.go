package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// explain adds to an error what on this machine forbids namespaces, and the one
// thing to change.
func explain(err error) error {
	return fmt.Errorf("sandbox: cannot make a private network here: %w: %s", err, obstacle("/proc"))
}

// obstacle names the first setting below the proc file system that is known to
// forbid an ordinary user a namespace, with the command that allows it.
func obstacle(proc string) string {
	for _, s := range []struct{ file, forbids, change string }{
		{"sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"},
		{"sys/user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=10000"},
		{"sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		b, err := os.ReadFile(proc + "/" + s.file)
		if err == nil && strings.TrimSpace(string(b)) == s.forbids {
			return fmt.Sprintf("%s/%s is %s; run as root: %s", proc, s.file, s.forbids, s.change)
		}
	}
	if _, err := os.Stat(proc + "/self/ns/user"); err != nil {
		return "this kernel was built without CONFIG_USER_NS; run as root"
	}
	if _, err := os.Stat(proc + "/self/ns/net"); err != nil {
		return "this kernel was built without CONFIG_NET_NS"
	}
	return "in a container, allow the system calls clone and unshare (Docker: --security-opt seccomp=unconfined), or run as root with CAP_SYS_ADMIN"
}
