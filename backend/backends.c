/* The table of backends. To add a store is a line here, and a folder. */
#include "backends.h"

/* In the order in which the SDK looks for their variables. */
const struct backend_ops *const backends[] = {
	&http_backend,
	&redis_backend,
	&memcached_backend,
	&file_backend,
	NULL,
};
