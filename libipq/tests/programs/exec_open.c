/* SPDX-License-Identifier: MIT */
/* Runs other programs while the handle is open; they inherit the descriptor. */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <sys/wait.h>
#include "say.h"

int main(void)
{
	unsigned char buf[2048];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	char command[64];
	int i, status;
	pid_t child;

	CHECK(h);
	CHECK((fcntl(h->fd, F_GETFD) & FD_CLOEXEC) == 0);
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	sprintf(command, "test -S /dev/fd/%d", h->fd);
	say("ready");
	for (i = 0; i < 2; i++) {
		CHECK(ipq_read(h, buf, sizeof buf, 0) > 0);
		CHECK(system(command) == 0);
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
			_exit(1);
		}
		CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
		CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
		say("next");
	}
	ipq_destroy_handle(h);
	return 0;
}
