package filter_test

import (
	"errors"
	"strings"
	"testing"

	"ipq/internal/filter"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" \t\n", ""},
		{"tcp", "tcp"},
		{"icmp6", "icmp6"},
		{"host 10.0.0.1", "host 10.0.0.1"},
		{"10.0.0.1", "host 10.0.0.1"},
		{"src fd00::0:1", "src host fd00::1"},
		{"dst 10.0.0.0/8", "dst net 10.0.0.0/8"},
		{"ip src host 10.0.0.1", "ip src host 10.0.0.1"},
		{"ip6 net fd00::/8", "ip6 net fd00::/8"},
		{"net 10", "net 10.0.0.0/8"},
		{"net 10.1", "net 10.1.0.0/16"},
		{"net 10.1.2", "net 10.1.2.0/24"},
		{"net 10.1.2.3", "net 10.1.2.3/32"},
		{"net 172.16/12", "net 172.16.0.0/12"},
		{"net fd00::1", "net fd00::1/128"},
		{"port 80", "port 80"},
		{"tcp dst port 80", "tcp dst port 80"},
		{"udp src portrange 5-9", "udp src portrange 5-9"},
		{"portrange 5", "port 5"},
		{"src or dst port 80", "port 80"},
		{"dst or src port 80", "port 80"},
		{"src and dst port 80", "src and dst port 80"},
		{"dst and src net 10", "src and dst net 10.0.0.0/8"},
		{"!tcp", "not tcp"},
		{"! ! tcp", "not not tcp"},
		{"not tcp and udp", "not tcp and udp"},
		{"not (tcp and port 80)", "not (tcp and port 80)"},
		{"tcp or udp and ip", "tcp or udp and ip"},
		{"(tcp or udp) and ip", "tcp or udp and ip"}, // and is not tighter than or
		{"tcp or (udp and ip)", "tcp or (udp and ip)"},
		{"tcp||udp&&ip", "tcp or udp and ip"},
		{"(((tcp)))", "tcp"},

		{"port 80 or 443", "port 80 or port 443"},
		{"tcp dst port 80 or 443 or 8080", "tcp dst port 80 or tcp dst port 443 or tcp dst port 8080"},
		{"not host 10.0.0.1 and 10.0.0.2", "not host 10.0.0.1 and host 10.0.0.2"},
		{"host 10.0.0.1 or not 10.0.0.2", "host 10.0.0.1 or not host 10.0.0.2"},
		{"src 10.0.0.1 or fd00::/8", "src host 10.0.0.1 or src net fd00::/8"},
		{"port (80 or 443)", "port 80 or port 443"},
		{"tcp and dst port (80 or (81 or not 82))", "tcp and (dst port 80 or (dst port 81 or not dst port 82))"},
		{"host (10.0.0.1 and 10.0.0.2)", "host 10.0.0.1 and host 10.0.0.2"},
		{"(src port 80 or dst port 81) or 82", "src port 80 or dst port 81 or dst port 82"},
		{"portrange 1-2 or 5-6", "portrange 1-2 or portrange 5-6"},
		{"tcp and 10.0.0.1", "tcp and host 10.0.0.1"},
	} {
		f, err := filter.Parse(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if got := f.String(); got != c.want {
			t.Errorf("%q is read as %q, want %q", c.in, got, c.want)
		}
	}
}

