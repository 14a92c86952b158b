package filter

import "fmt"

// Tree is the syntax tree of a filter, every field of it.
func Tree(f *Filter) string {
	if f.root == nil {
		return "()"
	}
	return tree(f.root)
}

func tree(x expr) string {
	switch x := x.(type) {
	case *binaryExpr:
		return fmt.Sprintf("(%v %s %s)", map[bool]string{false: "and", true: "or"}[x.or], tree(x.x), tree(x.y))
	case *not:
		return fmt.Sprintf("(not %s)", tree(x.x))
	}
	return fmt.Sprintf("%#v", x)
}

// Exact reports whether the rules decide the whole filter.
func Exact(f *Filter) bool { return f.root == nil || f.root.terms(false).exact }
