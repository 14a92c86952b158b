/* SPDX-License-Identifier: MIT */
/* Includes the header by its longer name. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq/libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, NFPROTO_IPV4);

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
