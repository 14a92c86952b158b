/* SPDX-License-Identifier: MIT */
/* Reads with timeouts, which are in microseconds ("quick": with short ones). */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/time.h>
#include "say.h"

static struct ipq_handle *h;
static unsigned char buf[2048];

static void nothing_for(int timeout)
{
	struct timeval from, to;
	long passed;

	gettimeofday(&from, NULL);
	errno = 0;
	CHECK(ipq_read(h, buf, sizeof buf, timeout) == 0);
	CHECK(errno == 0);
	CHECK(strcmp(ipq_errstr(), "Timeout") == 0);
	gettimeofday(&to, NULL);
	passed = (to.tv_sec - from.tv_sec) * 1000000L + to.tv_usec - from.tv_usec;
	CHECK(passed >= timeout);
	CHECK(passed < timeout + 900000L);
}

int main(int argc, char **argv)
{
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	nothing_for(1);
	if (argc > 1 && strcmp(argv[1], "quick") == 0) {
		nothing_for(20000);
	} else {
		nothing_for(500000);
		nothing_for(1000000);
	}
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 10000000) > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
