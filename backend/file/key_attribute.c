/*
 * The key of an entry, in an extended attribute of its file. Whoever may write the file may write anything there: a key is believed when it hashes to the
 * file's name.
 */
#include "file.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define NAME "user.ckfs.key"

/* No key that is longer is read, nor written: a filesystem may have no room for it. */
#define LENGTH_MAX 3000

/* Nearly all are no longer. The kernel takes as much memory as it is asked for, and clears it, also where a file has none. */
#define LENGTH_USUAL 255

/* Filesystems without such attributes are asked once. */
static void note(struct file_backend *f, int number)
{
	if (number == EOPNOTSUPP || number == ENOSYS)
		f->lacks_attributes = true;
}

/* What no file answers that has a key which counts. Anything else may be otherwise the next time. */
static bool is_none(int number)
{
	return number == ENODATA || number == EOPNOTSUPP || number == ENOSYS || number == ERANGE;
}

int file_key_read(struct file_backend *f, int fd, struct key *key)
{
	char text[LENGTH_MAX];
	cleanup_key struct key told = {0};
	if (f->lacks_attributes)
		return -ENODATA;
	ssize_t n = fgetxattr(fd, NAME, text, LENGTH_USUAL);
	if (n < 0 && errno == ERANGE)
		n = fgetxattr(fd, NAME, text, sizeof text);
	if (n < 0) {
		const int number = errno;
		note(f, number);
		/* ENOENT here is no missing entry: the file is open. */
		return is_none(number) ? -ENODATA : number == ENOENT ? -EIO : -number;
	}
	int r = n == 0 ? -ENODATA : key_from_text(text, (size_t)n, &told);
	if (r == 0 && !key_hash_equal(&told.hash, &key->hash))
		r = -ENODATA;
	if (r == 0)
		*key = key_steal(&told);
	return r;
}

enum file_named file_key_look(struct file_backend *f, int fd, struct key *key)
{
	const int r = file_key_read(f, fd, key);
	return r == 0 ? FILE_NAMED : r == -ENODATA ? FILE_UNNAMED : FILE_UNKNOWN;
}

void file_key_write(struct file_backend *f, int fd, const struct key *key)
{
	if (!f->lacks_attributes && key->text && key->length > 0 && key->length <= LENGTH_MAX && fsetxattr(fd, NAME, key->text, key->length, 0) < 0)
		note(f, errno);
}

void file_key_note(struct file_backend *f, int fd, const struct key *key)
{
	if (!f->writes || f->lacks_attributes || !key->text)
		return;
	ssize_t n = fgetxattr(fd, NAME, NULL, 0);
	if (n >= 0 && (size_t)n == key->length)
		return;
	if (n >= 0 || errno == ENODATA)
		file_key_write(f, fd, key);
	else
		note(f, errno);
}

int file_resolve(struct backend *backend, const struct key_hash *hash, const atomic_bool *cancel, struct key *ret)
{
	struct file_backend *f = (struct file_backend *)backend;
	char name[KEY_HEX_SIZE + 1];
	struct key key;
	(void)cancel;
	key_hash_to_hex(hash, name);
	key_from_hash(hash, &key);
	cleanup_close int directory = file_open_directory(f);
	if (directory < 0)
		return directory;
	cleanup_close int fd = file_open_entry(f, directory, name);
	if (fd < 0)
		return fd;
	int r = file_key_read(f, fd, &key);
	if (r < 0)
		return r == -ENODATA ? -ENOENT : r;
	*ret = key;
	return 0;
}
