/*
 * nullfs: a FUSE filesystem that does nothing, as the fair baseline of a listing.
 *
 *     nullfs [-f] [-o names=N,size=BYTES,timeout=SECONDS,attributes=BYTES,noxattr=1,file=PATH,max_threads=N,clone_fd] MOUNTPOINT
 *
 * One directory with N regular files of BYTES zeros. Names are 32 hex digits, as a
 * CacheKit file cache has them; names and attributes are computed, nothing is kept, so
 * what a listing costs here is the kernel, libfuse and the protocol and no more. Any name
 * can be created, and any file written to: the bytes are dropped, and so is the name.
 * Multi-threaded (libfuse's 10 threads, none of which ends by itself), READDIRPLUS where
 * the kernel asks for it, entries and attributes valid for SECONDS (default 1). The names of a
 * file's extended attributes take BYTES, 0 by default: how often they are asked for depends on it.
 * With noxattr=1 there are none, and the kernel asks for none but the first of each kind.
 * With file=PATH the bytes are not zeros but those of a plain file, read for each READ: one copy more.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_DIGITS 32
#define READ_MAX (1U << 20)
#define ATTRIBUTES_MAX 4096U /* bytes of their names, in pieces of ATTRIBUTE_NAME */
#define ATTRIBUTE_NAME 16U

struct options {
	uint64_t names;
	uint64_t size;
	unsigned timeout;
	unsigned attributes;
	unsigned noxattr;
	char *file;
};

/* Set before the session starts, constant from then on. */
static struct options options = {.names = 100000, .size = 4096, .timeout = 1};
static struct timespec mounted_at;
static const char zeros[READ_MAX];
static char attribute_names[ATTRIBUTES_MAX];
static int file_fd = -1; /* of options.file */

/* Name number i is i * scatter modulo 2^64 in hex, twice: it looks like a hash, and it
 * can be taken back because scatter is odd. */
static const uint64_t scatter = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t scatter_inverse(void)
{
	uint64_t inverse = scatter;
	for (int i = 0; i < 6; i++) /* Newton: doubles the right bits each time, from 3 on */
		inverse *= 2 - scatter * inverse;
	return inverse;
}

static void name_of(uint64_t number, char name[static NAME_DIGITS + 1])
{
	uint64_t half = number * scatter;
	(void)snprintf(name, NAME_DIGITS + 1, "%016" PRIx64 "%016" PRIx64, half, ~half);
}

/* The number of a name, or UINT64_MAX when there is no such name. */
static uint64_t number_of(const char *name)
{
	char canonical[NAME_DIGITS + 1];
	if (strlen(name) != NAME_DIGITS)
		return UINT64_MAX;
	memcpy(canonical, name, 16);
	canonical[16] = '\0';
	uint64_t number = strtoull(canonical, NULL, 16) * scatter_inverse();
	if (number >= options.names)
		return UINT64_MAX;
	name_of(number, canonical);
	return strcmp(name, canonical) == 0 ? number : UINT64_MAX;
}

/* Inode 1 is the directory, inode i + 2 is file i. */
static fuse_ino_t inode_of(uint64_t number)
{
	return (fuse_ino_t)(number + 2);
}

static struct stat attributes_of(fuse_ino_t inode)
{
	bool is_root = inode == FUSE_ROOT_ID;
	return (struct stat){
		.st_ino = inode,
		.st_mode = is_root ? S_IFDIR | 0700 : S_IFREG | 0600,
		.st_nlink = is_root ? 2 : 1,
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_size = is_root ? 0 : (off_t)options.size,
		.st_blocks = is_root ? 0 : (blkcnt_t)((options.size + 511) / 512),
		.st_blksize = 4096,
		.st_atim = mounted_at,
		.st_mtim = mounted_at,
		.st_ctim = mounted_at,
	};
}

