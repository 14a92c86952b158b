/*
 * A C program as old as ip_queue, for the tests of package trap: what old
 * programs do around their handle. It prints what happened, a line each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/netlink.h>

/* What ipq_create_handle does. */
static int create_handle(int protocol, unsigned int port)
{
	struct sockaddr_nl local;
	int fd = socket(PF_NETLINK, SOCK_RAW, protocol);

	if (fd < 0) {
		printf("socket: errno %d\n", errno);
		exit(1);
	}
	memset(&local, 0, sizeof(local));
	local.nl_family = AF_NETLINK;
	local.nl_pid = port;
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0) {
		printf("bind: errno %d\n", errno);
		exit(1);
	}
	return fd;
}

/* What ipq_set_verdict and ipq_read do, with their checks. */
static void exchange(int fd, const char *text)
{
	struct sockaddr_nl peer;
	struct msghdr msg;
	struct iovec iov;
	socklen_t length = sizeof(peer);
	char buf[256];
	ssize_t n;

	memset(&peer, 0, sizeof(peer));
	peer.nl_family = AF_NETLINK;
	iov.iov_base = (void *)text;
	iov.iov_len = strlen(text);
	memset(&msg, 0, sizeof(msg));
	msg.msg_name = &peer;
	msg.msg_namelen = sizeof(peer);
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (sendmsg(fd, &msg, 0) < 0) {
		printf("sendmsg: errno %d\n", errno);
		return;
	}
	n = recvfrom(fd, buf, sizeof(buf) - 1, 0, (struct sockaddr *)&peer, &length);
	if (n < 0) {
		printf("recvfrom: errno %d\n", errno);
		return;
	}
	buf[n] = 0;
	printf("%s from port %u, address length %u\n", buf, peer.nl_pid, (unsigned int)length);
	fflush(stdout);
}

static void *thread(void *arg)
{
	unsigned int port = 100 + (unsigned int)(size_t)arg;
	struct sockaddr_nl name;
	socklen_t length = sizeof(name);
	int fd = create_handle(NETLINK_FIREWALL, port);

	if (getsockname(fd, (struct sockaddr *)&name, &length) < 0 || name.nl_pid != port || length != sizeof(name))
		return "getsockname";
	return NULL;
}

/* A thread whose descriptors are its own: its 3 may be another than ours. */
static void *apart(void *arg)
{
	(void)arg;
	if (unshare(CLONE_FILES) < 0)
		return "unshare";
	exchange(create_handle(NETLINK_FIREWALL, 77), "apart");
	return NULL;
}

static volatile sig_atomic_t alarms;

static void count(int sig)
{
	(void)sig;
	alarms++;
}

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";
	int fd, status;

	if (strcmp(scenario, "daemon-after") == 0) {
		fd = create_handle(NETLINK_FIREWALL, getpid());
		if (daemon(0, 1) < 0 || close(STDERR_FILENO) < 0)
			return 1;
		getchar(); /* /dev/null would be usual; the test says when to go on */
		exchange(fd, "daemon");
	} else if (strcmp(scenario, "daemon-before") == 0) {
		if (daemon(0, 1) < 0 || close(STDERR_FILENO) < 0)
			return 1;
		getchar();
		fd = create_handle(NETLINK_IP6_FW, getpid());
		exchange(fd, "daemon");
	} else if (strcmp(scenario, "child") == 0) {
		fd = create_handle(NETLINK_FIREWALL, getpid());
		if (fork() == 0) {
			exchange(fd, "child");
			return 3;
		}
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
			printf("child: status %#x\n", status);
		if (wait(&status) >= 0 || errno != ECHILD)
			printf("there is another child\n");
		exchange(fd, "parent");
	} else if (strcmp(scenario, "both") == 0) {
		fd = create_handle(NETLINK_FIREWALL, getpid());
		status = create_handle(NETLINK_IP6_FW, getpid());
		exchange(fd, "four");
		exchange(status, "six");
		if (system("exit 4") != 4 << 8)
			printf("system failed\n");
		create_handle(NETLINK_FIREWALL, getpid());
	} else if (strcmp(scenario, "reopen") == 0) {
		for (status = 0; status < 100; status++)
			close(create_handle(NETLINK_FIREWALL, getpid()));
		exchange(create_handle(NETLINK_FIREWALL, getpid()), "again");
	} else if (strcmp(scenario, "threads") == 0) {
		pthread_t threads[64];
		size_t i;
		void *failure;

		for (i = 0; i < 64; i++)
			pthread_create(&threads[i], NULL, thread, (void *)i);
		for (i = 0; i < 64; i++) {
			pthread_join(threads[i], &failure);
			if (failure)
				printf("thread %u: %s\n", (unsigned int)i, (char *)failure);
		}
		printf("joined\n");
	} else if (strcmp(scenario, "apart") == 0) {
		pthread_t other;
		void *failure;

		fd = dup(0);
		pthread_create(&other, NULL, apart, NULL);
		pthread_join(other, &failure);
		printf("%s, no descriptor is left: %d\n", failure ? (char *)failure : "joined", dup(0) == fd + 1);
	} else if (strcmp(scenario, "vfork") == 0) {
		pid_t child = vfork();

		if (child == 0) { /* in its parent's memory */
			create_handle(NETLINK_FIREWALL, getpid());
			_exit(5);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status != 5 << 8)
			printf("vfork: status %#x\n", status);
		exchange(create_handle(NETLINK_FIREWALL, getpid()), "parent");
	} else if (strcmp(scenario, "signals") == 0) {
		/* A signal handler in the middle of a call must not show. */
		struct sigaction action;
		struct itimerval often = { { 0, 300 }, { 0, 300 } };

		memset(&action, 0, sizeof(action));
		action.sa_handler = count;
		action.sa_flags = SA_RESTART;
		sigaction(SIGALRM, &action, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		for (status = 0; alarms < 200 || status < 500; status++)
			close(create_handle(NETLINK_FIREWALL, getpid()));
		fd = create_handle(NETLINK_FIREWALL, getpid());
		printf("no descriptor is left: %d\n", dup(0) == fd + 1);
	} else if (strcmp(scenario, "core") == 0) {
		socket(PF_NETLINK, SOCK_RAW, NETLINK_FIREWALL);
		abort();
	} else {
		return 99;
	}
	return 0;
}
