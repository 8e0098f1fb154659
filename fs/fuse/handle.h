/* Files and directories that the kernel has open. A mount that ends under them frees them by itself. */
#ifndef CKFS_HANDLE_H
#define CKFS_HANDLE_H

#include <pthread.h>

/* The first member of an open file or directory. */
struct handle {
	struct handle *before, *after;
	void (*free)(struct handle *handle);
};

struct handles {
	pthread_mutex_t lock;
	struct handle *first; /* protected by lock */
};

void handle_add(struct handles *handles, struct handle *handle);

/* Takes a handle out and frees it. */
void handle_free(struct handles *handles, struct handle *handle);
void handles_free_all(struct handles *handles);

#endif
