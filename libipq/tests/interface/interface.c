/* SPDX-License-Identifier: MIT */
/*
 * Checks what the library promises without a queue handler: the strings, the
 * return values, errno, and the bytes. Exits with 0, or says what differs.
 */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern struct {
	int errcode;
	char *message;
} ipq_errmap[17];

static void make_handle(struct ipq_handle *h, int *other, __u32 port)
{
	int fds[2];

	make_pair(fds, sizeof(struct sockaddr_nl), port);
	memset(h, 0, sizeof *h);
	h->fd = fds[0];
	h->local.nl_family = AF_NETLINK;
	h->local.nl_pid = 4711;
	h->peer.nl_family = AF_NETLINK;
	*other = fds[1];
}

static void strings(void)
{
	static const char *const want[] = {
		"Unknown error", "Implementation error", "Unable to create netlink handle",
		"Unable to create netlink socket", "Unable to bind netlink socket",
		"Unable to allocate buffer", "Failed to receive netlink message",
		"Received EOF on netlink socket", "Invalid peer address length",
		"Sent message truncated", "Received message truncated",
		"Received error from netlink", "Failed to send netlink message",
		"Operation not supported", "Receive buffer size invalid", "Timeout",
		"Invalid protocol specified"
	};
	int i;

	EXPECT(sizeof ipq_errmap / sizeof ipq_errmap[0] == sizeof want / sizeof want[0]);
	for (i = 0; i < 17; i++) {
		EXPECT(ipq_errmap[i].errcode == i);
		EXPECT(strcmp(ipq_errmap[i].message, want[i]) == 0);
	}
	EXPECT_ERROR("Unknown error");
}

static void layout(void)
{
	int wide = sizeof(long) == 8;

	EXPECT(offsetof(struct ipq_handle, fd) == 0);
	EXPECT(offsetof(struct ipq_handle, blocking) == 4);
	EXPECT(offsetof(struct ipq_handle, local) == 8);
	EXPECT(offsetof(struct ipq_handle, peer) == 20);
	EXPECT(sizeof(struct ipq_handle) == 32);
	EXPECT(sizeof(ipq_id_t) == sizeof(long));

	EXPECT(offsetof(ipq_packet_msg_t, packet_id) == 0);
	EXPECT(offsetof(ipq_packet_msg_t, mark) == (wide ? 8 : 4));
	EXPECT(offsetof(ipq_packet_msg_t, timestamp_sec) == (wide ? 16 : 8));
	EXPECT(offsetof(ipq_packet_msg_t, timestamp_usec) == (wide ? 24 : 12));
	EXPECT(offsetof(ipq_packet_msg_t, hook) == (wide ? 32 : 16));
	EXPECT(offsetof(ipq_packet_msg_t, indev_name) == (wide ? 36 : 20));
	EXPECT(offsetof(ipq_packet_msg_t, outdev_name) == (wide ? 52 : 36));
	EXPECT(offsetof(ipq_packet_msg_t, hw_protocol) == (wide ? 68 : 52));
	EXPECT(offsetof(ipq_packet_msg_t, hw_type) == (wide ? 70 : 54));
	EXPECT(offsetof(ipq_packet_msg_t, hw_addrlen) == (wide ? 72 : 56));
	EXPECT(offsetof(ipq_packet_msg_t, hw_addr) == (wide ? 73 : 57));
	EXPECT(offsetof(ipq_packet_msg_t, data_len) == (wide ? 88 : 68));
	EXPECT(offsetof(ipq_packet_msg_t, payload) == (wide ? 96 : 72));
	EXPECT(sizeof(ipq_packet_msg_t) == (wide ? 96 : 72));

	EXPECT(offsetof(ipq_mode_msg_t, value) == 0);
	EXPECT(offsetof(ipq_mode_msg_t, range) == (wide ? 8 : 4));
	EXPECT(sizeof(ipq_mode_msg_t) == (wide ? 16 : 8));
	EXPECT(offsetof(ipq_verdict_msg_t, value) == 0);
	EXPECT(offsetof(ipq_verdict_msg_t, id) == (wide ? 8 : 4));
	EXPECT(offsetof(ipq_verdict_msg_t, data_len) == (wide ? 16 : 8));
	EXPECT(offsetof(ipq_verdict_msg_t, payload) == (wide ? 24 : 12));
	EXPECT(sizeof(ipq_peer_msg_t) == (wide ? 24 : 12));

	EXPECT(IPQM_BASE == 0x10 && IPQM_MODE == 0x11 && IPQM_VERDICT == 0x12);
	EXPECT(IPQM_PACKET == 0x13 && IPQM_MAX == 0x14);
	EXPECT(IPQ_COPY_NONE == 0 && IPQ_COPY_META == 1 && IPQ_COPY_PACKET == 2);
	EXPECT(IPQ_COPY_MAX == 2);
}

