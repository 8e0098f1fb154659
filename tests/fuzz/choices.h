/* The bytes of an input, read as choices. When none is left, every choice is the first one: so a short input is a simple case. */
#ifndef CKFS_CHOICES_H
#define CKFS_CHOICES_H

#include "ckfs/bytes.h"

/* One of 0 to n - 1. */
static inline unsigned choose(struct bytes *choices, unsigned n)
{
	uint8_t byte = 0;
	(void)bytes_u8(choices, &byte);
	return byte % n;
}

/* A number up to 65535. */
static inline unsigned choose_number(struct bytes *choices)
{
	unsigned high = choose(choices, 256);
	return high << 8 | choose(choices, 256);
}

#define choose_of(choices, table) ((table)[choose(choices, sizeof(table) / sizeof *(table))])

#endif
