package filter

import (
	"fmt"
	"strings"
)

// token is one word or sign of a filter.
type token struct {
	kind       kind
	text       string
	start, end int
}

type kind uint8

const (
	tokenEnd kind = iota
	tokenWord
	tokenOpen
	tokenClose
	tokenNot
	tokenAnd
	tokenOr
)

// space separates tokens.
const space = " \t\r\n"

// signs are the tokens that are no words, and the words that mean the same.
var signs = []struct {
	text string
	kind kind
}{{"(", tokenOpen}, {")", tokenClose}, {"&&", tokenAnd}, {"||", tokenOr}, {"!", tokenNot}}

var wordSigns = map[string]kind{"and": tokenAnd, "or": tokenOr, "not": tokenNot}

// lex cuts a filter into tokens; the last is tokenEnd.
func lex(s string) ([]token, error) {
	var tokens []token
next:
	for at := 0; at < len(s); {
		if strings.IndexByte(space, s[at]) >= 0 {
			at++
			continue
		}
		for _, sign := range signs {
			if strings.HasPrefix(s[at:], sign.text) {
				tokens = append(tokens, token{sign.kind, sign.text, at, at + len(sign.text)})
				at += len(sign.text)
				continue next
			}
		}
		end := at
		for end < len(s) && inWord(s[end]) {
			end++
		}
		if end == at {
			return nil, strange(s, at)
		}
		t := token{tokenWord, s[at:end], at, end}
		if k, ok := wordSigns[t.text]; ok {
			t.kind = k
		}
		tokens = append(tokens, t)
		at = end
	}
	return append(tokens, token{tokenEnd, "", len(s), len(s)}), nil
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:/%-", c) >= 0
}

// strange is the error for a character that begins no token.
func strange(s string, at int) error {
	end := at + 1
	for end < len(s) && s[at] >= 0x80 && s[end]&0xc0 == 0x80 { // the whole of a UTF-8 sequence
		end++
	}
	e := &Error{Filter: s, Start: at, End: end, Message: fmt.Sprintf("%s means nothing here", quote(s[at:end]))}
	switch s[at] {
	case '&':
		e.Message = `a single "&" means nothing: write "&&" or "and"`
	case '|':
		e.Message = `a single "|" means nothing: write "||" or "or"`
	case '[':
		e.Message = "the bytes of a header cannot be tested"
	case '=', '<', '>':
		e.Message = "there are no comparisons"
	}
	return e
}
