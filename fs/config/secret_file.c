#include "ckfs/secret_file.h"

#include "ckfs/path.h"
#include "ckfs/read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Whether others have no access. If root owns the file, it gave it to the group on purpose, as Kubernetes does. A user's own group may have any members. */
static bool is_private(const struct stat *st)
{
	const mode_t shared = st->st_uid == 0 ? 037 : 077;
	return (st->st_mode & shared) == 0;
}

static bool is_stream(const struct stat *st)
{
	return S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode);
}

/* Whether the path names a descriptor. Its number may belong to another file later. */
static bool names_descriptor(const char *path)
{
	return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/", 6) == 0 || strcmp(path, "/dev/stdin") == 0;
}

/* Opens the file, after a check of its type and of who may have access. */
static int open_file(const char *path, const struct secret_kind *kind, bool again, int *ret, bool *ret_once, struct error *error)
{
	struct stat st;
	/* Duplicate a descriptor: the pipe of another user, or a socket, cannot be opened again by its path. */
	int named = again ? -1 : path_descriptor(path);
	cleanup_close int fd =
		named < 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : fcntl(named, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(error, -errno, "%.300s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && (again || !is_stream(&st)))
		return error_set(error, -EINVAL, "%.300s: not a regular file%s; %s= takes a file with the %s", path, again ? "" : " or pipe",
			kind->option, kind->what);
	/* The mode of a socket means nothing: only those who have a descriptor have access. */
	if (!S_ISSOCK(st.st_mode) && !is_private(&st))
		return error_set(error, -EACCES, "%.300s: others may read or change this %s; run chmod 600 on it", path, kind->what);
	*ret_once = is_stream(&st) || names_descriptor(path);
	*ret = steal_fd(&fd);
	return 0;
}

int secret_file_read(const char *path, const struct secret_kind *kind, bool again, struct secret *ret, struct error *error)
{
	cleanup_close int fd = -1;
	cleanup_secret struct secret secret = {.text = NULL};
	size_t n = 0;
	ssize_t got;
	int r = open_file(path, kind, again, &fd, &secret.once, error);
	if (r < 0)
		return r;
	secret.text = sodium_malloc(kind->max + 1);
	if (!secret.text)
		return error_set(error, -ENOMEM, "no memory for the %s", kind->what);
	do {
		got = read_patiently(fd, secret.text + n, kind->max + 1 - n);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0 && n <= kind->max);
	if (got < 0)
		return error_set(error, -errno, "%.300s: %s", path, strerror(errno));
	if (n == 0 || n > kind->max || memchr(secret.text, '\0', n))
		return error_set(error, -EINVAL, "%.300s: %s; %s= takes a file with the %s", path,
			n == 0 ? "empty" : n > kind->max ? "too long" : "it has a zero byte", kind->option, kind->what);
	secret.text[n] = '\0';
	*ret = secret;
	(void)steal(secret.text);
	return 0;
}
