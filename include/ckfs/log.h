/* The log of a running mount: one line a message, to stderr or to syslog. Only fs/fuse, fs/entry/opened.c and, of what has become of
 * SOURCE, backend/redis/servers/pool.c, backend/redis/value/write.c, backend/remote/pool.c, backend/memcached/list/dumps.c, backend/http/service.c and
 * backend/file/file.c log; and with -d, backend/backend.c each call. */
#ifndef CKFS_LOG_H
#define CKFS_LOG_H

enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };

void log_open(enum log_target target);
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
