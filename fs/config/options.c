#include "option_rows.h"

#include "ckfs/cleanup.h"
#include "ckfs/memory_limit.h"
#include "ckfs/path.h"
#include "ckfs/thread.h"
#include "ckfs/user.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* No user and no group has this number. */
#define NOT_GIVEN UINT32_MAX

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

static int parse_option(struct options *o, const char *option, struct error *error)
{
	if (option_is_ignored(option))
		return 0;
	const struct option_row *row = option_row_find(option);
	if (!row) {
		int r = add_fuse_arg(o, "-o");
		r = r < 0 ? r : add_fuse_arg(o, option);
		return r < 0 ? error_set(error, r, "no memory") : 0;
	}
	const char *value = strchr(option, '=');
	int r = row->set(o, value ? value + 1 : NULL);
	if (r == -EINVAL)
		return error_set(error, r, "-o %.100s: not a valid value; use %s%s", option, row->name, row->value);
	return r < 0 ? error_set(error, r, "-o %.100s: %s", option, strerror(-r)) : 0;
}

/* Splits at commas, but not behind a backslash, as libfuse does. */
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

static int parse_operand(const char *word, const char **operands, int *count, struct error *error)
{
	if (*count == 2)
		return error_set(error, -EINVAL, "%.100s: one operand too many; usage: ckfs [options] [SOURCE] MOUNTPOINT", word);
	operands[(*count)++] = word;
	return 0;
}

static int parse_word(struct options *o, const char *word, bool may_be_option, const char **operands, int *count, struct error *error)
{
	if (!may_be_option || word[0] != '-' || !word[1])
		return parse_operand(word, operands, count, error);
	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		o->help = true;
	else if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		o->version = true;
	else if (strcmp(word, "-f") == 0)
		o->foreground = true;
	else if (strcmp(word, "-d") == 0)
		o->foreground = o->debug = true;
	else
		return error_set(error, -EINVAL, "%.100s: no such option; see ckfs --help", word);
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
 * The kernel gives requests to idle threads in turn. With more threads than cores, a request often wakes a thread that has slept for long.
 * Long work has threads of its own.
 */
static unsigned default_threads(void)
{
	unsigned cores = thread_cpus();
	return cores < 2 ? 2 : cores > 10 ? 10 : cores;
}

/* If two options read one descriptor, each gets a part of the text, or nothing. */
static int refuse_shared_descriptor(const struct options *o, struct error *error)
{
	const struct {
		const char *name, *path;
	} files[] = {{"keys", o->keys_file}, {"master_key_file", o->master_key_file}, {"password_file", o->password_file}, {"token_file", o->token_file}};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int fd = files[i].path ? path_descriptor(files[i].path) : -1;
		for (size_t j = 0; fd >= 0 && j < i; j++)
			if (files[j].path && path_descriptor(files[j].path) == fd)
				return error_set(error, -EINVAL, "-o %s= and -o %s= name the same descriptor (%.40s), which can be read only once; use a file for one of them",
					files[j].name, files[i].name, files[i].path);
	}
	return 0;
}

/* Before anything is opened, and whatever the order of the options. Files belong to who mounts. */
static int settle_user(struct options *o, struct error *error)
{
	int r = o->setuid ? user_become(o->setuid) : 0;
	if (r < 0)
		return error_set(error, r, "-o setuid=%.100s: %s", o->setuid, r == -ENOENT ? "no such user" : strerror(-r));
	if (o->uid == NOT_GIVEN)
		o->uid = getuid();
	if (o->gid == NOT_GIVEN)
		o->gid = getgid();
	return 0;
}

/* A table of 300 MB is an ordinary value. Keep it if there is room. */
static uint64_t default_cache_size(void)
{
	const uint64_t share = memory_limit() / 8, min = UINT64_C(64) << 20, max = UINT64_C(4) << 30;
	return share < min ? min : share > max ? max : share;
}

static int begin(struct options *ret, struct error *error)
{
	*ret = (struct options){
		.listed_ttl = 1,
		.timeout = 5,
		.verify = VERIFY_FIRST,
		.cache_size = default_cache_size(),
		.max_threads = default_threads(),
		.uid = NOT_GIVEN,
		.gid = NOT_GIVEN,
	};
	ret->spool_dir = strdup("/var/tmp");
	return !ret->spool_dir || add_fuse_arg(ret, "ckfs") < 0 ? error_set(error, -ENOMEM, "no memory") : 0;
}

/* -o and its list, in one word or two. *i: of the word, then of its last one. 0; 1 the word is another one; -errno. */
static int parse_o(struct options *o, char *const *argv, int argc, int *i, struct error *error)
{
	if (strncmp(argv[*i], "-o", 2) != 0)
		return 1;
	if (argv[*i][2])
		return parse_options(o, argv[*i] + 2, error);
	if (*i + 1 == argc)
		return error_set(error, -EINVAL, "-o needs an option");
	return parse_options(o, argv[++*i], error);
}

