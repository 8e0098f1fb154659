/*
 * Names: how a key is written as a file name, and read back.
 *
 *   KEY with %XX (upper case) for "/", "%", bytes 00 to 1F and 7F, and for the first byte of a key
 *   that is ".", ".." or ".ckfs", or a name that the root gives to a view; over 240 bytes: its beginning, cut at an
 *   escape or character boundary to at most 206 bytes, "%~" and the 32 hex digits of the key's hash.
 *
 * Exactly one spelling is a key's name (keys of 241 to 255 bytes also open by their whole spelling).
 */
#ifndef CKFS_NAME_H
#define CKFS_NAME_H

#include "ckfs/key.h"

#define NAME_SHORT_MAX 240
#define NAME_CUT_MAX 206
#define NAME_BYTES_MAX 255

/* The directory with the mount's own files. */
#define NAME_OF_CONTROL ".ckfs"

/* Whether the root has a directory of this name, besides those that the rule above names. */
typedef bool name_is_taken(const char *name, size_t length);

/* The canonical name, NUL-terminated. Returns its length, 0 for the empty key, which has no name. The key's text must be known. */
size_t name_from_key(const struct key *key, name_is_taken *is_taken, char ret[NAME_BYTES_MAX + 1]);

/*
 * The key that a name spells. A "%~" name gives a key known by its hash only.
 * 0; -ENOENT when no key is spelt this way; -ENOMEM.
 */
int name_to_key(const char *name, size_t length, name_is_taken *is_taken, struct key *ret);

/*
 * The key that a line of a list of keys spells: escapes as in a name, at any length. A "/" needs no escape here.
 * 0; -ENOENT for a broken escape or a "%~" name, which spells no key; -ENOMEM.
 */
int name_line_to_key(const char *line, size_t length, struct key *ret);

/* Whether the name is one of the spellings of this key. */
bool name_is_of_key(const char *name, size_t length, const struct key *key, name_is_taken *is_taken);

#endif
