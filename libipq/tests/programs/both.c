/* SPDX-License-Identifier: MIT */
/* IPv4 and IPv6 in one process, with select on both. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/select.h>
#include "say.h"

static int answer(struct ipq_handle *h, fd_set *set, int version)
{
	unsigned char buf[2048];
	ipq_packet_msg_t *p;

	if (!FD_ISSET(h->fd, set))
		return 0;
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_message_type(buf) == IPQM_PACKET);
	p = ipq_get_packet(buf);
	CHECK(p->payload[0] >> 4 == version);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	return 1;
}

int main(void)
{
	struct ipq_handle *h4 = ipq_create_handle(0, PF_INET);
	struct ipq_handle *h6 = ipq_create_handle(0, PF_INET6);
	int n = 0;

	CHECK(h4 && h6);
	CHECK(ipq_set_mode(h4, IPQ_COPY_PACKET, 2000) > 0);
	CHECK(ipq_set_mode(h6, IPQ_COPY_PACKET, 2000) > 0);
	say("ready");
	while (n < 6) {
		fd_set set;

		FD_ZERO(&set);
		FD_SET(h4->fd, &set);
		FD_SET(h6->fd, &set);
		CHECK(select((h4->fd > h6->fd ? h4->fd : h6->fd) + 1, &set, NULL, NULL, NULL) > 0);
		n += answer(h4, &set, 4);
		n += answer(h6, &set, 6);
	}
	ipq_destroy_handle(h4);
	ipq_destroy_handle(h6);
	return 0;
}
