package filter

import (
	"fmt"

	"ipq/packet"
)

// Filter is a parsed filter. It does not change, and may be used by many goroutines at once.
type Filter struct {
	root expr // nil for every packet
}

// Bounds of a filter, far above any that a person writes.
const (
	maxLength = 16 << 10 // bytes
	maxDepth  = 200      // of parentheses and negations
)

// Parse reads a filter. The error is an *Error.
func Parse(s string) (*Filter, error) {
	if len(s) > maxLength {
		return nil, &Error{s, maxLength, maxLength, fmt.Sprintf("the filter is longer than %d bytes", maxLength)}
	}
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{filter: s, tokens: tokens}
	if p.peek().kind == tokenEnd {
		return &Filter{}, nil
	}
	root, err := p.expression()
	if err != nil {
		return nil, err
	}
	switch t := p.peek(); t.kind {
	case tokenEnd:
	case tokenClose:
		return nil, p.fault(t, "this closes nothing")
	default:
		return nil, p.fault(t, `expected "and" or "or" before %s`, quote(t.text))
	}
	return &Filter{root}, nil
}

// String is the filter in one way to write it; parsing that gives the same filter.
func (f *Filter) String() string {
	if f.root == nil {
		return ""
	}
	return f.root.String()
}

// Match reports whether the filter wants the packet. It allocates nothing.
func (f *Filter) Match(h *packet.Headers) bool { return f.root == nil || f.root.eval(h) }

// parser reads tokens.
type parser struct {
	filter string
	tokens []token
	at     int
	depth  int
	last   *qualifiers // of the last test that had any; nil before the first and after a test that is one word
}

func (p *parser) peek() token { return p.tokens[p.at] }

// peekAt is the token n after the next one.
func (p *parser) peekAt(n int) token { return p.tokens[min(p.at+n, len(p.tokens)-1)] }

// next takes a token; the end stays.
func (p *parser) next() token {
	t := p.peek()
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// fault is an error at a token.
func (p *parser) fault(t token, format string, args ...any) error {
	return &Error{p.filter, t.start, t.end, fmt.Sprintf(format, args...)}
}

// deeper counts a level of nesting until the function that it returns is called.
func (p *parser) deeper(t token) (leave func(), err error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fault(t, "parentheses and negations go deeper than %d levels", maxDepth)
	}
	return func() { p.depth-- }, nil
}

// expression is operands with operators between them, grouped from the left.
func (p *parser) expression() (expr, error) { return p.chain(p.operand) }

func (p *parser) chain(operand func() (expr, error)) (expr, error) {
	start := p.at
	x, err := operand()
	if err != nil {
		return nil, err
	}
	for p.peek().kind == tokenAnd || p.peek().kind == tokenOr {
		or := p.next().kind == tokenOr
		y, err := operand()
		if err != nil {
			return nil, err
		}
		x = newBinary(or, x, y)
		if err := p.possible(x, start); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// possible returns an error when no packet can match x, whose text begins at token number start and ends here.
func (p *parser) possible(x expr, start int) error {
	if len(x.terms(false).terms) != 0 {
		return nil
	}
	return &Error{p.filter, p.tokens[start].start, p.tokens[p.at-1].end, "no packet can match this: its parts contradict each other"}
}

// operand is a test, or an expression in parentheses, or either with a negation before it.
func (p *parser) operand() (expr, error) {
	switch t := p.peek(); t.kind {
	case tokenNot, tokenOpen:
		return p.nested(p.operand, p.expression)
	case tokenWord:
		return p.test()
	}
	return nil, p.expectedTest()
}

func (p *parser) expectedTest() error {
	t := p.peek()
	if t.kind == tokenEnd {
		return p.fault(t, "the filter ends where a test is expected, such as: tcp port 80")
	}
	return p.fault(t, "expected a test, such as: tcp port 80")
}

// nested is a negation of what operand reads, or what inside reads, in parentheses.
func (p *parser) nested(operand, inside func() (expr, error)) (expr, error) {
	t := p.next()
	leave, err := p.deeper(t)
	if err != nil {
		return nil, err
	}
	defer leave()
	if t.kind == tokenNot {
		start := p.at - 1
		x, err := operand()
		if err != nil {
			return nil, err
		}
		n := &not{x}
		return n, p.possible(n, start)
	}
	x, err := inside()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenClose {
		if p.peek().kind == tokenWord {
			return nil, p.fault(p.peek(), `expected "and", "or" or ")" before %s`, quote(p.peek().text))
		}
		return nil, p.fault(t, "this is never closed")
	}
	p.next()
	return x, nil
}