static void small_ones(void)
{
	unsigned char bytes[64 + 1];
	unsigned char *odd = bytes + 1;
	struct nlmsgerr e;

	EXPECT(ipq_destroy_handle(NULL) == 0);
	EXPECT(ipq_ctl(NULL, 0) == 1);
	EXPECT(ipq_ctl(NULL, 9, "more") == 1);

	/* No alignment is asked of a buffer, and no validation takes place. */
	memset(bytes, 0xee, sizeof bytes);
	EXPECT(ipq_message_type(odd) == 0xeeee);
	EXPECT((unsigned char *)ipq_get_packet(odd) == odd + 16);
	memset(&e, 0, sizeof e);
	memcpy(odd + 16, &e, sizeof e);
	EXPECT(ipq_get_msgerr(odd) == 0);
	e.error = -EBUSY;
	memcpy(odd + 16, &e, sizeof e);
	EXPECT(ipq_get_msgerr(odd) == EBUSY);
}

static void check_header(const unsigned char *got, __u32 len, __u16 type)
{
	struct nlmsghdr header;

	memcpy(&header, got, sizeof header);
	EXPECT(header.nlmsg_len == len);
	EXPECT(header.nlmsg_type == type);
	EXPECT(header.nlmsg_flags == NLM_F_REQUEST);
	EXPECT(header.nlmsg_seq == 0);
	EXPECT(header.nlmsg_pid == 4711);
}

static void sending(void)
{
	struct ipq_handle h;
	unsigned char got[256], payload[] = "new payload";
	ipq_peer_msg_t body;
	int other, i;
	int plain = sizeof(long) == 8 ? 40 : 28;
	int mode = sizeof(long) == 8 ? 56 : 44;

	make_handle(&h, &other, 0);
	errno = UNTOUCHED;
	EXPECT(ipq_set_mode(&h, IPQ_COPY_PACKET, 1500) == mode);
	EXPECT(errno == UNTOUCHED);
	EXPECT(recv(other, got, sizeof got, 0) == mode);
	check_header(got, (__u32)mode, IPQM_MODE);
	memcpy(&body, got + 16, sizeof body);
	EXPECT(body.msg.mode.value == IPQ_COPY_PACKET && body.msg.mode.range == 1500);
	for (i = plain; i < mode; i++)
		EXPECT(got[i] == 0);
	EXPECT(ipq_set_mode(&h, 255, (size_t)-1) == mode);
	EXPECT(recv(other, got, sizeof got, 0) == mode);
	memcpy(&body, got + 16, sizeof body);
	EXPECT(body.msg.mode.value == 255 && body.msg.mode.range == (size_t)-1);

	EXPECT(ipq_set_verdict(&h, (ipq_id_t)-2, 0x80000001u, 0, NULL) == plain);
	EXPECT(recv(other, got, sizeof got, 0) == plain);
	check_header(got, (__u32)plain, IPQM_VERDICT);
	memcpy(&body, got + 16, sizeof body);
	EXPECT(body.msg.verdict.value == 0x80000001u && body.msg.verdict.id == (ipq_id_t)-2);
	EXPECT(body.msg.verdict.data_len == 0);

	EXPECT(ipq_set_verdict(&h, 5, 1, 11, payload) == plain + 11);
	EXPECT(recv(other, got, sizeof got, 0) == plain + 11);
	check_header(got, (__u32)plain + 11, IPQM_VERDICT);
	memcpy(&body, got + 16, sizeof body);
	EXPECT(body.msg.verdict.data_len == 11);
	EXPECT(memcmp(got + plain, payload, 11) == 0);

	/* Length 0 with a buffer is "unchanged"; a length with none is sent as it is. */
	EXPECT(ipq_set_verdict(&h, 5, 1, 0, payload) == plain);
	EXPECT(recv(other, got, sizeof got, 0) == plain);
	EXPECT(ipq_set_verdict(&h, 5, 1, 60, NULL) == plain);
	EXPECT(recv(other, got, sizeof got, 0) == plain);
	check_header(got, (__u32)plain, IPQM_VERDICT);
	memcpy(&body, got + 16, sizeof body);
	EXPECT(body.msg.verdict.data_len == 60);

	/* A queue handler that has gone is an error, and not a signal. */
	close(other);
	EXPECT(ipq_set_verdict(&h, 5, 1, 0, NULL) == -1);
	EXPECT(errno == EPIPE);
	EXPECT_ERROR("Failed to send netlink message");
	close(h.fd);
	EXPECT(ipq_set_mode(&h, 2, 0) == -1);
	EXPECT(errno == EBADF);
}

