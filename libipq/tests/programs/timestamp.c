/* SPDX-License-Identifier: MIT */
/* Drops whatever does not come from the last ten seconds. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/time.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	ipq_packet_msg_t *p;
	int i;

	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++) {
		struct timeval now;
		long age;

		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		p = ipq_get_packet(buf);
		gettimeofday(&now, NULL); /* time() lags behind */
		age = (long)now.tv_sec - p->timestamp_sec;
		CHECK(p->timestamp_usec >= 0 && p->timestamp_usec < 1000000);
		CHECK(ipq_set_verdict(h, p->packet_id, age >= 0 && age < 10 ? NF_ACCEPT : NF_DROP, 0, NULL) > 0);
		say("age %ld", age);
	}
	ipq_destroy_handle(h);
	return 0;
}