static struct fuse_entry_param entry_of(fuse_ino_t inode)
{
	return (struct fuse_entry_param){
		.ino = inode,
		.attr = attributes_of(inode),
		.attr_timeout = options.timeout,
		.entry_timeout = options.timeout,
	};
}

static void null_init(void *data, struct fuse_conn_info *connection)
{
	(void)data;
	/* libfuse asks for READDIRPLUS and READDIRPLUS_AUTO by itself; said here because the
	 * comparison stands on it. */
	connection->want |= connection->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	uint64_t number = parent == FUSE_ROOT_ID ? number_of(name) : UINT64_MAX;
	if (number == UINT64_MAX) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct fuse_entry_param entry = entry_of(inode_of(number));
	fuse_reply_entry(req, &entry);
}

static void null_getattr(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *file)
{
	(void)file;
	struct stat attributes = attributes_of(inode);
	fuse_reply_attr(req, &attributes, options.timeout);
}

static void list(fuse_req_t req, size_t room, off_t offset, bool with_attributes)
{
	char *reply = malloc(room);
	size_t used = 0;
	if (reply == NULL) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (uint64_t next = (uint64_t)offset; next < options.names + 2; next++) {
		char name[NAME_DIGITS + 1];
		fuse_ino_t inode = FUSE_ROOT_ID;
		if (next < 2) {
			strcpy(name, next == 0 ? "." : "..");
		} else {
			name_of(next - 2, name);
			inode = inode_of(next - 2);
		}
		struct fuse_entry_param entry = entry_of(inode);
		size_t need = with_attributes
			? fuse_add_direntry_plus(req, reply + used, room - used, name, &entry, (off_t)next + 1)
			: fuse_add_direntry(req, reply + used, room - used, name, &entry.attr, (off_t)next + 1);
		if (need > room - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, reply, used);
	free(reply);
}

static void null_readdir(fuse_req_t req, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file)
{
	(void)inode;
	(void)file;
	list(req, room, offset, false);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file)
{
	(void)inode;
	(void)file;
	list(req, room, offset, true);
}

static void null_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *file)
{
	(void)inode;
	const bool writes = (file->flags & O_ACCMODE) != O_RDONLY;
	file->keep_cache = !writes;
	file->direct_io = writes;
	fuse_reply_open(req, file);
}

static void null_read(fuse_req_t req, fuse_ino_t inode, size_t length, off_t offset, struct fuse_file_info *file)
{
	(void)inode;
	(void)file;
	uint64_t left = (uint64_t)offset < options.size ? options.size - (uint64_t)offset : 0;
	if (length > left)
		length = (size_t)left;
	length = length < READ_MAX ? length : READ_MAX;
	if (file_fd < 0) {
		fuse_reply_buf(req, zeros, length);
		return;
	}
	/* Each thread keeps its own, as long as it lives: fresh memory would cost more than the copy. */
	static _Thread_local char bytes[READ_MAX];
	ssize_t n = pread(file_fd, bytes, length, offset);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, bytes, (size_t)n);
}

/* Written as in ckfs, whose writers go past the page cache. */
static void null_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file)
{
	static atomic_uint_least64_t created;
	(void)parent;
	(void)name;
	(void)mode;
	struct fuse_entry_param entry = entry_of(inode_of(options.names + created++));
	/* A new one is empty, and the kernel may know that for as long as in ckfs. */
	entry.attr.st_size = 0;
	entry.attr_timeout = 1;
	file->direct_io = 1;
	fuse_reply_create(req, &entry, file);
}

static void null_write(fuse_req_t req, fuse_ino_t inode, const char *bytes, size_t length, off_t offset, struct fuse_file_info *file)
{
	(void)inode;
	(void)bytes;
	(void)offset;
	(void)file;
	fuse_reply_write(req, length);
}

static void null_flush(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *file)
{
	(void)inode;
	(void)file;
	fuse_reply_err(req, 0);
}

static void null_getxattr(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size)
{
	(void)inode;
	(void)name;
	(void)size;
	fuse_reply_err(req, options.noxattr ? ENOSYS : ENODATA);
}

