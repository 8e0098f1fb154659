/* What a mount was asked for. Read-only once parsed; passed along, never global. */
#ifndef CKFS_OPTIONS_H
#define CKFS_OPTIONS_H

#include "ckfs/error.h"
#include "ckfs/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum verify {
	VERIFY_FIRST, /* checksums are checked once per version */
	VERIFY_NEVER,
};

enum read_from {
	READ_FROM_MASTER,
	READ_FROM_REPLICA, /* where a source has any */
};

/* What a value without a frame is, if neither its key nor its structure tells. */
enum bare {
	BARE_OPAQUE,
	BARE_MSGPACK, /* a MessagePack document */
};

enum sandbox_wish {
	SANDBOX_IF_POSSIBLE, /* what the kernel has */
	SANDBOX_ON,          /* or no mount */
	SANDBOX_OFF,
};

struct options {
	char *source;     /* as given; NULL: from the environment */
	char *mountpoint; /* absolute */
	bool help, version, foreground, debug;
	char *match;           /* what listings show, a glob; NULL: all */
	char *keys_file;       /* absolute; NULL: none */
	char *master_key_file; /* absolute; NULL: none */
	char *password_file;   /* absolute; NULL: none */
	char *token_file;      /* absolute; NULL: none */
	char *tls_ca, *tls_cert, *tls_key; /* files, as given; NULL: none */
	char *tls_server_name; /* of all servers; NULL: the host of each */
	char *prefix, *tenant; /* only keys under it; NULL: all */
	enum bare bare;
	char *bare_tenant;     /* of seals without a frame; NULL: "default" with `bare`, else such seals are not opened */
	enum read_from read_from;
	double timeout;        /* seconds: the longest wait for a server without progress */
	bool fail_closed;      /* do not try the current key on a sealed entry that names another one */
	double listed_ttl;     /* seconds: how long attributes of a listing may serve stat */
	bool noxattr;          /* there are no extended attributes */
	enum verify verify;
	uint64_t cache_size; /* bytes of decoded values kept in memory */
	char *spool_dir;     /* where larger ones go */
	bool has_spool_dir;  /* it was asked for, and is not the default */
	unsigned max_threads;
	enum sandbox_wish sandbox;
	bool no_passthrough; /* the kernel reads no content by itself */
	bool write;          /* entries can be stored and removed */
	bool read_only;      /* they cannot, whatever else is said */
	bool unchecked;      /* whatever is written is stored */
	int64_t ttl;         /* seconds that a new entry lives; 0: for ever */
	bool has_log;
	enum log_target log;
	bool has_umask;
	mode_t umask;
	uid_t uid;
	gid_t gid;
	char *setuid;        /* whose rights the process has taken on; NULL: it keeps its own */
	uint32_t max_read; /* bytes of one read at most, as mount.fuse has it; 0: no limit */
	char **fuse_args; /* for libfuse, NULL-terminated, the program's name first */
	int fuse_arg_count;
};

/* 0; -EINVAL with the error set; -ENOMEM. options_done() frees what it holds, also after a failure. */
int options_parse(int argc, char **argv, struct options *ret, struct error *error);
void options_done(struct options *options);

/* What the line of a command holds besides options of a mount. Words are borrowed from argv. */
struct command_line {
	bool own[2];         /* which of its own options it has */
	char **operands;     /* SOURCE first; in argv, whose order changes */
	int operand_count;
};

/*
 * The same for a command without a mount: argv[1] is its name, `own` are options of its own ("-l"), NULL-terminated. Options of libfuse are refused. The
 * first operand is SOURCE; "-": the environment tells it.
 */
int options_parse_command(int argc, char **argv, const char *const *own, struct options *ret, struct command_line *ret_line, struct error *error);

/*
 * Wipes and frees SOURCE, and blanks its password in the program's arguments, where others can see it. Call this after the source was
 * opened.
 */
void options_forget_source(struct options *options, int argc, char **argv);

/* The text of --help. */
void options_print_help(void);

#endif
