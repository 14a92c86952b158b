/* SPDX-License-Identifier: MIT */
/* Looks at errno after every success, interrupted by signals all the time. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <signal.h>
#include <sys/time.h>
#include "say.h"

static void on_alarm(int number)
{
	(void)number;
}

#define SUCCEEDS(call) (errno = 0, (call) > 0 && errno != EINTR)

int main(void)
{
	static struct itimerval often = { { 0, 200 }, { 0, 200 } };
	unsigned char buf[2048];
	struct sigaction action;
	struct ipq_handle *h;
	int i;

	memset(&action, 0, sizeof action); /* without SA_RESTART */
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	errno = 0;
	h = ipq_create_handle(0, PF_INET);
	CHECK(h && errno != EINTR);
	CHECK(SUCCEEDS(ipq_set_mode(h, IPQ_COPY_PACKET, 0)));
	say("ready");
	for (i = 0; i < 50; i++) {
		ssize_t n;

		do {
			errno = 0;
			n = ipq_read(h, buf, sizeof buf, 10000);
		} while (n == 0);
		CHECK(n > 0 && errno != EINTR);
		CHECK(SUCCEEDS(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL)));
	}
	ipq_destroy_handle(h);
	return 0;
}
