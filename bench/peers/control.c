#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "control.h"

struct settings settings;
volatile unsigned long packets;

void control_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static enum work parse_work(const char *word)
{
	static const char *const names[] = { "accept", "alternate", "mark", "rewrite" };

	for (int i = 0; i < 4; i++)
		if (!strcmp(word, names[i]))
			return i;
	fprintf(stderr, "unknown work %s\n", word);
	exit(2);
}

void control_parse(int argc, char **argv)
{
	char work[16] = "accept";

	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "queue=%u", &settings.queue) == 1 ||
		    sscanf(argv[i], "maxlen=%u", &settings.maxlen) == 1 ||
		    sscanf(argv[i], "rcvbuf=%d", &settings.rcvbuf) == 1 ||
		    sscanf(argv[i], "gso=%d", &settings.gso) == 1 ||
		    sscanf(argv[i], "threads=%d", &settings.threads) == 1 ||
		    sscanf(argv[i], "busypoll=%ld", &settings.busypoll) == 1 ||
		    sscanf(argv[i], "work=%15s", work) == 1)
			continue;
		fprintf(stderr, "unknown setting %s\n", argv[i]);
		exit(2);
	}
	settings.work = parse_work(work);
}

static void *serve(void *unused)
{
	char line[64];

	(void)unused;
	while (fgets(line, sizeof(line), stdin))
		if (!strcmp(line, "report\n")) {
			printf("report %lu -1\n", packets);
			fflush(stdout);
		}
	exit(0);
}

void control_start(int fd)
{
	pthread_t thread;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &settings.rcvbuf, sizeof(int)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &settings.rcvbuf, sizeof(int));
	puts("ready");
	fflush(stdout);
	if (pthread_create(&thread, NULL, serve, NULL))
		control_die("pthread_create");
}