// Each error says what is wrong, and the mark is under it and nothing else.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ in, mark, want string }{
		{"tcp prot 80", "    ^^^^", `expected "and" or "or" before "prot"`},
		{"tcp and prot 80", "        ^^^^", `"prot" is not a word of the filter language: it knows ip,`},
		{"TCP", "^^^", `"TCP" is not a word`},
		{"tcp and", "       ^", "the filter ends where a test is expected"},
		{"and tcp", "^^^", "expected a test"},
		{"tcp and or udp", "        ^^", "expected a test"},
		{"tcp not", "    ^^^", `expected "and" or "or" before "not"`},
		{"not", "   ^", "the filter ends where a test"},
		{"()", " ^", "expected a test"},
		{"(tcp", "^", "this is never closed"},
		{"(tcp udp)", "     ^^^", `expected "and", "or" or ")" before "udp"`},
		{"tcp)", "   ^", "this closes nothing"},
		{"tcp & udp", "    ^", `a single "&"`},
		{"tcp | udp", "    ^", `a single "|"`},
		{"tcp[13]", "   ^", "bytes of a header"},
		{"port = 80", "     ^", "no comparisons"},
		{"port {80", "     ^", `"{" means nothing here`},

		{"host", "    ^", "the filter ends where an address is expected"},
		{"src", "   ^", "where an address or a network is expected"},
		{"host and tcp", "     ^^^", "expected an address"},
		{"host 10.0.0.256", "     ^^^^^^^^^^", "is not an address"},
		{"host localhost", "     ^^^^^^^^^", "names are not looked up"},
		{"host www.example.org", "     ^^^^^^^^^^^^^^^", "names are not looked up"},
		{"host 10.0.0.0/8", "     ^^^^^^^^^^", "write: net 10.0.0.0/8"},
		{"host fe80::1%eth0", "     ^^^^^^^^^^^^", "no zone"},
		{"host ::ffff:10.0.0.1", "     ^^^^^^^^^^^^^^^", "write 10.0.0.1"},
		{"net ::ffff:0.0.0.0/96", "    ^^^^^^^^^^^^^^^^^", "this is an IPv4 address"},
		{"ip host fd00::1", "        ^^^^^^^", "not an address of ip"},
		{"ip6 net 10", "        ^^", "not an address of ip6"},
		{"net 10.0.0.1/8", "    ^^^^^^^^^^", "write 10.0.0.0/8"},
		{"net 10.0.0.0/33", "    ^^^^^^^^^^^", "not a network"},
		{"net 10.0.0.0.0", "    ^^^^^^^^^^", "not a network"},
		{"net x", "    ^", "names are not looked up"},
		{"port 65536", "     ^^^^^", "from 0 to 65535"},
		{"port http", "     ^^^^", `"http" is not a port number`},
		{"port 80-90", "     ^^^^^", "write: portrange 80-90"},
		{"portrange 9-5", "          ^^^", "ends before it begins"},
		{"portrange 1-2-3", "          ^^^^^", "not a range of ports"},
		{"port -5", "     ^^", "is not a port number"},
		{"80", "^^", "Write: port 80"},
		{"port 80 or tcp or 443", "                  ^^^", "Write: port 443"},
		{"port (80 or tcp)", "            ^^^", `"tcp" is not a port number`},
		{"port (80", "     ^", "never closed"},
		{"port (80 or)", "           ^", "expected a port number"},
		{"src or src port 1", "       ^^^", "stands on both sides"},
		{"src or port 1", "    ^^", "expected an address"},

		{"icmp port 80", "^^^^", "icmp has no ports"},
		{"icmp6 src port 80", "^^^^^", "icmp6 has no ports"},
		{"icmp host 10.0.0.1", "^^^^", "write: icmp and"},
		{"tcp host 10.0.0.1", "^^^", "write: tcp and"},
		{"udp src 10.0.0.1", "^^^", "write: udp and"},
		{"ip port 80", "^^", "write: ip and"},

		{"ip and ip6", "^^^^^^^^^^", "contradict"},
		{"tcp and (udp or icmp)", "^^^^^^^^^^^^^^^^^^^^^", "contradict"},
		{"tcp or (icmp and port 80)", "        ^^^^^^^^^^^^^^^^", "contradict"},
		{"ip6 and host 10.0.0.1", "^^^^^^^^^^^^^^^^^^^^^", "contradict"},
		{"src host 10.0.0.1 and src host 10.0.0.2", "^^^^^^^^^^^^^^^^^^^^^^^^", "contradict"},
		{"src net 10/8 and not src net 10/7", "", "contradict"},
		{"tcp port 80 and udp", "^^^^^^^^^^^^^^^^^^^", "contradict"},
		{"dst port 80 and dst port 81", "", "contradict"},
		{"tcp dst port 80 and not tcp dst portrange 79-81", "", "contradict"},
		{"tcp and not (tcp or udp)", "^^^^^^^^^^^^^^^^^^^^^^^^", "contradict"},
		{"not (ip or ip6)", "^^^^^^^^^^^^^^^", "contradict"},
		{"src net 0.0.0.0/0 and ip6", "", "contradict"},

		{"tcp and \x1b[31mred", "        ^^^^", `"\x1b" means nothing`},
		{"tcp\t and\n ünix", "          ^^^^^^^^", `"\u00fc" means nothing`},
		{"port \xff", "     ^^^^", `"\xff" means nothing`},
		{strings.Repeat("tcp and ", 20) + "prot and tcp and tcp and tcp", strings.Repeat(" ", 40) + "^^^^", `"prot"`},
		{strings.Repeat("(", 300), "", "deeper than 200 levels"},
		{strings.Repeat("not ", 300), "", "deeper than 200 levels"},
		{strings.Repeat(" ", 20000), "", "longer than 16384 bytes"},
	} {
		_, err := filter.Parse(c.in)
		var e *filter.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, want an error with %q", c.in, err, c.want)
			continue
		}
		if !strings.Contains(e.Message, c.want) {
			t.Errorf("%q: %q, want %q in it", c.in, e.Message, c.want)
		}
		checkError(t, c.in, e)
		lines := strings.Split(e.Error(), "\n")
		if mark := strings.TrimPrefix(lines[2], "  "); c.mark != "" && mark != c.mark {
			t.Errorf("%q: the mark is wrong; got\n%s", c.in, e.Error())
		}
	}
}

// checkError checks what holds for every error.
func checkError(t *testing.T, in string, e *filter.Error) {
	t.Helper()
	if e.Filter != in || e.Start < 0 || e.Start > e.End || e.End > len(in) || e.Message == "" {
		t.Errorf("%q: a bad error: %+v", in, e)
	}
	lines := strings.Split(e.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q: the error has %d lines:\n%s", in, len(lines), e.Error())
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q: the error is not printable: %q", in, line)
		}
	}
	if len(lines[1]) > 80 || len(lines[2]) > 80 {
		t.Errorf("%q: a line is too long for a terminal:\n%s", in, e.Error())
	}
	if mark := strings.TrimLeft(lines[2], " "); mark == "" || strings.Trim(mark, "^") != "" {
		t.Errorf("%q: a bad mark: %q", in, lines[2])
	}
}
