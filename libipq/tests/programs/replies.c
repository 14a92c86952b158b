/* SPDX-License-Identifier: MIT */
/*
 * What the library of iptables was seen to return with ip_queue of Linux 3.4,
 * for 64 and 32 bits, is returned again.
 */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

#define BITS(wide, narrow) (sizeof(long) == 8 ? (wide) : (narrow))

static struct ipq_handle *h;
static unsigned char buf[4096];

/* Reads an error of the given number, in a message of n bytes. */
static void refused(int n, int error)
{
	CHECK(ipq_read(h, buf, sizeof buf, 10000000) == n);
	CHECK(ipq_message_type(buf) == NLMSG_ERROR);
	CHECK(ipq_get_msgerr(buf) == error);
}

int main(void)
{
	static unsigned char payload[1500];
	ipq_packet_msg_t *p;

	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) == BITS(56, 44));
	errno = 0;
	CHECK(ipq_read(h, buf, sizeof buf, 1000) == 0 && errno == 0);
	CHECK(strcmp(ipq_errstr(), "Timeout") == 0);
	CHECK(ipq_set_mode(h, 3, 0) == BITS(56, 44));
	refused(BITS(76, 64), EINVAL);
	CHECK(ipq_set_verdict(h, 999999, NF_ACCEPT, 0, NULL) == BITS(40, 28));
	refused(BITS(60, 48), ENOENT);
	CHECK(ipq_set_verdict(h, 999999, NF_ACCEPT, sizeof payload, payload) == BITS(1540, 1528));
	refused(BITS(1560, 1548), ENOENT);

	/* The same error, and then a packet, into too small a buffer. */
	CHECK(ipq_set_verdict(h, 999999, NF_ACCEPT, sizeof payload, payload) > 0);
	CHECK(ipq_read(h, buf, 200, 10000000) == -1);
	CHECK(strcmp(ipq_errstr(), "Received message truncated") == 0);
	say("ready");
	CHECK(ipq_read(h, buf, 200, 0) == -1);
	CHECK(strcmp(ipq_errstr(), "Received message truncated") == 0);
	p = ipq_get_packet(buf);
	CHECK(ipq_message_type(buf) == IPQM_PACKET && p->data_len == 1028);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) == BITS(40, 28));
	say("next");

	CHECK(ipq_read(h, buf, sizeof buf, 0) == BITS(240, 216));
	p = ipq_get_packet(buf);
	CHECK(p->data_len == 128);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 128, p->payload) == BITS(168, 156));
	CHECK(ipq_read(h, buf, 19, 0) == -1);
	CHECK(strcmp(ipq_errstr(), "Receive buffer size invalid") == 0);
	CHECK(ipq_read(h, buf, 20, -1) == 0);
	say("next");
	ipq_destroy_handle(h);
	return 0;
}