static void null_listxattr(fuse_req_t req, fuse_ino_t inode, size_t size)
{
	const unsigned length = inode == FUSE_ROOT_ID ? 0 : options.attributes;
	if (options.noxattr)
		fuse_reply_err(req, ENOSYS);
	else if (size == 0)
		fuse_reply_xattr(req, length);
	else if (size < length)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, attribute_names, length);
}

/* One name after the other, each of ATTRIBUTE_NAME bytes with its end, the last one of what is left. */
static void make_attribute_names(void)
{
	if (options.attributes > ATTRIBUTES_MAX)
		options.attributes = ATTRIBUTES_MAX;
	for (unsigned at = 0; at < options.attributes; at += ATTRIBUTE_NAME)
		(void)snprintf(attribute_names + at, ATTRIBUTE_NAME, "user.null.%05u", at / ATTRIBUTE_NAME % 100000U);
	if (options.attributes > 0)
		attribute_names[options.attributes - 1] = '\0';
}

static const struct fuse_lowlevel_ops operations = {
	.init = null_init,
	.lookup = null_lookup,
	.getattr = null_getattr,
	.readdir = null_readdir,
	.readdirplus = null_readdirplus,
	.open = null_open,
	.read = null_read,
	.create = null_create,
	.write = null_write,
	.flush = null_flush,
	.getxattr = null_getxattr,
	.listxattr = null_listxattr,
};

static const struct fuse_opt option_table[] = {
	{"names=%" SCNu64, offsetof(struct options, names), 0},
	{"size=%" SCNu64, offsetof(struct options, size), 0},
	{"timeout=%u", offsetof(struct options, timeout), 0},
	{"attributes=%u", offsetof(struct options, attributes), 0},
	{"noxattr=%u", offsetof(struct options, noxattr), 0},
	{"file=%s", offsetof(struct options, file), 0},
	FUSE_OPT_END,
};

static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *cmdline)
{
	int r = 1;
	if (fuse_set_signal_handlers(session) != 0)
		return 1;
	if (fuse_session_mount(session, cmdline->mountpoint) == 0) {
		struct fuse_loop_config *loop = fuse_loop_cfg_create();
		if (loop != NULL && fuse_daemonize(cmdline->foreground) == 0) {
			fuse_loop_cfg_set_clone_fd(loop, (unsigned)cmdline->clone_fd);
			fuse_loop_cfg_set_max_threads(loop, cmdline->max_threads);
			fuse_loop_cfg_set_idle_threads(loop, cmdline->max_threads);
			r = fuse_session_loop_mt(session, loop);
		}
		if (loop != NULL)
			fuse_loop_cfg_destroy(loop);
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	return r == 0 ? 0 : 1;
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts cmdline = {0};
	int r = 1;

	clock_gettime(CLOCK_REALTIME, &mounted_at);
	if (fuse_opt_parse(&args, &options, option_table, NULL) != 0 || fuse_parse_cmdline(&args, &cmdline) != 0)
		goto out;
	if (cmdline.mountpoint == NULL) {
		fprintf(stderr, "usage: %s [-f] [-o names=N,size=BYTES,timeout=SECONDS,attributes=BYTES,noxattr=1,file=PATH,max_threads=N,clone_fd] MOUNTPOINT\n", argv[0]);
		goto out;
	}
	make_attribute_names();
	if (options.file) {
		struct stat st;
		file_fd = open(options.file, O_RDONLY | O_CLOEXEC);
		if (file_fd < 0 || fstat(file_fd, &st) < 0) {
			perror(options.file);
			goto out;
		}
		options.size = (uint64_t)st.st_size;
	}
	struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (session != NULL) {
		r = serve(session, &cmdline);
		fuse_session_destroy(session);
	}
out:
	free(cmdline.mountpoint);
	free(options.file);
	fuse_opt_free_args(&args);
	return r;
}
