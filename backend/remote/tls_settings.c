#include "redis_tls_settings.h"

#include "ckfs/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	size_t offset;
} members[] = {
	{"ssl_ca_certs", offsetof(struct tls_settings, ca_file)},
	{"ssl_ca_path", offsetof(struct tls_settings, ca_dir)},
	{"ssl_certfile", offsetof(struct tls_settings, cert_file)},
	{"ssl_keyfile", offsetof(struct tls_settings, key_file)},
	{"ssl_cert_reqs", offsetof(struct tls_settings, cert_reqs)},
	{"ssl_check_hostname", offsetof(struct tls_settings, check_hostname)},
};

bool tls_settings_is_member(const char *name, size_t n)
{
	return n > 4 && memcmp(name, "ssl_", 4) == 0;
}

char **tls_settings_text(struct tls_settings *settings, const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (strlen(members[i].name) == n && memcmp(members[i].name, name, n) == 0)
			return (char **)((char *)settings + members[i].offset);
	return NULL;
}

const char *tls_option_given(const struct options *options)
{
	return options->tls_ca ? "tls_ca" : options->tls_cert ? "tls_cert" : options->tls_key ? "tls_key"
		: options->tls_server_name ? "tls_server_name" : NULL;
}

/* What an option says, if it was given. */
static int take_option(char **to, const char *value)
{
	char *copy = value ? strdup(value) : NULL;
	if (!value)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static void forget(char **text)
{
	free(*text);
	*text = NULL;
}

static int make_absolute(char **path)
{
	char *absolute;
	int r = path_absolute(*path, &absolute);
	if (r < 0)
		return r;
	free(*path);
	*path = absolute;
	return 0;
}

static int settle_path(char **path, bool is_dir, struct error *error)
{
	struct stat st;
	if (!*path)
		return 0;
	if (stat(*path, &st) < 0 || access(*path, is_dir ? R_OK | X_OK : R_OK) < 0)
		return error_set(error, -errno, "%.300s: %s", *path, strerror(errno));
	if (is_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "%.300s: not a %s", *path, is_dir ? "directory" : "regular file");
	int r = make_absolute(path);
	return r < 0 ? error_set(error, r, "%.300s: %s", *path, strerror(-r)) : 0;
}

/* As to_bool() of redis-py. */
static bool is_false(const char *text)
{
	static const char *const words[] = {"0", "f", "false", "n", "no"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static int settle_checks(struct tls_settings *s, struct error *error)
{
	const char *reqs = s->cert_reqs ? s->cert_reqs : "required";
	if (strcmp(reqs, "none") != 0 && strcmp(reqs, "optional") != 0 && strcmp(reqs, "required") != 0)
		return error_set(error, -EINVAL, "ssl_cert_reqs=%.40s: no such value; it is none, optional or required", reqs);
	s->unverified = strcmp(reqs, "none") == 0;
	s->any_name = s->check_hostname && is_false(s->check_hostname);
	return 0;
}

int tls_settings_settle(struct tls_settings *settings, const struct options *options, struct error *error)
{
	struct tls_settings *s = settings;
	if (take_option(&s->ca_file, options->tls_ca) < 0 || take_option(&s->cert_file, options->tls_cert) < 0
		|| take_option(&s->key_file, options->tls_key) < 0 || take_option(&s->server_name, options->tls_server_name) < 0)
		return error_set(error, -ENOMEM, "no memory");
	s->only_ca_file = options->tls_ca != NULL;
	/* What belonged to the text that an option has replaced. */
	if (options->tls_ca)
		forget(&s->ca_dir);
	if (options->tls_cert && !options->tls_key)
		forget(&s->key_file);
	if (s->key_file && !s->cert_file)
		return error_set(error, -EINVAL, "%.300s: a key without its certificate; -o tls_cert=FILE names that", s->key_file);
	int r = settle_path(&s->ca_file, false, error);
	if (r == 0)
		r = settle_path(&s->ca_dir, true, error);
	if (r == 0)
		r = settle_path(&s->cert_file, false, error);
	if (r == 0)
		r = settle_path(&s->key_file, false, error);
	return r < 0 ? r : settle_checks(s, error);
}

void tls_settings_free(struct tls_settings *settings)
{
	if (!settings)
		return;
	free(settings->ca_file);
	free(settings->ca_dir);
	free(settings->cert_file);
	free(settings->key_file);
	free(settings->cert_reqs);
	free(settings->check_hostname);
	free(settings->server_name);
	free(settings);
}
