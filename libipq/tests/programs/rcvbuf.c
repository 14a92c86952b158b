/* SPDX-License-Identifier: MIT */
/* Enlarges the receive buffer of the handle's descriptor. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int before = 0, want = 200000, after = 0;
	socklen_t len = sizeof before;

	CHECK(h);
	CHECK(getsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &before, &len) == 0);
	CHECK(before > 0);
	CHECK(setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof want) == 0);
	CHECK(getsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &after, &len) == 0);
	CHECK(after >= want);
	CHECK(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
