/* Commands that show a cache without a mount: the same names, views and errors. */
#ifndef CKFS_CLI_H
#define CKFS_CLI_H

#include <stdbool.h>

/* Whether the first word of a line that is no option is one of them. Then it moves before the options, to argv[1]. */
bool cli_takes_line(int argc, char **argv);

/* argv[1] is the command. The exit status: 0; 1 something failed; 2 wrong use. */
int cli_main(int argc, char **argv);

#endif
