package ipq_test

import (
	"fmt"
	"os"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		ownQueue()
		return
	}
	sandbox.Main(m)
}

// ownerEnv makes the test binary own queue 900, in the namespace that it is started in, until its input ends.
const ownerEnv = "IPQ_TEST_OWNER"

func ownQueue() {
	if _, err := ipq.Open(ipq.Config{Queue: 900}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("owned")
	os.Stdin.Read(make([]byte, 1))
}
