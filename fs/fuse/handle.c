#include "handle.h"

#include <stddef.h>

void handle_add(struct handles *handles, struct handle *handle)
{
	pthread_mutex_lock(&handles->lock);
	handle->before = NULL;
	handle->after = handles->first;
	if (handles->first)
		handles->first->before = handle;
	handles->first = handle;
	pthread_mutex_unlock(&handles->lock);
}

void handle_free(struct handles *handles, struct handle *handle)
{
	pthread_mutex_lock(&handles->lock);
	*(handle->before ? &handle->before->after : &handles->first) = handle->after;
	if (handle->after)
		handle->after->before = handle->before;
	pthread_mutex_unlock(&handles->lock);
	handle->free(handle);
}

void handles_free_all(struct handles *handles)
{
	while (handles->first)
		handle_free(handles, handles->first);
}
