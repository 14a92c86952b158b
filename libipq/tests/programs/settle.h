/* SPDX-License-Identifier: MIT */
/*
 * The kernel had acted on a message when send returned; the queue handler in
 * user space acts on it soon after. An answer to something impossible says that
 * it has come so far, and the test may send packets.
 */
static void settle(struct ipq_handle *h)
{
	unsigned char buf[256];
	struct nlmsgerr *e = (struct nlmsgerr *)(void *)(buf + NLMSG_HDRLEN);
	ssize_t n;

	CHECK(ipq_set_verdict(h, ~0UL, 1, 0, NULL) > 0);
	do {
		n = ipq_read(h, buf, sizeof buf, 10000000);
	} while (n == 0 && errno == EINTR);
	CHECK(n > 0);
	CHECK(e->error == -ENOENT);
}
