//go:build !linux

package sandbox

// RequireQueue skips the test: queues need Linux.
func RequireQueue(t TB) {
	t.Helper()
	RequireNamespaces(t)
}
