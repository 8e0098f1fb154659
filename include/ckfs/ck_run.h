/*
 * What the command `ck run` caches, which is sealed for the tenant "ck-run":
 *
 *   output    when it was stored, u64 BE | standard output
 *   failure   exit status, i32 BE | failures in a row, u32 BE | when to try again, u64 BE
 *
 * A failure's key ends in ":neg". Times are milliseconds since 1970. Neither is a document: they are shown as one that is made of them.
 */
#ifndef CKFS_CK_RUN_H
#define CKFS_CK_RUN_H

#include "ckfs/sink.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CK_RUN_TENANT "ck-run"

/* Whether what is stored under a key is a failure. */
bool ck_run_is_failure(const char *key, size_t length);

/*
 * Writes it as a MessagePack map: {"stored_at_ms", "stdout"}, the latter a string if it is UTF-8 and else bytes; or {"exit", "failures",
 * "retry_at_ms"}. 0; -EUCLEAN it is no such thing, with static text in *ret_reason; the sink's error.
 */
int ck_run_to_msgpack(bool failure, const uint8_t *bytes, size_t n, struct sink *sink, const char **ret_reason);

#endif
