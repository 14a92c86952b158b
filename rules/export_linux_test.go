package rules

import (
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// Messages are what the plan sends to the kernel in the encoding, without the beginning and the end of the transaction.
func Messages(p Plan, e Encoding) ([]netlink.Message, error) {
	var sent []netlink.Message
	conn, err := nftables.New(nftables.WithTestDial(func(m []netlink.Message) ([]netlink.Message, error) {
		if len(m) > 2 {
			sent = append(sent, m[1:len(m)-1]...)
		}
		return nil, nil
	}))
	if err != nil {
		return nil, err
	}
	t := &Table{conn: conn, encoding: e}
	err = t.add(p.compile(e, "ipq"))
	return sent, err
}

// InstallInet installs the plan in a table of family inet with the xtables target: the rules of the Native encoding, on a
// kernel that lacks the queue statement.
func InstallInet(p Plan) (*Table, error) {
	t := &Table{encoding: Compat}
	if err := t.open(); err != nil {
		return nil, err
	}
	port, err := t.conn.GetPortID()
	if err == nil {
		t.name = tableName(port)
		err = t.put(p.compile(Native, t.name))
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// CloseInstalled closes every table that is installed, also those that the program has not kept.
func CloseInstalled() {
	installed.Range(func(t, _ any) bool {
		t.(*Table).Close()
		return true
	})
}

// Disable lets packets pass by the rules of the table, as Remove does at first.
func Disable(t *Table) error { return t.replace(pass) }
