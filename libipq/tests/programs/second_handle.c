/* SPDX-License-Identifier: MIT */
/* One handle for each family and process, as each is bound to the process id. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/wait.h>
#include "say.h"
#include "settle.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET), *other;
	int status;
	pid_t child;

	CHECK(h);
	CHECK(ipq_create_handle(0, PF_INET) == NULL);
	CHECK(errno == EADDRINUSE);
	CHECK(strcmp(ipq_errstr(), "Unable to bind netlink socket") == 0);
	other = ipq_create_handle(0, PF_INET6);
	CHECK(other);
	ipq_destroy_handle(other);

	/* A child is another process. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(ipq_create_handle(0, PF_INET) == NULL);
	CHECK(waitpid(child, &status, 0) == child && status == 0);

	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	settle(h);
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_message_type(buf) == IPQM_PACKET);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
