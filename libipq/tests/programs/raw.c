/* SPDX-License-Identifier: MIT */
/* No library: a NETLINK_FIREWALL socket that is never bound. */
#include <sys/types.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netlink.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_queue.h>

static const char *ipq_errstr(void) { return "no library"; }
#include "say.h"

struct request {
	struct nlmsghdr header;
	struct ipq_peer_msg body;
};

static void submit(int fd, int type, struct request *r, unsigned seq)
{
	struct sockaddr_nl kernel;

	memset(&kernel, 0, sizeof kernel);
	kernel.nl_family = AF_NETLINK;
	r->header.nlmsg_len = NLMSG_LENGTH(sizeof r->body);
	r->header.nlmsg_type = (unsigned short)type;
	r->header.nlmsg_flags = NLM_F_REQUEST;
	r->header.nlmsg_seq = seq;
	r->header.nlmsg_pid = (unsigned)getpid();
	CHECK(sendto(fd, r, r->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) ==
	      (ssize_t)r->header.nlmsg_len);
}

int main(void)
{
	union {
		struct nlmsghdr header;
		unsigned char bytes[2048];
	} in;
	struct request r;
	struct ipq_packet_msg *p = NLMSG_DATA(&in.header);
	unsigned seq = 100;
	int i, fd = socket(AF_NETLINK, SOCK_RAW, 3);

	CHECK(fd >= 0);
	memset(&r, 0, sizeof r);
	r.body.msg.mode.value = IPQ_COPY_PACKET;
	r.body.msg.mode.range = 1500;
	submit(fd, IPQM_MODE, &r, seq++);
	say("ready");
	for (i = 0; i < 3; i++) {
		struct sockaddr_nl from;
		socklen_t len = sizeof from;

		CHECK(recvfrom(fd, &in, sizeof in, 0, (struct sockaddr *)&from, &len) > 0);
		CHECK(len == sizeof from && from.nl_pid == 0);
		CHECK(in.header.nlmsg_type == IPQM_PACKET);
		memset(&r, 0, sizeof r);
		r.body.msg.verdict.value = NF_ACCEPT;
		r.body.msg.verdict.id = p->packet_id;
		submit(fd, IPQM_VERDICT, &r, seq++);
		say("next");
	}
	return 0;
}
