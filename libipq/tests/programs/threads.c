/* SPDX-License-Identifier: MIT */
/* Two threads read and decide at once on one handle. Takes the number of packets. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <pthread.h>
#include "say.h"

static struct ipq_handle *h;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int left;

static void *work(void *unused)
{
	unsigned char buf[2048];

	for (;;) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(ipq_message_type(buf) == IPQM_PACKET);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		pthread_mutex_lock(&lock);
		left--;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	int i;

	left = argc > 1 ? atoi(argv[1]) : 1;
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	say("ready");
	for (i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
	pthread_mutex_lock(&lock);
	while (left > 0)
		pthread_cond_wait(&changed, &lock);
	exit(0); /* the threads still read */
}
