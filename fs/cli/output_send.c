/* Content that lies in a file goes from there to standard output inside the kernel, where that knows how. */
#include "output_private.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of one call, or of one read where they have to be copied. */
#define MOVED ((size_t)1 << 30)
#define COPIED ((size_t)256 << 10)

/* What a pipe may hold: the reader is woken less often. */
#define PIPE_SIZE (1 << 20)

/* Moves bytes of a file at *at, which goes on. How many; 0 the file ends there; -1 and errno. */
typedef ssize_t mover(int fd, off64_t *at, size_t n);

static ssize_t by_splice(int fd, off64_t *at, size_t n)
{
	return splice(fd, at, STDOUT_FILENO, NULL, n, SPLICE_F_MOVE | SPLICE_F_MORE);
}

static ssize_t by_copying_a_range(int fd, off64_t *at, size_t n)
{
	return copy_file_range(fd, at, STDOUT_FILENO, NULL, n, 0);
}

static ssize_t by_sendfile(int fd, off64_t *at, size_t n)
{
	return sendfile(STDOUT_FILENO, fd, at, n);
}

/* What standard output takes best; NULL: nothing is moved there. */
static mover *best_mover(void)
{
	struct stat st;
	if (fstat(STDOUT_FILENO, &st) < 0)
		return NULL;
	if (S_ISREG(st.st_mode))
		return by_copying_a_range;
	return S_ISFIFO(st.st_mode) ? by_splice : S_ISSOCK(st.st_mode) || S_ISCHR(st.st_mode) ? by_sendfile : NULL;
}

/* Whether an error says that this way is none for these two files. (An old file, one of another filesystem, one opened to append…) */
static bool is_no_way(int error)
{
	return error == EINVAL || error == EXDEV || error == EBADF || error == ENOSYS || error == EOPNOTSUPP || error == ETXTBSY || error == EPERM || error == ESPIPE;
}

/* Moves what can be moved. How many bytes: all of them, or those before the point from where they have to be copied; -EIO. */
static int64_t move(const struct slice *slice, int fd)
{
	mover *way = best_mover();
	off64_t at = (off64_t)slice->offset;
	const off64_t end = at + (off64_t)slice->length;
	if (way == by_splice && slice->length > PIPE_SIZE / 2)
		(void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
	while (way && at < end) {
		const uint64_t left = (uint64_t)(end - at);
		ssize_t n = way(fd, &at, left < MOVED ? (size_t)left : MOVED);
		if (n == 0)
			return -EIO;
		if (n < 0 && is_no_way(errno))
			way = way == by_copying_a_range ? by_sendfile : NULL;
		/* Reading may have failed as well as writing: who copies is told which. */
		else if (n < 0 && errno == EIO)
			way = NULL;
		else if (n < 0)
			output_failed(errno);
	}
	return at - (off64_t)slice->offset;
}

static int copy(const struct slice *slice, uint64_t from)
{
	const size_t most = slice->length - from < COPIED ? (size_t)(slice->length - from) : COPIED;
	cleanup_free char *piece = malloc(most ? most : 1);
	int r = piece ? 0 : -ENOMEM;
	while (r == 0 && from < slice->length) {
		const size_t n = slice->length - from < most ? (size_t)(slice->length - from) : most;
		r = slice_read(slice, from, piece, n);
		if (r == 0)
			output_write(piece, n);
		from += n;
	}
	return r;
}

static int send_slice(const struct slice *slice)
{
	const uint8_t *memory = slice_memory(slice);
	if (memory) {
		output_write(memory, (size_t)slice->length);
		return 0;
	}
	const int fd = slice->storage ? storage_fd(slice->storage) : -1;
	const int64_t moved = fd < 0 ? 0 : move(slice, fd);
	return moved < 0 ? (int)moved : copy(slice, (uint64_t)moved);
}

int output_send(struct output *out, const struct content *content)
{
	output_flush(out);
	int r = send_slice(&content->head);
	return r < 0 ? r : send_slice(&content->body);
}
