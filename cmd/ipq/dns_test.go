package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestDNS(t *testing.T) {
	const head = "12340100000100000000" + "0000"
	for _, c := range []struct{ name, hex, want string }{
		{"wicked label", head + "061b5b324a2e5c" + "00" + "00010001", `4660+ A? \027[2J\.\\. (24)`},
		{"root", head + "00" + "00020001", "4660+ NS? . (17)"},
		{"another type", head + "0161" + "00" + "fff00001", "4660+ Type65520? a. (19)"},
		{"pointer to itself", head + "c00c" + "00010001", "4660+ [|domain] (18)"},
		{"pointer ahead", head + "c00f" + "00010001" + "00", "4660+ [|domain] (19)"},
		{"reserved label type", head + "8061" + "00010001", "4660+ [|domain] (18)"},
		{"label past the end", head + "3f61", "4660+ [|domain] (14)"},
		{"cut in the type", head + "016100" + "0001", "4660+ [|domain] (17)"},
		{"a pointer back", "123481800000000100000000" + "0161000001000100000000" + "0004" + "01020304", "4660 [0q] 1/0/0 A 1.2.3.4 (29)"},
		{"address of a wrong size", "123481800000000100000000" + "0161000001000100000000" + "0003" + "010203", "4660 [0q] 1/0/0 A (28)"},
		{"answer past the end", "123481800000000100000000" + "0161000001000100000000" + "0004" + "0102", "4660 [0q] 1/0/0 A [|domain] (27)"},
		{"too short", "1234", "[|domain] (2)"},
		{"notify", "1234200000010000000000000161000006" + "0001", "4660 notify SOA? a. (19)"},
	} {
		b := unhex(t, c.hex)
		if got := string(appendDNS(nil, b, len(b))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A name of 256 bytes is refused, and so is a message that says one byte many
// times over by pointers.
func TestDNSBounds(t *testing.T) {
	long := unhex(t, "123401000001000000000000")
	for range 4 {
		long = append(append(long, 63), bytes.Repeat([]byte("a"), 63)...)
	}
	long = append(long, 0, 0, 1, 0, 1)
	if got := string(appendDNS(nil, long, len(long))); !strings.HasSuffix(got, "+ [|domain] (273)") {
		t.Error(got)
	}
	many := unhex(t, "12348180000000ff00000000")
	for range 255 {
		many = append(many, unhex(t, "0001610001000000000000"[:2]+"00010001000000000004"+"01020304")...)
	}
	got := string(appendDNS(nil, many, len(many)))
	if strings.Count(got, "1.2.3.4") != shownAnswers || !strings.Contains(got, ", ...") {
		t.Error(got)
	}
}

// Escaping can be undone: what is shown says exactly what was asked.
func FuzzDNSName(f *testing.F) {
	f.Add([]byte("www"), []byte("example"), []byte("org"))
	f.Add([]byte{0, 1, 255}, []byte("a.b\\"), []byte(" "))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var labels [][]byte
		msg := unhex(t, "123401000001000000000000")
		for _, l := range [][]byte{a, b, c} {
			if len(l) > 0 && len(l) < 64 {
				labels = append(labels, l)
				msg = append(append(msg, byte(len(l))), l...)
			}
		}
		msg = append(msg, 0, 0, 1, 0, 1)
		got := string(appendDNS(nil, msg, 0))
		name, ok := strings.CutPrefix(got, "4660+ A? ")
		name, ok2 := strings.CutSuffix(name, " (0)")
		if !ok || !ok2 {
			t.Fatalf("%q", got)
		}
		if want := len(labels); want == 0 {
			if name != "." {
				t.Fatalf("%q is not the root", name)
			}
			return
		}
		if back := unescapeName(name); !bytes.Equal(bytes.Join(back, []byte{'|'}), bytes.Join(labels, []byte{'|'})) || len(back) != len(labels) {
			t.Fatalf("%q reads %q, was %q", name, back, labels)
		}
	})
}

// unescapeName reads the notation of zone files (RFC 1035, 5.1).
func unescapeName(s string) (labels [][]byte) {
	var label []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '.':
			labels, label = append(labels, label), nil
		case s[i] == '\\' && s[i+1] >= '0' && s[i+1] <= '9':
			label = append(label, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		case s[i] == '\\':
			i++
			label = append(label, s[i])
		default:
			label = append(label, s[i])
		}
	}
	return labels
}