static void oversize(void)
{
	struct ipq_handle h;
	size_t size = 1 << 20;
	unsigned char *big = calloc(1, size);
	int other;

	make_handle(&h, &other, 0);
	require(big != NULL, "calloc");
	EXPECT(ipq_set_verdict(&h, 5, 1, size, big) == -1);
	EXPECT(errno == EMSGSIZE);
	free(big);
	close(h.fd);
	close(other);
}

/* A slow queue handler: nothing may be lost, not even with O_NONBLOCK. */
static void sending_waits(void)
{
	struct ipq_handle h;
	unsigned char got[256];
	int other, status, sent = 0, plain = sizeof(long) == 8 ? 40 : 28;
	const int total = 5000;
	pid_t child;

	make_handle(&h, &other, 0);
	fcntl(h.fd, F_SETFL, O_NONBLOCK);
	child = fork();
	require(child >= 0, "fork");
	if (child == 0) {
		int n = 0;

		close(h.fd);
		while (recv(other, got, sizeof got, 0) == plain)
			n++;
		_exit(n == total ? 0 : 1);
	}
	close(other);
	errno = UNTOUCHED;
	while (sent < total && ipq_set_verdict(&h, 5, 1, 0, NULL) == plain)
		sent++;
	EXPECT(sent == total);
	EXPECT(errno == UNTOUCHED);
	close(h.fd);
	require(waitpid(child, &status, 0) == child, "waitpid");
	EXPECT(status == 0);
}

static unsigned char *message(unsigned char *buf, __u32 len, __u16 type, __u16 flags)
{
	struct nlmsghdr header;

	memset(&header, 0, sizeof header);
	header.nlmsg_len = len;
	header.nlmsg_type = type;
	header.nlmsg_flags = flags;
	memcpy(buf, &header, sizeof header);
	return buf;
}

