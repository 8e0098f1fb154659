#include "ckfs/options.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LISTED_TTL_MAX 3600
#define TIMEOUT_MAX 3600

/* Each option with its help text and what reads its value. The manual is tested against this table. */
struct option_row {
	const char *name;  /* with "=" when it takes a value */
	const char *value; /* what the value is; "" or NULL: none */
	const char *help;  /* NULL: not shown; the option is known and refused or dropped */
	int (*set)(struct options *options, const char *value);
};

static int set_text(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int set_match(struct options *o, const char *value)
{
	return set_text(&o->match, value);
}

static int set_prefix(struct options *o, const char *value)
{
	return set_text(&o->prefix, value);
}

static int set_tenant(struct options *o, const char *value)
{
	return *value ? set_text(&o->tenant, value) : -EINVAL;
}

/* The daemon changes its directory: what a path means is settled now. */
static int set_path(char **to, const char *value)
{
	char *path = realpath(value, NULL);
	if (!path)
		return -errno;
	free(*to);
	*to = path;
	return 0;
}

static int set_keys(struct options *o, const char *value)
{
	return set_path(&o->keys_file, value);
}

static int set_master_key_file(struct options *o, const char *value)
{
	return set_path(&o->master_key_file, value);
}

static int set_password_file(struct options *o, const char *value)
{
	return set_path(&o->password_file, value);
}

static int set_tls_ca(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_ca, value) : -EINVAL;
}

static int set_tls_cert(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_cert, value) : -EINVAL;
}

static int set_tls_key(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_key, value) : -EINVAL;
}

static int set_tls_server_name(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_server_name, value) : -EINVAL;
}

static int set_fail_closed(struct options *o, const char *value)
{
	(void)value;
	o->fail_closed = true;
	return 0;
}

static int set_spool_dir(struct options *o, const char *value)
{
	return set_path(&o->spool_dir, value);
}

static int set_listed_ttl(struct options *o, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);
	if (end == value || *end || !(seconds >= 0 && seconds <= LISTED_TTL_MAX))
		return -EINVAL;
	o->listed_ttl = seconds;
	return 0;
}

static int set_timeout(struct options *o, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);
	if (end == value || *end || !(seconds >= 0.001 && seconds <= TIMEOUT_MAX))
		return -EINVAL;
	o->timeout = seconds;
	return 0;
}

static int set_read_from(struct options *o, const char *value)
{
	if (strcmp(value, "master") == 0)
		o->read_from = READ_FROM_MASTER;
	else if (strcmp(value, "replica") == 0)
		o->read_from = READ_FROM_REPLICA;
	else
		return -EINVAL;
	return 0;
}

static int set_verify(struct options *o, const char *value)
{
	if (strcmp(value, "first") == 0)
		o->verify = VERIFY_FIRST;
	else if (strcmp(value, "never") == 0)
		o->verify = VERIFY_NEVER;
	else
		return -EINVAL;
	return 0;
}

static int parse_number(const char *value, int base, uint64_t max, uint64_t *ret, const char **ret_end)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(value, &end, base);
	if (errno || end == value || *value == '-' || *value == '+' || *value == ' ' || n > max)
		return -EINVAL;
	*ret = n;
	*ret_end = end;
	return 0;
}

static int set_cache_size(struct options *o, const char *value)
{
	static const char units[] = "KMGT";
	const char *end;
	uint64_t n;
	if (parse_number(value, 10, UINT64_MAX >> 40, &n, &end) < 0)
		return -EINVAL;
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return -EINVAL;
	o->cache_size = unit ? n << (10 * (unit - units + 1)) : n;
	return 0;
}

static int set_whole(const char *value, int base, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t n;
	if (parse_number(value, base, max, &n, &end) < 0 || *end || n < min)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int set_max_threads(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 1, 1000, &n);
	if (r == 0)
		o->max_threads = (unsigned)n;
	return r;
}

