#include "password.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static const struct secret_kind password_kind = {.option = "password_file", .what = "password", .max = 64u << 10};

struct password_file {
	char *path;
	const struct secret_kind *kind;
	bool once; /* it cannot be read again */
	pthread_mutex_t lock;
	/* protected by lock */
	struct secret password;
	unsigned number;
};

/* The first line of a file. */
static int read_password(const char *path, const struct secret_kind *kind, bool again, struct secret *ret, struct error *error)
{
	cleanup_secret struct secret secret = {.text = NULL};
	int r = secret_file_read(path, kind, again, &secret, error);
	if (r < 0)
		return r;
	const size_t n = strcspn(secret.text, "\r\n");
	if (n == 0 || n > PASSWORD_MAX)
		return error_set(error, -EINVAL, "%.300s: no %s in its first line", path, kind->what);
	sodium_memzero(secret.text + n, strlen(secret.text + n));
	*ret = secret;
	(void)steal(secret.text);
	return 0;
}

int password_file_open(const char *path, struct password_file **ret, struct error *error)
{
	return password_file_open_kind(path, &password_kind, ret, error);
}

int password_file_open_kind(const char *path, const struct secret_kind *kind, struct password_file **ret, struct error *error)
{
	struct password_file *file = calloc(1, sizeof *file);
	if (!file)
		return error_set(error, -ENOMEM, "no memory");
	pthread_mutex_init(&file->lock, NULL);
	file->number = 1;
	file->kind = kind;
	file->path = strdup(path);
	int r = file->path ? read_password(path, kind, false, &file->password, error) : error_set(error, -ENOMEM, "no memory");
	if (r < 0) {
		password_file_close(file);
		return r;
	}
	file->once = file->password.once;
	*ret = file;
	return 0;
}

void password_file_close(struct password_file *file)
{
	if (!file)
		return;
	secret_done(&file->password);
	pthread_mutex_destroy(&file->lock);
	free(file->path);
	free(file);
}

void password_file_needs(const struct password_file *file, struct sandbox *sandbox)
{
	if (file && !file->once)
		sandbox_allow(sandbox, SANDBOX_READ, file->path);
}

void password_file_get(struct password_file *file, char to[static PASSWORD_MAX + 1])
{
	pthread_mutex_lock(&file->lock);
	strcpy(to, file->password.text);
	pthread_mutex_unlock(&file->lock);
}

unsigned password_file_number(struct password_file *file)
{
	if (!file)
		return 0;
	pthread_mutex_lock(&file->lock);
	unsigned number = file->number;
	pthread_mutex_unlock(&file->lock);
	return number;
}

/* Takes over what was read, unless it is the same, or another thread was faster. */
static void take_over(struct password_file *file, unsigned number, struct secret *password)
{
	pthread_mutex_lock(&file->lock);
	if (file->number == number && strcmp(file->password.text, password->text) != 0) {
		const struct secret old = file->password;
		file->password = *password;
		*password = old;
		file->number++;
	}
	pthread_mutex_unlock(&file->lock);
}

int password_file_renew(struct password_file *file, unsigned number, struct error *error)
{
	cleanup_secret struct secret password = {.text = NULL};
	if (!file)
		return 0;
	if (password_file_number(file) == number && !file->once) {
		int r = read_password(file->path, file->kind, true, &password, error);
		if (r < 0)
			return r;
		take_over(file, number, &password);
	}
	return password_file_number(file) != number;
}
