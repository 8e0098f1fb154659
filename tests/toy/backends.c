/* The table of backends/backends.c with two stores more. */
#include "toy.h"

#include "backend/backends.h"

const struct backend_ops *const backends[] = {
	&http_backend,
	&redis_backend,
	&file_backend,
	&toy_backend,
	&toy_unlisted_backend,
	NULL,
};
