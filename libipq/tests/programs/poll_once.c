/* SPDX-License-Identifier: MIT */
/* A negative timeout: looks, and does not wait. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ssize_t n;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	CHECK(ipq_read(h, buf, sizeof buf, -1) == 0);
	CHECK(strcmp(ipq_errstr(), "Timeout") == 0);
	say("ready");
	while ((n = ipq_read(h, buf, sizeof buf, -1000)) == 0)
		usleep(1000);
	CHECK(n > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