static int set_log(struct options *o, const char *value)
{
	if (strcmp(value, "stderr") == 0)
		o->log = LOG_TO_STDERR;
	else if (strcmp(value, "syslog") == 0)
		o->log = LOG_TO_SYSLOG;
	else
		return -EINVAL;
	o->has_log = true;
	return 0;
}

static int set_umask(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 8, 0, 0777, &n);
	if (r == 0) {
		o->umask = (mode_t)n;
		o->has_umask = true;
	}
	return r;
}

static int set_uid(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 0, UINT32_MAX - 1, &n);
	if (r == 0)
		o->uid = (uid_t)n;
	return r;
}

static int set_gid(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 0, UINT32_MAX - 1, &n);
	if (r == 0)
		o->gid = (gid_t)n;
	return r;
}

static int drop(struct options *o, const char *value)
{
	(void)o;
	(void)value;
	return 0;
}

static int refuse(struct options *o, const char *value)
{
	(void)o;
	(void)value;
	return -ENOSYS;
}

static const struct option_row rows[] = {
	{"match=", "GLOB", "what listings show (names without extension)", set_match},
	{"keys=", "FILE", "keys to list by name, one escaped name a line", set_keys},
	{"prefix=", "TEXT", "only keys that begin with it, named without it", set_prefix},
	{"tenant=", "TENANT", "only keys of this tenant (prefix t:TENANT:)", set_tenant},
	{"password_file=", "FILE", "the server's password; mode 0600", set_password_file},
	{"tls_ca=", "FILE", "CA certificates (PEM), instead of the system's", set_tls_ca},
	{"tls_cert=", "FILE", "our certificate for rediss:// (PEM)", set_tls_cert},
	{"tls_key=", "FILE", "its key, when it is not in the same file", set_tls_key},
	{"tls_server_name=", "NAME", "whom the server's certificate is for (the host)", set_tls_server_name},
	{"read_from=", "master|replica", "whom a cluster or sentinels are read from (master)", set_read_from},
	{"timeout=", "SECONDS", "longest wait for a server without progress (5)", set_timeout},
	{"master_key_file=", "FILE", "the master key in hex; mode 0600 (CACHEKIT_MASTER_KEY)", set_master_key_file},
	{"fail_closed", "", "no try where a sealed entry names no key we have", set_fail_closed},
	{"listed_ttl=", "SECONDS", "how long what a listing showed may serve stat (1)", set_listed_ttl},
	{"verify=", "first|never", "checksums once per version, or not at all (first)", set_verify},
	{"cache_size=", "SIZE", "memory for decoded values: 64M, 2G (256M)", set_cache_size},
	{"spool_dir=", "DIR", "where larger ones go, as unnamed files (/var/tmp)", set_spool_dir},
	{"max_threads=", "N", "threads that answer requests (one a core, 2 to 10)", set_max_threads},
	{"log=", "stderr|syslog", "where messages go (stderr with -f, else syslog)", set_log},
	{"umask=", "M", "files 0444, directories 0555 without these bits", set_umask},
	{"uid=", "N", "owner of the files (who mounts)", set_uid},
	{"gid=", "N", "group of the files (who mounts)", set_gid},
	/* mount(8) and fstab add these; they change nothing. */
	{"rw", NULL, NULL, drop},
	{"ro", NULL, NULL, drop},
	{"dev", NULL, NULL, drop},
	{"suid", NULL, NULL, drop},
	{"defaults", NULL, NULL, drop},
	{"_netdev", NULL, NULL, drop},
	{"nofail", NULL, NULL, drop},
	{"auto", NULL, NULL, drop},
	{"noauto", NULL, NULL, drop},
	{"user", NULL, NULL, drop},
	{"nouser", NULL, NULL, drop},
	{"users", NULL, NULL, drop},
	/* Of later builds. */
	{"write", NULL, NULL, refuse},
	{"unchecked", NULL, NULL, refuse},
};

