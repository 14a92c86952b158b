/* SPDX-License-Identifier: MIT */
/* Writes to descriptor 3 what the library makes of the calls that it reads. */
#include <libipq.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
	static unsigned char payload[7000];
	struct ipq_handle h;
	char what[16];
	unsigned long long a, b, n;
	size_t i;

	for (i = 0; i < sizeof payload; i++)
		payload[i] = (unsigned char)('0' + i % 10);
	memset(&h, 0, sizeof h);
	h.fd = 3;
	h.local.nl_pid = (__u32)getpid();
	setvbuf(stdin, NULL, _IOLBF, 256);
	while (scanf("%15s %llu %llu", what, &a, &b) == 3) {
		if (strcmp(what, "mode") == 0) {
			if (ipq_set_mode(&h, (__u8)a, (size_t)b) < 0)
				return 1;
		} else if (scanf("%llu", &n) != 1 || n > sizeof payload ||
			   ipq_set_verdict(&h, (ipq_id_t)b, (unsigned)a, (size_t)n, payload) < 0) {
			return 1;
		}
	}
	return 0;
}
