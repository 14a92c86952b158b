package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Probe finds out which encoding the kernel of the network namespace at path has (empty: the caller's), by installing and
// removing a rule that no packet can reach. Nothing that is queued is lost. An error says what is missing.
func Probe(netns string) (Encoding, error) {
	var e Encoding
	err := inNetns(netns, func() error {
		conn, err := dial()
		if err != nil {
			return err
		}
		defer conn.CloseLasting()
		port, err := conn.GetPortID()
		if err != nil {
			return err
		}
		e, err = probe(conn, port)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rules: %w", err)
	}
	return e, nil
}

func probe(conn *nftables.Conn, port uint32) (Encoding, error) {
	name := fmt.Sprintf("ipq-probe-%d", port)
	if err := try(conn, name, nftables.TableFamilyIPv4, nil); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return 0, fmt.Errorf("make a table that the kernel removes with its owner: %w (needs at least Linux 5.12)", err)
		}
		return 0, fmt.Errorf("make a table: %w", explain(err))
	}
	native := try(conn, name, nftables.TableFamilyINet, Target{}.native())
	if native == nil {
		return Native, nil
	}
	compat := try(conn, name, nftables.TableFamilyIPv4, Target{}.xtables())
	if compat == nil {
		return Compat, nil
	}
	return 0, fmt.Errorf("this kernel cannot queue from nftables: the queue statement needs CONFIG_NFT_QUEUE (%w), the target NFQUEUE "+
		"CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE (%w)", native, compat)
}

// try makes and deletes, in one transaction, a table with one rule. The rule is in a chain that nothing jumps to: deleting a
// base chain would drop what is queued in the namespace.
func try(conn *nftables.Conn, name string, family nftables.TableFamily, do expr.Any) error {
	table := conn.CreateTable(&nftables.Table{Name: name, Family: family, Flags: nftables.TableFlagOwner})
	if do != nil {
		chain := conn.AddChain(&nftables.Chain{Name: "probe", Table: table})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{do}})
	}
	conn.DelTable(table)
	return conn.Flush()
}

// explain adds to an error of the kernel what it means here.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: changing rules needs CAP_NET_ADMIN in the user namespace that owns the network namespace", err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: the kernel needs CONFIG_NF_TABLES with CONFIG_NF_TABLES_INET, or CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6", err)
	}
	return err
}

// explain names the kernel options that the plan needs, when the kernel says that it lacks something and not what.
func (p Plan) explain(e Encoding, err error) error {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return explain(err)
	}
	needs := []string{"CONFIG_NF_TABLES_INET", "CONFIG_NFT_QUEUE"}
	if e == Compat {
		needs = []string{"CONFIG_NF_TABLES_IPV4", "CONFIG_NF_TABLES_IPV6", "CONFIG_NFT_COMPAT", "CONFIG_NETFILTER_XT_TARGET_NFQUEUE"}
	}
	needs = append(needs, "CONFIG_NFT_OBJREF (the counter; always there from Linux 6.2 on)")
	if p.Target.Balance == BalanceFlow && p.Target.queues() > 1 {
		needs = append(needs, "CONFIG_NFT_HASH (balance by flow)")
	}
	var tracked, looped bool
	for _, c := range p.Chains {
		for _, m := range c.Match {
			for _, m := range append([]Match{m}, m.Except...) {
				tracked = tracked || m.States != 0 || m.FirstPackets != 0
				looped = looped || m.LoopedBack
			}
		}
	}
	if tracked {
		needs = append(needs, "CONFIG_NFT_CT (states and first packets of connections)")
	}
	if looped {
		needs = append(needs, "CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6 (looped-back packets)")
	}
	return fmt.Errorf("%w: the kernel lacks something that these rules need: one of %s", err, strings.Join(needs, ", "))
}
