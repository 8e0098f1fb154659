#include "cli.h"

#include "command.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/error.h"
#include "ckfs/lack.h"
#include "ckfs/opened.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a PATH in one line. */
#define TOLD_PATH_MAX 1024

static const struct command {
	const char *name;
	const char *own[3];  /* options of its own, NULL-terminated */
	const char *words;   /* what follows, for a person */
	const char *help;
	int least, most;     /* operands, SOURCE included; most 0: any number */
	bool writes;
	bool opens;          /* a SOURCE */
	void (*run)(struct run *run);
} commands[] = {
	{"ls", {"-l", "-0"}, "[-l] [-0] [options] [SOURCE] [VIEW]", "names, one a line (-0: each ends in NUL); -l: size, expiry, serializer", 0, 2, false, true, cli_ls},
	{"cat", {NULL}, "[options] SOURCE PATH...", "the bytes, verified first", 2, 0, false, true, cli_cat},
	{"stat", {NULL}, "[options] SOURCE KEY...", "what is known of an entry, as JSON, one line each", 2, 0, false, true, cli_stat},
	{"name", {"--hash"}, "[--hash] KEY...", "the file name of a key; --hash: that of a file cache", 1, 0, false, false, cli_name},
	{"rm", {NULL}, "-o write [options] SOURCE KEY...", "removes entries", 2, 0, true, true, cli_rm},
	{"put", {NULL}, "-o write [options] SOURCE KEY", "stores what standard input has: a value as frame/ shows it", 2, 2, true, true, cli_put},
};

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(word, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

bool cli_takes_line(int argc, char **argv)
{
	int at = 1;
	while (at < argc && argv[at][0] == '-' && argv[at][1] && strcmp(argv[at], "--") != 0)
		at += strcmp(argv[at], "-o") == 0 ? 2 : 1;
	if (at >= argc || !find_command(argv[at]))
		return false;
	char *command = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
	argv[1] = command;
	return true;
}

static void print_help(const struct command *only)
{
	printf("usage: ckfs %s %s\n%s\n\n", only->name, only->words, only->help);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		printf("    ckfs %-4s %-40s %s\n", commands[i].name, commands[i].words, commands[i].help);
	printf("\nPATH is what it would be in a mount: KEY, frame/KEY, json/KEY... SOURCE and options are\n"
		"those of a mount (ckfs --help). SOURCE \"-\": the environment tells it. -d prints what is\n"
		"asked of SOURCE; -- ends the options.\n");
}

void tell_failure(struct run *run, const char *what, int r, const char *reason)
{
	cleanup_buf struct buf line = {0};
	struct error lack = {.text = ""};
	if (lack_is(r) && run->entries)
		lack_explain(entries_spool(run->entries), lack_kind(r), lack_cause(entries_spool(run->entries), r), &lack);
	if (!reason && *lack.text)
		reason = lack.text;
	output_flush(&run->out);
	buf_puts(&line, "ckfs: ");
	if (!*what)
		what = "''";
	buf_escaped(&line, what, strlen(what), TOLD_PATH_MAX);
	buf_printf(&line, ": %s%s%s\n", strerror(lack_errno(r)), reason ? ": " : "", reason ? reason : "");
	if (!line.failed)
		fwrite(line.p, 1, line.length, stderr);
	run->status = 1;
}

/* --- with a SOURCE --- */

static void free_sandbox(struct sandbox **sandbox)
{
	sandbox_free(*sandbox);
}

static int confine(const struct options *options, const struct backend *backend, struct error *error)
{
	cleanup_with(free_sandbox) struct sandbox *sandbox = NULL;
	if (options->sandbox == SANDBOX_OFF)
		return 0;
	int r = sandbox_new(&sandbox);
	return r < 0 ? error_set(error, r, "no memory") : opened_confine(backend, options, sandbox, error);
}

static int open_and_run(const struct command *command, struct run *run, struct options *options, int argc, char **argv, struct error *error)
{
	struct opened opened;
	int r = opened_begin(options, argc, argv, &opened, error);
	/* The usual one may never be needed: who needs it is told. */
	if (r == 0 && options->has_spool_dir)
		r = spool_check(options->spool_dir, error);
	if (r == 0)
		r = confine(options, opened.backend, error);
	if (r == 0)
		r = entries_new(&(struct entries_parts){.options = options, .backend = opened.backend, .known = opened.known, .stats = &run->stats, .keyring = opened.keyring}, &run->entries);
	if (r == 0) {
		command->run(run);
		output_flush(&run->out);
		backend_stop(opened.backend);
		entries_stop(run->entries);
		entries_free(steal(run->entries));
	}
	opened_done(&opened);
	return r;
}

static int run_command(const struct command *command, struct run *run, struct options *options, int argc, char **argv, struct error *error)
{
	int r = output_begin(&run->out);
	if (r == 0 && command->opens)
		r = open_and_run(command, run, options, argc, argv, error);
	else if (r == 0)
		command->run(run);
	output_done(&run->out);
	return r;
}

/* --- the line --- */

static int check_line(const struct command *command, const struct run *run, struct error *error)
{
	const int count = run->line.operand_count;
	if (count < command->least)
		return error_set(error, -EINVAL, "too few operands; usage: ckfs %s %s", command->name, command->words);
	if (command->most && count > command->most)
		return error_set(error, -EINVAL, "%.100s: one operand too many; usage: ckfs %s %s", run->line.operands[command->most], command->name, command->words);
	return 0;
}

/* A command that changes entries says so: 1, as of a mount that was not asked to write. */
static int check_rights(const struct command *command, const struct options *options, struct error *error)
{
	return command->writes && !options->write ? error_set(error, -EROFS, "%s: %s: it changes entries only with -o write", command->name, strerror(EROFS)) : 0;
}

int cli_main(int argc, char **argv)
{
	const struct command *command = find_command(argv[1]);
	struct options options;
	struct error error = {.text = ""};
	struct run run = {.options = &options};
	int r = options_parse_command(argc, argv, command->own, &options, &run.line, &error);
	if (r == 0 && !options.help)
		r = check_line(command, &run, &error);
	const bool is_used_wrong = r < 0;
	if (r == 0 && options.help)
		print_help(command);
	else if (r == 0) {
		log_open(options.has_log ? options.log : LOG_TO_STDERR);
		r = check_rights(command, &options, &error);
		if (r == 0)
			r = run_command(command, &run, &options, argc, argv, &error);
	}
	if (r < 0)
		fprintf(stderr, "ckfs: %s\n", *error.text ? error.text : strerror(-r));
	options_done(&options);
	return is_used_wrong ? 2 : r < 0 ? 1 : run.status;
}