static int add_fuse_arg(struct options *o, const char *arg)
{
	char **args = realloc(o->fuse_args, ((size_t)o->fuse_arg_count + 2) * sizeof *args);
	if (!args)
		return -ENOMEM;
	o->fuse_args = args;
	args[o->fuse_arg_count] = strdup(arg);
	if (!args[o->fuse_arg_count])
		return -ENOMEM;
	args[++o->fuse_arg_count] = NULL;
	return 0;
}

static const struct option_row *find_row(const char *option)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t n = strlen(rows[i].name);
		bool takes_value = rows[i].name[n - 1] == '=';
		if (takes_value ? strncmp(option, rows[i].name, n) == 0 : strcmp(option, rows[i].name) == 0)
			return &rows[i];
	}
	return NULL;
}

static int parse_option(struct options *o, const char *option, struct error *error)
{
	if (strncmp(option, "x-", 2) == 0)
		return 0;
	const struct option_row *row = find_row(option);
	if (!row) {
		int r = add_fuse_arg(o, "-o");
		r = r < 0 ? r : add_fuse_arg(o, option);
		return r < 0 ? error_set(error, r, "no memory") : 0;
	}
	const char *value = strchr(option, '=');
	int r = row->set(o, value ? value + 1 : NULL);
	if (r == -ENOSYS)
		return error_set(error, r, "-o %.40s: this build cannot do that yet", row->name);
	if (r == -EINVAL)
		return error_set(error, r, "-o %.100s: no such value; it is %s%s", option, row->name, row->value);
	return r < 0 ? error_set(error, r, "-o %.100s: %s", option, strerror(-r)) : 0;
}

