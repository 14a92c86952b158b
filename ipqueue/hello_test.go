package ipqueue_test

import (
	"bytes"
	"testing"

	"ipq/ipqueue"
)

// A hello that is understood is the only one that says what it says.
func FuzzHello(f *testing.F) {
	f.Add([]byte("ipqh\x01\x02\x40\x00\xbc\x02\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("ipqh\x01\x0a\x20\x00\x00\x00\x00\x80\x00\x00\x00\x00"))
	f.Add([]byte("ipqs\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, status, err := ipqueue.ParseHello(b)
		switch {
		case err != nil:
		case status:
			if h != (ipqueue.Hello{}) {
				t.Errorf("%x asks for the status and says %+v", b, h)
			}
		case h.Family != ipqueue.IPv4 && h.Family != ipqueue.IPv6, h.WordSize != 32 && h.WordSize != 64, h.PID < 0:
			t.Errorf("%x: %+v", b, h)
		default:
			if again := h.Append(nil); !bytes.Equal(again, b) {
				t.Errorf("%x says %+v, which is %x", b, h, again)
			}
		}
	})
}
