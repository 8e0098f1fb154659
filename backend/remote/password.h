/*
 * The password of -o password_file=: the first line of a file, which is read again when a login fails, since whoever rotates a password
 * writes another one there. Any thread. Whoever has no such file has NULL, with which all of these do nothing.
 */
#ifndef CKFS_REMOTE_PASSWORD_H
#define CKFS_REMOTE_PASSWORD_H

#include "ckfs/error.h"
#include "ckfs/sandbox.h"
#include "ckfs/secret_file.h"

/* A password is no longer than this. */
#define PASSWORD_MAX 4096

struct password_file;

/* Reads it. 0; -errno with the error set, which holds no password. */
int password_file_open(const char *path, struct password_file **ret, struct error *error);

/* The same of another secret of one line, as of -o token_file=. `kind`: static. */
int password_file_open_kind(const char *path, const struct secret_kind *kind, struct password_file **ret, struct error *error);
void password_file_close(struct password_file *file);

/* Names the file, if it can be read again. */
void password_file_needs(const struct password_file *file, struct sandbox *sandbox);

/* Copies the password that was read last, with a NUL behind it. */
void password_file_get(struct password_file *file, char to[static PASSWORD_MAX + 1]);

/* Counts the passwords that were read, from 1 on. */
unsigned password_file_number(struct password_file *file);

/*
 * Whether there is another password than the one that had this number: reads the file again if none was read since. What cannot be read, or may
 * not be (secret_file.h), changes nothing. 1; 0; -errno with the error set. Reads a file: not under a lock.
 */
int password_file_renew(struct password_file *file, unsigned number, struct error *error);

#endif
