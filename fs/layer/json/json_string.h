/* The strings of JSON text, for json_scan.c. */
#ifndef CKFS_JSON_STRING_H
#define CKFS_JSON_STRING_H

#include "ckfs/json_scan.h"

/*
 * Every reader takes the bytes from p to end (at least one) and returns where it
 * stopped. When it ends the scan it sets scan->result, and where it stopped is void.
 */
const uint8_t *json_read_string(struct json_scan *scan, const uint8_t *p, const uint8_t *end);
const uint8_t *json_read_escape(struct json_scan *scan, const uint8_t *p, const uint8_t *end);

#endif
