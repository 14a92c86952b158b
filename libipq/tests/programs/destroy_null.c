/* SPDX-License-Identifier: MIT */
/* Cleans up the same way whether it has a handle or not. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include "say.h"

int main(void)
{
	struct ipq_handle *h = NULL;

	CHECK(ipq_destroy_handle(h) == 0);
	h = ipq_create_handle(0, 99);
	CHECK(h == NULL);
	CHECK(strcmp(ipq_errstr(), "Invalid protocol specified") == 0);
	CHECK(ipq_destroy_handle(h) == 0);
	h = ipq_create_handle(0, PF_INET);
	CHECK(h);
	CHECK(ipq_destroy_handle(h) == 0);
	return 0;
}
