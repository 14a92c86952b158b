/* SPDX-License-Identifier: MIT */
/* Asks for the range in its argument and says how much it got. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(int argc, char **argv)
{
	static unsigned char buf[140000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_packet_msg_t *p;

	CHECK(h && argc == 2);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, (size_t)atol(argv[1])) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	p = ipq_get_packet(buf);
	say("data_len %lu", (unsigned long)p->data_len);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
