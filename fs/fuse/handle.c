#include "handle.h"

#include "ckfs/cleanup.h"

void handle_add(struct handles *handles, struct handle *handle)
{
	LOCK(&handles->lock);
	handle->before = NULL;
	handle->after = handles->first;
	if (handles->first)
		handles->first->before = handle;
	handles->first = handle;
}

static void take_out(struct handles *handles, const struct handle *handle)
{
	LOCK(&handles->lock);
	*(handle->before ? &handle->before->after : &handles->first) = handle->after;
	if (handle->after)
		handle->after->before = handle->before;
}

void handle_free(struct handles *handles, struct handle *handle)
{
	take_out(handles, handle);
	handle->free(handle);
}

void handles_free_all(struct handles *handles)
{
	while (handles->first)
		handle_free(handles, handles->first);
}
