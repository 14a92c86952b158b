package ipqtest_test

import (
	"testing"

	"ipq/internal/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }
