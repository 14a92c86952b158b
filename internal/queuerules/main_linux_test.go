package queuerules_test

import (
	"os"
	"testing"

	"ipq/internal/sandbox"
)

func TestMain(m *testing.M) {
	if os.Getenv(deniedEnv) != "" {
		listDenied()
		return
	}
	sandbox.Main(m)
}
