/* SPDX-License-Identifier: MIT */
/* Waits with select, then with poll, and reads without waiting. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <poll.h>
#include <sys/select.h>
#include "say.h"

static int readable(struct ipq_handle *h)
{
	struct pollfd p;

	p.fd = h->fd;
	p.events = POLLIN;
	return poll(&p, 1, 0);
}

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	CHECK(!readable(h));
	say("ready");
	for (i = 0; i < 4; i++) {
		fd_set set;
		struct pollfd p;

		if (i % 2 == 0) {
			FD_ZERO(&set);
			FD_SET(h->fd, &set);
			CHECK(select(h->fd + 1, &set, NULL, NULL, NULL) == 1);
		} else {
			p.fd = h->fd;
			p.events = POLLIN;
			CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
		}
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		CHECK(!readable(h));
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
