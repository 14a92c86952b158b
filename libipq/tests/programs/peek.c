/* SPDX-License-Identifier: MIT */
/* Never calls ipq_read: looks at the header first, then takes the message. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

static void receive(struct ipq_handle *h, void *buf, size_t len, int flags, ssize_t want)
{
	socklen_t address = sizeof h->peer;
	ssize_t n;

	memset(&h->peer, 0xff, sizeof h->peer);
	n = recvfrom(h->fd, buf, len, flags, (struct sockaddr *)&h->peer, &address);
	CHECK(n == want);
	CHECK(address == sizeof(struct sockaddr_nl));
	CHECK(h->peer.nl_pid == 0);
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 65535) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		struct nlmsghdr header;
		ipq_packet_msg_t *p;
		unsigned char *buf;

		receive(h, &header, sizeof header, MSG_PEEK, sizeof header);
		CHECK(header.nlmsg_type == IPQM_PACKET && header.nlmsg_seq == 0);
		CHECK(header.nlmsg_pid == 0 && header.nlmsg_flags == 0);
		buf = malloc(header.nlmsg_len);
		receive(h, buf, header.nlmsg_len, 0, (ssize_t)header.nlmsg_len);
		p = NLMSG_DATA((struct nlmsghdr *)buf);
		CHECK(header.nlmsg_len == NLMSG_SPACE(sizeof *p + p->data_len));
		CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
		free(buf);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
