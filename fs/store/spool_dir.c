/* What a person is told of a spool directory that cannot be used. */
#include "ckfs/spool.h"

#include "spool_file.h"

#include "ckfs/buf.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOGGED_PATH_MAX 240
#define PAGE 4096

void spool_explain(const char *directory, int number, struct error *ret)
{
	struct buf path = {0};
	struct rlimit limit;
	bool limited = number == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
	buf_escaped(&path, directory, strlen(directory), LOGGED_PATH_MAX);
	buf_put(&path, "", 1);
	const char *text = path.failed ? "" : path.p;
	if (limited)
		error_set(ret, 0, "spool_dir %s: %s: the limit is %llu bytes (ulimit -f)", text, strerror(number), (unsigned long long)limit.rlim_cur);
	else
		error_set(ret, 0, "spool_dir %s: %s", text, strerror(number));
	buf_done(&path);
}

int spool_check(const char *directory, struct error *error)
{
	struct error why;
	void *memory;
	int fd, r = spool_file_new(directory, PAGE, PAGE, &fd, &memory);
	if (r == 0) {
		munmap(memory, PAGE);
		close(fd);
		return 0;
	}
	spool_explain(directory, -r, &why);
	return error_set(error, r, "%.400s; it is needed for values that do not fit into cache_size; give another directory with -o spool_dir=DIR",
		why.text);
}
