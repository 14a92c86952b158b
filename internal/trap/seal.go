//go:build linux

package trap

import "ipq/internal/privilege"

// seal takes from a process what it needs no more when all is open: it still writes to the memory of the program, and
// connects to the service. Without that it goes on.
func seal(report func(message string)) {
	if err := privilege.Seal(privilege.WriteFiles | privilege.UnixSockets); err != nil {
		report(err.Error())
	}
}
