/*
 * The protocol between the harness and a reader written in C: lines over
 * standard input and output, so that a reader's own loop stays untouched.
 *
 *   reader   ready                         the queue is bound, packets are read
 *   harness  report                        at any time
 *   reader   report PACKETS ALLOCS         so far; ALLOCS is -1: not counted in C
 *
 * A reader ends when the harness closes the pipe.
 */
#ifndef CONTROL_H
#define CONTROL_H

enum work { ACCEPT, ALTERNATE, MARK, REWRITE };

struct settings {
	unsigned queue;  /* queue number */
	unsigned maxlen; /* packets the kernel may hold */
	int rcvbuf;      /* bytes of socket buffer */
	int gso;         /* ask for GSO packets whole */
	long busypoll;   /* of the limit reader: nanoseconds to look for packets before it sleeps */
	int threads;     /* of the limit reader: one, or two, of which one answers */
	enum work work;
};

/* What REWRITE puts at the start of every UDP payload. */
#define REWRITTEN "rewritten"
#define REWRITTEN_LEN 9

extern struct settings settings;

/* Packets answered so far; only the loop writes it. */
extern volatile unsigned long packets;

/* Reads key=value words into settings. */
void control_parse(int argc, char **argv);

/* Enlarges the socket's buffer, says "ready" and answers the harness from a thread of its own. */
void control_start(int fd);

/* Ends the reader, saying what failed. */
void control_die(const char *what) __attribute__((noreturn));

#endif
