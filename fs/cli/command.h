/* What the commands share. */
#ifndef CKFS_CLI_COMMAND_H
#define CKFS_CLI_COMMAND_H

#include "output.h"

#include "ckfs/entry.h"
#include "ckfs/options.h"
#include "ckfs/view.h"

#include <limits.h>

/* One run of a command. */
struct run {
	const struct options *options;
	struct command_line line;
	struct entries *entries; /* NULL: of `name`, which opens no SOURCE */
	struct stats stats;
	struct output out;
	int status; /* to exit with */
};

/* The commands. Each tells what fails, and goes on with what else it is to do. */
void cli_ls(struct run *run);
void cli_cat(struct run *run);
void cli_stat(struct run *run);
void cli_name(struct run *run);
void cli_rm(struct run *run);
void cli_put(struct run *run);

/* What a PATH names. */
struct place {
	unsigned view_id;
	char name[NAME_MAX + 1]; /* "": the directory of the view */
};

/* 0; -ENOENT, -ENAMETOOLONG, with static text why, or NULL. */
int place_of_path(const char *path, struct place *ret, const char **ret_reason);

/* Finds the newest version of what a place names, with all of its value, if `whole`. 0; -EISDIR; errors as of view_find_name(). */
int find_place(struct run *run, const struct place *place, bool whole, struct entry **ret);

/* Finds what a PATH names. As above. */
int find_path(struct run *run, const char *path, struct place *ret_place, struct entry **ret, const char **ret_reason);

/* Finds and opens what a PATH names, as `view` shows it; NULL: as its own view does. 0, errors as of find_place() and view_open(). */
int open_path(struct run *run, const char *path, const struct view *view, struct content *ret, const char **ret_reason);

/* Tells that something failed, in one line: `what`, the errno, and the reason, unless that is NULL. The command will exit with 1. */
void tell_failure(struct run *run, const char *what, int r, const char *reason);

#endif
