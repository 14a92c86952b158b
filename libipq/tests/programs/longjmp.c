/* SPDX-License-Identifier: MIT */
/* Leaves ipq_read by longjmp from a signal handler, again and again. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include "say.h"

static sigjmp_buf away;

static void on_alarm(int number)
{
	siglongjmp(away, number);
}

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	static struct itimerval soon = { { 0, 0 }, { 0, 10000 } };
	volatile int jumps = 0;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	signal(SIGALRM, on_alarm);
	if (sigsetjmp(away, 1) != 0)
		jumps++;
	if (jumps < 5) {
		setitimer(ITIMER_REAL, &soon, NULL);
		ipq_read(h, buf, sizeof buf, jumps % 2 ? 0 : 10000000);
		CHECK(!"came back");
	}
	say("ready");
	CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	ipq_destroy_handle(h);
	return 0;
}
