/* SPDX-License-Identifier: MIT */
/* Says where packets come from, as the link layer knows it. Takes their number. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(int argc, char **argv)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_packet_msg_t *p;
	int i, n = argc > 1 ? atoi(argv[1]) : 1;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	say("ready");
	while (n-- > 0) {
		char address[17] = "";

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		p = ipq_get_packet(buf);
		for (i = 0; i < p->hw_addrlen && i < 8; i++)
			sprintf(address + 2 * i, "%02x", p->hw_addr[i]);
		say("protocol %04x type %d address %s", ntohs(p->hw_protocol), p->hw_type, address);
		CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	}
	ipq_destroy_handle(h);
	return 0;
}
