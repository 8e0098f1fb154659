#include "buffers.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT_BUFFERS 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* protected by lock */
static void *kept[KEPT_BUFFERS];
static unsigned kept_count;

void *buffer_get(void)
{
	void *buffer = NULL;
	pthread_mutex_lock(&lock);
	if (kept_count > 0)
		buffer = kept[--kept_count];
	pthread_mutex_unlock(&lock);
	if (!buffer && posix_memalign(&buffer, 4096, BUFFER_SIZE) != 0)
		return NULL;
	return buffer;
}

void buffer_put(void *buffer)
{
	pthread_mutex_lock(&lock);
	if (kept_count < KEPT_BUFFERS) {
		kept[kept_count++] = buffer;
		buffer = NULL;
	}
	pthread_mutex_unlock(&lock);
	free(buffer);
}

void buffers_free(void)
{
	pthread_mutex_lock(&lock);
	while (kept_count > 0)
		free(kept[--kept_count]);
	pthread_mutex_unlock(&lock);
}
