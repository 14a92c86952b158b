/* SPDX-License-Identifier: MIT */
/* Cleans its environment before it creates a handle, and says what that fails with. */
#define _DEFAULT_SOURCE
#include <libipq.h>
#include <stdlib.h>
#include "../programs/say.h"

static int error_of_create(void)
{
	CHECK(ipq_create_handle(0, PF_INET) == NULL);
	return errno;
}

int main(void)
{
	int at_start, set;

	clearenv();
	at_start = error_of_create();
	setenv("IPQ_SOCKET", "/dev/null/s", 1);
	set = error_of_create();
	setenv("IPQ_SOCKET", "", 1);
	say("at start %d, set %d, empty %d", at_start, set, error_of_create());
	return 0;
}
