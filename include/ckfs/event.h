/* Something that one thread tells and another waits for, unless nobody wants to know it any more. */
#ifndef CKFS_EVENT_H
#define CKFS_EVENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct event {
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool is_told; /* protected by lock */
};

void event_init(struct event *event, bool told);
void event_done(struct event *event);

void event_tell(struct event *event);

/*
 * Waits until it is told, and takes that: the next one waits again. 0 it was told before; 1 it was waited for; -EINTR *cancel became true (NULL:
 * it never does), which is heard within 50 ms.
 */
int event_take(struct event *event, const atomic_bool *cancel);

/* Takes it without waiting. False: it was not told. */
bool event_try(struct event *event);

/* Whether a caller who may have gone away has. NULL: there is none. */
static inline bool was_cancelled(const atomic_bool *cancel)
{
	return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}

#endif