static void receiving(void)
{
	struct ipq_handle h;
	unsigned char buf[512], out[512];
	int other, timeout;

	memset(out, 0, sizeof out);
	make_handle(&h, &other, 0);

	errno = UNTOUCHED;
	EXPECT(ipq_read(&h, buf, 19, 0) == -1);
	EXPECT_ERROR("Receive buffer size invalid");
	EXPECT(ipq_read(&h, buf, 0, 1) == -1);

	EXPECT(ipq_read(&h, buf, sizeof buf, -1) == 0);
	EXPECT_ERROR("Timeout");
	EXPECT(ipq_read(&h, buf, sizeof buf, 1) == 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 1999) == 0);
	EXPECT(errno == UNTOUCHED);

	send(other, message(out, 112, IPQM_PACKET, 0), 112, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == 112);
	EXPECT(ipq_message_type(buf) == IPQM_PACKET);
	EXPECT(h.peer.nl_pid == 0);
	EXPECT_ERROR("Timeout"); /* success resets nothing */
	EXPECT(errno == UNTOUCHED);
	send(other, out, 112, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 1000000) == 112);
	send(other, out, 112, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, -1) == 112);
	EXPECT(errno == UNTOUCHED);
	/* Longer than its header says: accepted. The smallest buffer is legal. */
	send(other, message(out, 20, NLMSG_ERROR, 0), 20, 0);
	EXPECT(ipq_read(&h, buf, 20, 0) == 20);
	send(other, out, 40, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == 40);

	/* What fits of a message that does not is in the buffer. */
	memset(buf, 0, sizeof buf);
	message(out, 112, IPQM_PACKET, 0)[16] = 42;
	send(other, out, 112, 0);
	EXPECT(ipq_read(&h, buf, 100, 0) == -1);
	EXPECT_ERROR("Received message truncated");
	EXPECT(ipq_get_packet(buf)->packet_id == 42);
	EXPECT(errno == UNTOUCHED);
	send(other, message(out, 112, IPQM_PACKET, 0x20), 112, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	send(other, message(out, 4, IPQM_PACKET, 0), 7, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT_ERROR("Received message truncated");

	send(other, out, 0, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT_ERROR("Received EOF on netlink socket");

	fcntl(h.fd, F_SETFL, O_NONBLOCK);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT(errno == EAGAIN);
	EXPECT_ERROR("Failed to receive netlink message");

	ipq_read(&h, buf, 0, 0);
	errno = UNTOUCHED;
	close(other);
	EXPECT(ipq_read(&h, buf, sizeof buf, 1000) == -1);
	EXPECT_ERROR("Received EOF on netlink socket");
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT(errno == UNTOUCHED);
	close(h.fd);
	EXPECT(ipq_read(&h, buf, sizeof buf, -1) == -1);
	EXPECT(errno == EBADF);
	EXPECT_ERROR("Failed to receive netlink message");
	h.fd = -1;
	for (timeout = -1; timeout <= 1; timeout++) {
		errno = UNTOUCHED;
		EXPECT(ipq_read(&h, buf, sizeof buf, timeout) == -1);
		EXPECT(errno == EBADF);
	}
}

static void strangers(void)
{
	struct ipq_handle h;
	unsigned char buf[64], out[64];
	int other, fds[2];

	memset(out, 0, sizeof out);
	message(out, 40, IPQM_PACKET, 0);
	make_handle(&h, &other, 1234);
	send(other, out, 40, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT_ERROR("Failed to receive netlink message");
	EXPECT(h.peer.nl_pid == 1234);
	close(h.fd);
	close(other);

	ipq_read(&h, buf, 0, 0);
	make_pair(fds, 14, 0);
	h.fd = fds[0];
	send(fds[1], out, 40, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT_ERROR("Failed to receive netlink message");
	close(fds[0]);
	close(fds[1]);
}

static void beyond_select(void)
{
	struct ipq_handle h;
	struct rlimit limit;
	unsigned char buf[64], out[64];
	int other, low;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 1101) {
		limit.rlim_cur = 1101;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			return;
	}
	memset(out, 0, sizeof out);
	make_handle(&h, &other, 0);
	low = h.fd;
	h.fd = fcntl(low, F_DUPFD, 1100);
	require(h.fd >= 1100, "F_DUPFD");
	EXPECT(ipq_read(&h, buf, sizeof buf, -1) == 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 1) == 0);
	EXPECT_ERROR("Timeout");
	send(other, message(out, 40, IPQM_PACKET, 0), 40, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 500000) == 40);
	close(low);
	close(h.fd);
	close(other);
}

static sigjmp_buf out_of_read;
static int jump;

static void on_alarm(int number)
{
	(void)number;
	if (jump)
		siglongjmp(out_of_read, 1);
}

static void in_20_ms(void)
{
	struct itimerval t;

	memset(&t, 0, sizeof t);
	t.it_value.tv_usec = 20000;
	setitimer(ITIMER_REAL, &t, NULL); /* takes the place of alarm */
}

static void signals(void)
{
	struct ipq_handle h;
	struct sigaction action;
	unsigned char buf[64], out[64];
	int other;

	memset(out, 0, sizeof out);
	memset(&action, 0, sizeof action);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	make_handle(&h, &other, 0);

	/* With a timeout a signal is not an error. */
	ipq_read(&h, buf, 0, 0);
	in_20_ms();
	errno = UNTOUCHED;
	EXPECT(ipq_read(&h, buf, sizeof buf, 30000000) == 0);
	EXPECT(errno == EINTR);
	EXPECT_ERROR("Receive buffer size invalid");

	/* Without one it is. */
	in_20_ms();
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == -1);
	EXPECT(errno == EINTR);
	EXPECT_ERROR("Failed to receive netlink message");

	jump = 1;
	if (sigsetjmp(out_of_read, 1) == 0) {
		in_20_ms();
		ipq_read(&h, buf, sizeof buf, 0);
		EXPECT(!"came back");
	}
	jump = 0;
	send(other, message(out, 40, IPQM_PACKET, 0), 40, 0);
	EXPECT(ipq_read(&h, buf, sizeof buf, 0) == 40);
	close(h.fd);
	close(other);
	action.sa_handler = SIG_DFL;
	sigaction(SIGALRM, &action, NULL);
	alarm(60);
}

/* What ipq_perror(s) prints. */
static const char *printed(const char *s, int error)
{
	static char text[256];
	int fds[2], saved = dup(2);
	ssize_t n;

	require(pipe(fds) == 0 && saved >= 0, "pipe");
	dup2(fds[1], 2);
	errno = error;
	ipq_perror(s);
	dup2(saved, 2);
	EXPECT(errno == error || !"errno kept");
	close(saved);
	close(fds[1]);
	n = read(fds[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	close(fds[0]);
	return text;
}

static void printing(void)
{
	struct ipq_handle h;

	EXPECT(strcmp(printed("prog", 0), "prog\n") == 0);
	EXPECT(strcmp(printed(NULL, 0), "ERROR\n") == 0);
	EXPECT(strcmp(printed("prog", ENOENT), "prog: No such file or directory\n") == 0);

	/* From here on there is always an error. */
	h.fd = -1;
	ipq_read(&h, NULL, 0, 0);
	EXPECT(strcmp(printed("prog", 0), "prog: Receive buffer size invalid\n") == 0);
	EXPECT(strcmp(printed(NULL, ECONNREFUSED),
		      "ERROR: Receive buffer size invalid: Connection refused\n") == 0);
}

int main(void)
{
	unsetenv("IPQ_SOCKET");
	signal(SIGPIPE, SIG_DFL);
	alarm(60); /* not for ever */
	strings();
	printing();
	layout();
	small_ones();
	sending();
	oversize();
	sending_waits();
	receiving();
	strangers();
	beyond_select();
	signals();
	creating();
	return failures != 0;
}
