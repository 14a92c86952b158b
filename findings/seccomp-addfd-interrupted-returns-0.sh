#!/bin/sh
# A supervisor that answers a system call with a descriptor (SECCOMP_IOCTL_NOTIF_ADDFD with SECCOMP_ADDFD_FLAG_SEND) and is
# interrupted by a signal leaves the supervised program with the answer 0 and no descriptor: to the program, socket() has
# succeeded and returned its standard input.
#
# Versions: Linux 6.18, gcc 12.2.
# Input:    the child calls socket() 100,000 times. The supervisor answers each call with a duplicate of a socket. A second
#           thread of the supervisor sends it a signal whose handler does nothing, again and again. EINTR is retried.
# Expected: every call returns a new descriptor, or a failed request (EINTR) has had no effect.
# Seen:     "calls that returned descriptor 0: some" and "retries after EINTR that found the call answered: some". One run
#           counted 13 of 100,000 calls.
#           The kernel marks the call as answered before it waits for the child to take the descriptor. The interruption takes
#           the descriptor back and leaves the mark. A supervisor has to block signals around the request.
# Needs no privilege. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > finding.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 100000 };

static pthread_t supervisor;
static volatile int ended;

static void nothing(int signal) { (void)signal; }

static void *disturb(void *unused)
{
	while (!ended)
		pthread_kill(supervisor, SIGUSR1);
	return unused;
}

static int filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static int child(int to)
{
	char byte[1] = { 0 }, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { byte, 1 };
	struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int listener = filter(), zeros = 0;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &listener, sizeof(int));
	sendmsg(to, &m, 0);
	close(listener);
	for (int i = 0; i < CALLS; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (fd > 2)
			close(fd);
		else if (fd == 0)
			zeros++;
	}
	printf("calls that returned descriptor 0: %s\n", zeros ? "some" : "none");
	fprintf(stderr, "%d of %d calls returned 0\n", zeros, CALLS);
	return 0;
}

int main(void)
{
	int pair[2], listener, answer = socket(AF_UNIX, SOCK_STREAM, 0), gone = 0;
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { &byte, 1 };
	struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct sigaction action = { .sa_handler = nothing };
	pthread_t other;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pid = fork();
	if (pid == 0)
		exit(child(pair[1]));
	close(pair[1]);
	recvmsg(pair[0], &m, 0);
	memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	sigaction(SIGUSR1, &action, NULL);
	supervisor = pthread_self();
	pthread_create(&other, NULL, disturb, NULL);
	for (int calls = 0; calls < CALLS;) {
		struct seccomp_notif n;
		struct seccomp_notif_addfd a = { .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = answer };
		int interrupted = 0, result;

		memset(&n, 0, sizeof n);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
			continue; /* interrupted */
		calls++;
		a.id = n.id;
		while ((result = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a)) < 0 && errno == EINTR)
			interrupted = 1;
		gone += interrupted && result < 0 && (errno == ENOENT || errno == EINPROGRESS);
	}
	ended = 1;
	pthread_join(other, NULL);
	waitpid(pid, NULL, 0);
	printf("retries after EINTR that found the call answered: %s\n", gone ? "some" : "none");
	return 0;
}
C
gcc -O2 -Wall -pthread -o finding finding.c
timeout 120 ./finding | sort | tee seen
diff - seen <<'SEEN'
calls that returned descriptor 0: some
retries after EINTR that found the call answered: some
SEEN
