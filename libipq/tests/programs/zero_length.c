/* SPDX-License-Identifier: MIT */
/* A buffer of length 0 with the verdict means that the packet is unchanged. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048], nonsense[100];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	memset(nonsense, 'x', sizeof nonsense);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, nonsense) > 0);
	ipq_destroy_handle(h);
	return 0;
}
