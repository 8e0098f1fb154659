/* The numbers of JSON text, for json_scan.c. */
#ifndef CKFS_JSON_NUMBER_H
#define CKFS_JSON_NUMBER_H

#include "ckfs/json_scan.h"

/* A digit comes next. */
void json_begin_number(struct json_scan *scan);

/* Reads on, up to the first byte behind the number. */
const uint8_t *json_read_number(struct json_scan *scan, const uint8_t *p, const uint8_t *end);

/* Whether what was read by this state is a whole number. */
bool json_number_may_end(int state);

void json_end_number(struct json_scan *scan);

#endif
