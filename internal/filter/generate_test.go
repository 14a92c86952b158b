package filter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// twin is a filter as text, and the slow and obvious way to decide it.
type twin struct {
	text string
	want func(p model) bool
}

// randomFilter is a chain of operands, as the language has it: from the left, with no precedence.
func randomFilter(r *rand.Rand, depth int) twin {
	x := randomOperand(r, depth)
	for range r.IntN(4) {
		y := randomOperand(r, depth)
		left := x.want
		if r.IntN(2) == 0 {
			x = twin{x.text + pick(r, []string{" and ", "&&", " && "}) + y.text, func(p model) bool { return left(p) && y.want(p) }}
		} else {
			x = twin{x.text + pick(r, []string{" or ", "||", "\tor\n"}) + y.text, func(p model) bool { return left(p) || y.want(p) }}
		}
	}
	return x
}

func randomOperand(r *rand.Rand, depth int) twin {
	if depth > 0 {
		switch r.IntN(5) {
		case 0:
			x := randomOperand(r, depth-1)
			return twin{pick(r, []string{"not ", "!", "! "}) + x.text, func(p model) bool { return !x.want(p) }}
		case 1:
			x := randomFilter(r, depth-1)
			return twin{"(" + x.text + ")", x.want}
		}
	}
	switch r.IntN(6) {
	case 0:
		return randomWord(r)
	case 1, 2, 3:
		return randomPort(r)
	}
	return randomAddress(r)
}

func randomWord(r *rand.Rand) twin {
	is := func(version, protocol uint8) func(model) bool {
		return func(p model) bool {
			return (version == 0 || version == p.version) && (protocol == 0 || p.known && p.protocol == protocol)
		}
	}
	return pick(r, []twin{{"ip", is(4, 0)}, {"ip6", is(6, 0)}, {"tcp", is(0, 6)}, {"udp", is(0, 17)}, {"icmp", is(4, 1)}, {"icmp6", is(6, 58)}})
}

// randomDirection is the words for a direction, and what becomes of a test of the source and one of the destination.
func randomDirection(r *rand.Rand) (string, func(src, dst bool) bool) {
	either := func(s, d bool) bool { return s || d }
	switch r.IntN(6) {
	case 0:
		return "src ", func(s, _ bool) bool { return s }
	case 1:
		return "dst ", func(_, d bool) bool { return d }
	case 2:
		return "src and dst ", func(s, d bool) bool { return s && d }
	case 3:
		return "src or dst ", either
	}
	return "", either
}

// values writes what follows the qualifiers: a value, a list in parentheses, or a value with others that inherit them.
func values(r *rand.Rand, head string, value func() (string, func(model) bool)) twin {
	text, want := value()
	switch r.IntN(4) {
	case 0:
		other, too := value()
		return twin{"(" + head + text + " or " + other + ")", func(p model) bool { return want(p) || too(p) }}
	case 1:
		if strings.TrimSpace(head) == "" {
			break
		}
		other, too := value()
		return twin{head + "(" + text + " or not " + other + ")", func(p model) bool { return want(p) || !too(p) }}
	}
	return twin{head + text, want}
}

func randomPort(r *rand.Rand) twin {
	protocols := []uint8{6, 17, 132}
	head := ""
	switch r.IntN(4) {
	case 0:
		head, protocols = "tcp ", []uint8{6}
	case 1:
		head, protocols = "udp ", []uint8{17}
	}
	words, combine := randomDirection(r)
	ranged := r.IntN(3) == 0
	head += words + "port "
	if ranged {
		head = strings.TrimSuffix(head, " ") + "range "
	}
	return values(r, head, func() (string, func(model) bool) {
		first := pick(r, portPool)
		last := first
		text := fmt.Sprint(first)
		if ranged {
			last = first + uint16(r.IntN(int(min(400, 65535-int(first)))+1))
			text = fmt.Sprintf("%d-%d", first, last)
		}
		return text, func(p model) bool {
			in := func(source bool) bool {
				n, ok := p.port(source)
				return ok && n >= first && n <= last
			}
			return p.known && slices.Contains(protocols, p.protocol) && combine(in(true), in(false))
		}
	})
}

func randomAddress(r *rand.Rand) twin {
	words, combine := randomDirection(r)
	family := r.IntN(2)
	head := pick(r, []string{"", "", [2]string{"ip ", "ip6 "}[family]})
	net := r.IntN(2) == 0
	head += words
	if net {
		head += "net "
	} else {
		head += "host "
	}
	return values(r, head, func() (string, func(model) bool) {
		pool := [2][]string{addresses4, addresses6}[family]
		if net {
			pool = [2][]string{nets4, nets6}[family]
		}
		text := pick(r, pool)
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			a := netip.MustParseAddr(text)
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
		return text, func(p model) bool { return combine(prefix.Contains(p.src), prefix.Contains(p.dst)) }
	})
}
