/* SPDX-License-Identifier: MIT */
/*
 * A shared object with libipq in it, as modules of interpreters and of programs
 * with plug-ins have it. Lets two packets pass.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "../programs/say.h"

int let_two_pass(void);

int let_two_pass(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 10000000) > 0);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