int options_parse(int argc, char **argv, struct options *ret, struct error *error)
{
	const char *operands[2];
	bool more = true;
	int count = 0, r = begin(ret, error);
	for (int i = 1; r == 0 && i < argc; i++) {
		if (more && strcmp(argv[i], "--") == 0)
			more = false;
		else if (!more || (r = parse_o(ret, argv, argc, &i, error)) == 1)
			r = parse_word(ret, argv[i], more, operands, &count, error);
	}
	if (r == 0)
		r = refuse_shared_descriptor(ret, error);
	if (r == 0)
		r = settle_user(ret, error);
	return r < 0 ? r : take_operands(ret, operands, count, error);
}

/* The number of an option of its own; -1: it is none. */
static int own_option(const char *word, size_t length, const char *const *own)
{
	for (int i = 0; own[i]; i++)
		if (strlen(own[i]) == length && memcmp(own[i], word, length) == 0)
			return i;
	return -1;
}

/* A word of letters, "-l0": own options of a command, and those that each command has. */
static int parse_letters(struct options *o, const char *word, const char *const *own, struct command_line *line, struct error *error)
{
	for (const char *p = word + 1; *p; p++) {
		const int number = own_option((char[]){'-', *p}, 2, own);
		if (number >= 0)
			line->own[number] = true;
		else if (*p == 'h')
			o->help = true;
		else if (*p == 'd')
			o->debug = true;
		else
			return error_set(error, -EINVAL, "%.100s: no such option", word);
	}
	return 0;
}

static int parse_command_word(struct options *o, const char *word, const char *const *own, struct command_line *line, struct error *error)
{
	const int number = own_option(word, strlen(word), own);
	if (number >= 0)
		line->own[number] = true;
	else if (strcmp(word, "--help") == 0)
		o->help = true;
	else
		return parse_letters(o, word, own, line, error);
	return 0;
}

static int take_source(struct options *o, const struct command_line *line, struct error *error)
{
	if (o->fuse_arg_count > 1)
		return error_set(error, -EINVAL, "-o %.100s: no such option without a mount", o->fuse_args[2]);
	if (line->operand_count == 0 || strcmp(line->operands[0], "-") == 0)
		return 0;
	o->source = strdup(line->operands[0]);
	return o->source ? 0 : error_set(error, -ENOMEM, "no memory");
}

int options_parse_command(int argc, char **argv, const char *const *own, struct options *ret, struct command_line *ret_line, struct error *error)
{
	struct command_line line = {.operands = argv + 2};
	bool more = true;
	int r = begin(ret, error);
	for (int i = 2; r == 0 && i < argc; i++) {
		const bool is_option = more && argv[i][0] == '-' && argv[i][1];
		if (!is_option)
			line.operands[line.operand_count++] = argv[i];
		else if (strcmp(argv[i], "--") == 0)
			more = false;
		else if ((r = parse_o(ret, argv, argc, &i, error)) == 1)
			r = parse_command_word(ret, argv[i], own, &line, error);
	}
	if (r == 0)
		r = refuse_shared_descriptor(ret, error);
	*ret_line = line;
	return r < 0 || ret->help ? r : take_source(ret, &line, error);
}

/* Takes the password of a URL out of an argument, and wipes the bytes that are left at its end. */
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
		/* Move what follows to its place. */
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
	free(options->token_file);
	free(options->tls_ca);
	free(options->tls_cert);
	free(options->tls_key);
	free(options->tls_server_name);
	free(options->prefix);
	free(options->tenant);
	free(options->bare_tenant);
	free(options->keys_file);
	free(options->master_key_file);
	free(options->spool_dir);
	free(options->setuid);
	*options = (struct options){0};
}

void options_print_help(void)
{
	printf("usage: ckfs [options] [SOURCE] MOUNTPOINT\n"
		"       ckfs ls|cat|stat|name|rm|put [options] SOURCE [PATH...]\n\n"
		"Shows the entries of a CacheKit cache as files. The second form shows the same\n"
		"without a mount: ckfs ls --help.\n\n"
		"SOURCE: DIR or file:///DIR, the directory of a file cache; redis://HOST[:PORT][/DB]\n"
		"or unix:///SOCKET[?db=N], a Redis server;\n"
		"redis-cluster://HOST[:PORT][,...]; redis-sentinel://HOST[:PORT][,...]/SERVICE[/DB];\n"
		"by TLS rediss://, rediss-cluster://, rediss-sentinel://;\n"
		"memcached://HOST[:PORT][,...] or memcached:///SOCKET, Memcached servers;\n"
		"https://HOST[:PORT][/PATH], the CacheKit service;\n"
		"without one the environment says, as for the SDK: CACHEKIT_API_KEY,\n"
		"CACHEKIT_REDIS_URL, CACHEKIT_MEMCACHED_SERVERS, CACHEKIT_FILE_CACHE_DIR,\n"
		"REDIS_URL, or $TMPDIR/cachekit.\n\n"
		"    -f                   stay in the foreground\n"
		"    -d                   print every request, and what is asked of SOURCE (stays in the foreground)\n"
		"    -h, --help           this text\n"
		"    -V, --version        the version, and whether there is TLS (Redis) and HTTP\n"
		"    -o OPTION[,...]      as mount.fuse(8), and:\n");
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].help)
			printf("    -o %s%-*s %s\n", option_rows[i].name, (int)(20 - strlen(option_rows[i].name)), option_rows[i].value, option_rows[i].help);
	printf("\nEnd a mount with: fusermount3 -u MOUNTPOINT\n");
}
