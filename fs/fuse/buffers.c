#include "buffers.h"

#include "ckfs/cleanup.h"

#include <stdbool.h>

#define KEPT_BUFFERS 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* protected by lock */
static void *kept[KEPT_BUFFERS];
static unsigned kept_count;

static void *take_kept(void)
{
	LOCK(&lock);
	return kept_count > 0 ? kept[--kept_count] : NULL;
}

static bool keep(void *buffer)
{
	LOCK(&lock);
	if (kept_count == KEPT_BUFFERS)
		return false;
	kept[kept_count++] = buffer;
	return true;
}

void *buffer_get(void)
{
	void *buffer = take_kept();
	if (!buffer && posix_memalign(&buffer, 4096, BUFFER_SIZE) != 0)
		return NULL;
	return buffer;
}

void buffer_put(void *buffer)
{
	if (!keep(buffer))
		free(buffer);
}

void buffers_free(void)
{
	LOCK(&lock);
	while (kept_count > 0)
		free(kept[--kept_count]);
}
