// Package rules sends chosen traffic to a netfilter queue, and stops sending it when the program ends, however it ends.
//
// A [Plan] says which packets ([Match]) at which points of their way ([Chain]) go to which queue ([Target]). [Install]
// puts it into the kernel as an nftables table that belongs to the calling process: when the process is gone, even after
// SIGKILL, the kernel removes the table. Nobody else can change or delete it meanwhile. A plan prints as nft syntax.
//
//	table, err := rules.Install(rules.Plan{
//		Target: rules.Target{Queue: 5, Bypass: true},
//		Chains: []rules.Chain{{
//			Hook:  rules.Input,
//			Match: []rules.Match{{Protocols: []rules.Protocol{rules.TCP}, DstPorts: []rules.PortRange{rules.Port(80)}}},
//		}},
//	})
//
// # Do not lock yourself out
//
// A packet that is sent to a queue waits until a program answers. What happens when none does:
//
//   - Nobody has bound the queue: the kernel drops the packet, or, with Target.Bypass, lets it pass. So bind the queue
//     first and install the rules second.
//   - The queue is full: the kernel drops the packet. Bypass does not help; the queue's own fail-open flag does.
//   - The program that bound the queue hangs: the packets wait, and then the queue is full.
//   - The program that installed the rules ends: the rules are gone, and traffic flows as before. When another program
//     reads the queue, prefer Bypass, or the end of that one stops the traffic while the rules live on.
//
// Over a remote login take the login's own traffic out with Match.Except, or bound the lifetime of the program.
//
// # Stopping costs packets, also those of others
//
// When the kernel unhooks anything in a network namespace, it drops every packet that waits in any queue there, whoever
// queued it: it does when a base chain is deleted, and so a table with one, and when the last rule that uses connection
// tracking is. [Table.Remove] therefore first lets all packets pass by the rules, and waits for the queues to be empty
// before the tables go. [Table.Close], and the end of the process, do not wait. [Install] costs nothing, also where the
// kernel refuses the rules. [Table.Pause] stops the queueing for a while and costs nothing either. docs/packet-loss.md
// lists what else does this.
//
// # Encodings
//
// The nft queue statement needs CONFIG_NFT_QUEUE, which some kernels lack. Where it is missing, the NFQUEUE target of
// iptables does the same through nft's compatibility layer (CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE), in
// one table for IPv4 and one for IPv6. [Probe] tells which of them works.
//
// Requires at least Linux 5.12, on a 64-bit machine: google/nftables, which speaks to the kernel here, does not compile
// for others. This package needs it, and what it imports, beside golang.org/x/sys; package ipq needs x/sys alone.
package rules
