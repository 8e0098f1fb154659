/* Commands that show a cache without a mount: the same names, views and errors. */
#ifndef CKFS_CLI_H
#define CKFS_CLI_H

#include <stdbool.h>

/* Whether a word is one of them. */
bool cli_has_command(const char *word);

/* argv[1] is the command. The exit status: 0; 1 something failed; 2 wrong use. */
int cli_main(int argc, char **argv);

#endif
