#include "ckfs/secrets.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A file of a master key is no longer than this. */
#define KEY_FILE_MAX ((size_t)64 << 10)

enum variable {
	MASTER_KEY,
	PREVIOUS_MASTER_KEYS,
	DEPLOYMENT_UUID,
	FAIL_CLOSED,
	VARIABLES,
};

static const char *const names[VARIABLES] = {
	[MASTER_KEY] = "CACHEKIT_MASTER_KEY",
	[PREVIOUS_MASTER_KEYS] = "CACHEKIT_PREVIOUS_MASTER_KEYS",
	[DEPLOYMENT_UUID] = "CACHEKIT_DEPLOYMENT_UUID",
	[FAIL_CLOSED] = "CACHEKIT_ENCRYPTION_FAIL_CLOSED",
};

void secrets_harden(void)
{
	const struct rlimit none = {0, 0};
	/* LeakSanitizer needs no exception: it makes the process dumpable while it looks. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

/* The value of a variable of ours, in place, and which it is; NULL: it is none. The SDK takes names in any case. */
static char *value_of(char *assignment, enum variable *ret)
{
	for (unsigned i = 0; i < VARIABLES; i++) {
		size_t n = strlen(names[i]);
		if (strncasecmp(assignment, names[i], n) == 0 && assignment[n] == '=') {
			*ret = (enum variable)i;
			return assignment + n + 1;
		}
	}
	return NULL;
}

/* Where the values lie; NULL: not set. Of two that differ in case the last counts, as in the SDK. */
static void find_values(char *ret[static VARIABLES])
{
	for (unsigned i = 0; i < VARIABLES; i++)
		ret[i] = NULL;
	for (char **at = environ; at && *at; at++) {
		enum variable variable;
		char *value = value_of(*at, &variable);
		if (value)
			ret[variable] = value;
	}
}

/* Wipes the values where they lie (/proc shows that very memory), and drops the variables. */
static void hide_values(void)
{
	char **to = environ;
	for (char **from = environ; from && *from; from++) {
		enum variable variable;
		char *value = value_of(*from, &variable);
		if (value)
			sodium_memzero(value, strlen(value));
		else
			*to++ = *from;
	}
	if (to)
		*to = NULL;
}

/* The words that the SDK's settings take for a bool. */
static int read_bool(const char *text, bool *ret)
{
	static const char *const words[][2] = {{"0", "1"}, {"f", "t"}, {"n", "y"}, {"no", "yes"}, {"off", "on"}, {"false", "true"}};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		for (int truth = 0; truth < 2; truth++)
			if (strcasecmp(text, words[i][truth]) == 0) {
				*ret = truth;
				return 0;
			}
	return -EINVAL;
}

/* Opens the file after looking at who may read it. */
static int open_key_file(const char *path, int *ret, struct error *error)
{
	struct stat st;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(error, -errno, "%.300s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "%.300s: not a regular file; master_key_file= takes a file with the master key in hex", path);
	if (st.st_mode & 077)
		return error_set(error, -EACCES, "%.300s: others may read this master key; chmod 600 it", path);
	*ret = steal_fd(&fd);
	return 0;
}

static void wiped_free(char **text)
{
	sodium_free(*text);
}

/* Reads the file into memory that is locked and wiped. It ends with a NUL, and holds no other. */
static int read_key_file(const char *path, char **ret, struct error *error)
{
	cleanup_close int fd = -1;
	size_t n = 0;
	ssize_t got;
	int r = open_key_file(path, &fd, error);
	if (r < 0)
		return r;
	cleanup_with(wiped_free) char *text = sodium_malloc(KEY_FILE_MAX + 1);
	if (!text)
		return error_set(error, -ENOMEM, "no memory for the master key");
	do {
		got = read(fd, text + n, KEY_FILE_MAX + 1 - n);
		n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && n <= KEY_FILE_MAX) || (got < 0 && errno == EINTR));
	if (got < 0)
		return error_set(error, -errno, "%.300s: %s", path, strerror(errno));
	if (n == 0 || n > KEY_FILE_MAX || memchr(text, '\0', n))
		return error_set(error, -EINVAL, "%.300s: %s; put the master key there, at least 64 hex digits", path,
			n == 0 ? "empty" : "not hex");
	text[n] = '\0';
	*ret = steal(text);
	return 0;
}

static int read_keys(struct options *options, char *const values[static VARIABLES], struct keyring **ret, struct error *error)
{
	cleanup_with(wiped_free) char *from_file = NULL;
	bool fail_closed = false;
	int r = 0;
	if (values[FAIL_CLOSED] && read_bool(values[FAIL_CLOSED], &fail_closed) < 0)
		return error_set(error, -EINVAL, "%s: no such value; it is true or false", names[FAIL_CLOSED]);
	if (options->master_key_file)
		r = read_key_file(options->master_key_file, &from_file, error);
	if (r == 0)
		r = keyring_new(from_file ? from_file : values[MASTER_KEY], from_file ? options->master_key_file : names[MASTER_KEY],
			values[PREVIOUS_MASTER_KEYS], values[DEPLOYMENT_UUID], ret, error);
	if (r == 0)
		options->fail_closed |= fail_closed;
	return r;
}

int secrets_open(struct options *options, struct keyring **ret, struct error *error)
{
	char *values[VARIABLES];
	find_values(values);
	int r = read_keys(options, values, ret, error);
	hide_values();
	return r;
}
