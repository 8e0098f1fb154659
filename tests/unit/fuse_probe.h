/*
 * The parts of fuse-probe: what stands for libfuse (fuse_probe_replies.c), the backend that does what it is told (fuse_probe_backend.c), orders
 * (fuse_probe_order.c), and the commands (fuse_probe.c).
 */
#ifndef CKFS_FUSE_PROBE_H
#define CKFS_FUSE_PROBE_H

#include "fs/fuse/mount.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Of all parts: what was replied, the backend, faults. */
extern pthread_mutex_t probe_lock;
extern pthread_cond_t probe_changed;

/* Waits for a change, but not for long. probe_lock is held. */
void probe_tick(void);

/* --- libfuse --- */

/* A request, as libfuse has it. */
struct fuse_req {
	pthread_mutex_t lock; /* held while an interrupt is handled */
	fuse_interrupt_func_t on_interrupt;
	void *interrupt_data;
	bool interrupted;

	bool gone; /* its caller, when it is answered */
	bool poor;
	bool paired;
	char command[256];
	pthread_t thread;
	struct fuse_file_info file; /* of an open or opendir */
	/* protected by probe_lock */
	bool returned;
	unsigned replies;
	char *reply; /* JSON */
	size_t reply_length;
};

extern const struct reply_ops probe_replies;

/* Something that libfuse would not bear. The probe fails in the end. */
void probe_fault(const struct fuse_req *req, const char *what);
bool probe_is_faulty(void);

/* As libfuse does. */
void probe_interrupt(struct fuse_req *req);

/* Of the attributes that the kernel was to ask for again, the last. */
uint64_t probe_outdated(void);

/* --- the backend --- */

/* A backend that has nothing at first. */
struct backend *scripted_begin(bool remote);
void scripted_end(void);

/* A version of a key, its value as hexadecimal digits. */
void scripted_store(const char *text, unsigned version, long long expires, const char *hex);
void scripted_forget(const char *text);

/* What calls at a point (find, fetch, expires, list, next, statfs, put, remove, expire) do. */
void scripted_set(const char *point, bool held, bool deaf, int error);

/* Nobody waits at any point any more, and nothing fails. */
void scripted_let_go(void);

/* How many calls there were at a point, or wait there. */
unsigned scripted_calls(const char *point, bool waiting);

/* --- fuse_probe_order.c --- */

/* Prints what comes of an order that is answered too late, and of the next one. */
void probe_late_order(void);

#endif
