#include "ckfs/secrets.h"

#include "ckfs/cleanup.h"
#include "ckfs/secret_file.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>

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

/* The value of one of these variables, where it lies, and which one it is. NULL: another variable. As in the SDK, the case of names does not matter. */
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

/* Where the values lie. NULL: not set. If two names differ in case only, the last one counts, as in the SDK. */
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

/* Wipes the values where they lie, since /proc shows that memory, and removes the variables. */
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

int setting_read_bool(const char *text, bool *ret)
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

int setting_read_number(const char *name, uint64_t usual, uint64_t min, uint64_t max, uint64_t *ret, struct error *error)
{
	const char *text = getenv(name);
	char *end;
	*ret = usual;
	if (!text)
		return 0;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr("-+ ", *text) || n < min || n > max)
		return error_set(error, -EINVAL, "%s=%.40s: not a number from %llu to %llu, which the SDK takes", name, text, (unsigned long long)min,
			(unsigned long long)max);
	*ret = n;
	return 0;
}

static const struct secret_kind master_key = {.option = "master_key_file", .what = "master key in hex", .max = KEY_FILE_MAX};

static int read_keys(struct options *options, char *const values[static VARIABLES], struct keyring **ret, struct error *error)
{
	cleanup_secret struct secret file = {.text = NULL};
	bool fail_closed = false;
	int r = 0;
	if (values[FAIL_CLOSED] && setting_read_bool(values[FAIL_CLOSED], &fail_closed) < 0)
		return error_set(error, -EINVAL, "%s: not a valid value; use true or false", names[FAIL_CLOSED]);
	if (options->master_key_file)
		r = secret_file_read(options->master_key_file, &master_key, false, &file, error);
	if (r == 0)
		r = keyring_new(file.text ? file.text : values[MASTER_KEY], file.text ? options->master_key_file : names[MASTER_KEY],
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