/* Splits at commas; a backslash keeps one, as libfuse has it. */
static int parse_options(struct options *o, const char *list, struct error *error)
{
	cleanup_free char *option = malloc(strlen(list) + 1);
	if (!option)
		return error_set(error, -ENOMEM, "no memory");
	while (*list) {
		size_t n = 0;
		while (*list && *list != ',') {
			if (*list == '\\' && list[1])
				list++;
			option[n++] = *list++;
		}
		list += *list == ',';
		option[n] = '\0';
		int r = n ? parse_option(o, option, error) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_word(struct options *o, const char *word, const char **operands, int *count, struct error *error)
{
	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		o->help = true;
	else if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		o->version = true;
	else if (strcmp(word, "-f") == 0)
		o->foreground = true;
	else if (strcmp(word, "-d") == 0)
		o->foreground = o->debug = true;
	else if (word[0] == '-' && word[1])
		return error_set(error, -EINVAL, "%.100s: no such option; see ckfs --help", word);
	else if (*count == 2)
		return error_set(error, -EINVAL, "%.100s: one operand too many; usage: ckfs [options] [SOURCE] MOUNTPOINT", word);
	else
		operands[(*count)++] = word;
	return 0;
}

static int take_operands(struct options *o, const char *const *operands, int count, struct error *error)
{
	if (o->help || o->version)
		return 0;
	if (count == 0)
		return error_set(error, -EINVAL, "no MOUNTPOINT; usage: ckfs [options] [SOURCE] MOUNTPOINT");
	o->source = count == 2 ? strdup(operands[0]) : NULL;
	o->mountpoint = strdup(operands[count - 1]);
	return (count == 2 && !o->source) || !o->mountpoint ? error_set(error, -ENOMEM, "no memory") : 0;
}

/*
 * The kernel hands requests to idle threads in turn: each one more than there are cores makes requests wake a thread
 * that has slept for long. What takes long has threads of its own.
 */
static unsigned default_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 2 ? 2 : cores > 10 ? 10 : (unsigned)cores;
}

int options_parse(int argc, char **argv, struct options *ret, struct error *error)
{
	const char *operands[2];
	int count = 0, r = 0;
	*ret = (struct options){
		.listed_ttl = 1,
		.timeout = 5,
		.verify = VERIFY_FIRST,
		.cache_size = UINT64_C(256) << 20,
		.max_threads = default_threads(),
		.uid = getuid(),
		.gid = getgid(),
	};
	ret->spool_dir = strdup("/var/tmp");
	if (!ret->spool_dir || add_fuse_arg(ret, "ckfs") < 0)
		return error_set(error, -ENOMEM, "no memory");
	for (int i = 1; r == 0 && i < argc; i++) {
		if (strcmp(argv[i], "-o") == 0 && i + 1 == argc)
			r = error_set(error, -EINVAL, "-o needs an option");
		else if (strcmp(argv[i], "-o") == 0)
			r = parse_options(ret, argv[++i], error);
		else if (strncmp(argv[i], "-o", 2) == 0)
			r = parse_options(ret, argv[i] + 2, error);
		else
			r = parse_word(ret, argv[i], operands, &count, error);
	}
	return r < 0 ? r : take_operands(ret, operands, count, error);
}

/* Closes the gap that the password of a URL leaves in an argument; what is left over at its end is wiped. */
static void blank_password(char *argument)
{
	char *rest = strstr(argument, "://");
	if (!rest)
		return;
	size_t length = strlen(argument);
	char *at = rest + 3 + strcspn(rest + 3, "/?#");
	while (at > rest + 3 && at[-1] != '@')
		at--;
	char *colon = at > rest + 3 ? memchr(rest + 3, ':', (size_t)(at - 1 - (rest + 3))) : NULL;
	if (colon)
		memmove(colon, at - 1, length - (size_t)(at - 1 - argument) + 1);
	for (char *p; (p = strstr(argument, "?password=")) || (p = strstr(argument, "&password="));) {
		char *end = p + 1 + strcspn(p + 1, "&#");
		/* What follows takes its place. */
		memmove(p + 1, *end == '&' ? end + 1 : end, strlen(*end == '&' ? end + 1 : end) + 1);
	}
	size_t left = strlen(argument);
	sodium_memzero(argument + left, length - left);
}

void options_forget_source(struct options *options, int argc, char **argv)
{
	if (options->source)
		sodium_memzero(options->source, strlen(options->source));
	free(options->source);
	options->source = NULL;
	for (int i = 1; i < argc; i++)
		blank_password(argv[i]);
}

void options_done(struct options *options)
{
	for (int i = 0; i < options->fuse_arg_count; i++)
		free(options->fuse_args[i]);
	free(options->fuse_args);
	free(options->source);
	free(options->mountpoint);
	free(options->match);
	free(options->password_file);
	free(options->tls_ca);
	free(options->tls_cert);
	free(options->tls_key);
	free(options->tls_server_name);
	free(options->prefix);
	free(options->tenant);
	free(options->keys_file);
	free(options->master_key_file);
	free(options->spool_dir);
	*options = (struct options){0};
}

void options_print_help(void)
{
	printf("usage: ckfs [options] [SOURCE] MOUNTPOINT\n\n"
		"Shows the entries of a CacheKit cache as files.\n\n"
		"SOURCE: DIR or file:///DIR, the directory of a file cache; redis://HOST[:PORT][/DB]\n"
		"or unix:///SOCKET[?db=N], a Redis server, rediss:// by TLS;\n"
		"redis-cluster://HOST[:PORT][,...]; redis-sentinel://HOST[:PORT][,...]/SERVICE[/DB];\n"
		"without one the environment says, as for the SDK: CACHEKIT_REDIS_URL,\n"
		"CACHEKIT_FILE_CACHE_DIR, REDIS_URL, or $TMPDIR/cachekit.\n\n"
		"    -f                   stay in the foreground\n"
		"    -d                   print every request (stays in the foreground)\n"
		"    -h, --help           this text\n"
		"    -V, --version        the version, and whether there is TLS\n"
		"    -o OPTION[,...]      as mount.fuse(8), and:\n");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].help)
			printf("    -o %s%-*s %s\n", rows[i].name, (int)(20 - strlen(rows[i].name)), rows[i].value, rows[i].help);
	printf("\nEnd a mount with: fusermount3 -u MOUNTPOINT\n");
}
