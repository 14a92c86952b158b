/* SPDX-License-Identifier: MIT */
/* Includes the kernel's header itself, and declares the functions it calls. */
#include <sys/types.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_queue.h>

struct ipq_handle;
struct ipq_handle *ipq_create_handle(unsigned int, unsigned int);
int ipq_destroy_handle(struct ipq_handle *);
int ipq_set_mode(const struct ipq_handle *, unsigned char, size_t);
ssize_t ipq_read(const struct ipq_handle *, unsigned char *, size_t, int);
int ipq_set_verdict(const struct ipq_handle *, unsigned long, unsigned int, size_t, unsigned char *);
char *ipq_errstr(void);

#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)buf;
	struct ipq_packet_msg *p = NLMSG_DATA(header);

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(header->nlmsg_type == IPQM_PACKET);
	CHECK(ipq_set_verdict(h, p->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
