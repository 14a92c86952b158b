package rules_test

import (
	"fmt"
	"net/netip"

	"ipq/rules"
)

// What this host sends to web servers outside its own network goes to four queues, spread by address, and passes where no
// program reads them.
func ExamplePlan() {
	plan := rules.Plan{
		Target: rules.Target{Queue: 0, Last: 3, Balance: rules.BalanceAddresses, Bypass: true},
		Chains: []rules.Chain{{
			Hook: rules.Output,
			Match: []rules.Match{{
				Protocols: []rules.Protocol{rules.TCP},
				DstPorts:  []rules.PortRange{rules.Port(80), rules.Port(443)},
				Except: []rules.Match{
					{Dst: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}},
					{Out: []string{"lo"}},
				},
			}},
		}},
	}
	fmt.Print(plan)
	// Output:
	// table inet ipq {
	// 	counter queued {
	// 	}
	//
	// 	chain output {
	// 		type filter hook output priority 0; policy accept;
	// 		ip daddr 192.168.0.0/16 return
	// 		oifname "lo" return
	// 		tcp dport { 80, 443 } @th,8,24 0x0-0xffffff counter name "queued" queue num 0-3 bypass
	// 	}
	// }
}
