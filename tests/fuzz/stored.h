/*
 * Whole stored values, made by choices: frame × seal × envelope × document, and what is altered of each.
 *
 * The choices, one byte each (choices.h; all but these are in stored.c):
 *
 *   0  where it stands (see SETTING_…)      5  document, enum document_form
 *   1  key, enum key_kind, and three        6  what the frame says of it and the seal is bound to, nine bytes: 0 what fits
 *      times enum declaration               15  three numbers for documents that are made
 *   2  frame, enum frame_form
 *   3  seal, enum seal_form                 18  alterations, until the choices end: layer, kind, place u16, byte
 *   4  envelope: 0 the one that fits,
 *      1 none, 2 prefix, 3… ByteStorage
 */
#ifndef CKFS_STORED_H
#define CKFS_STORED_H

#include "ckfs/buf.h"
#include "ckfs/bytes.h"
#include "ckfs/document.h"

#include <stdbool.h>
#include <stdint.h>

enum setting {
	SETTING_KEYRING = 1,
	SETTING_FAIL_CLOSED = 2,
	SETTING_VERIFY_NEVER = 4,
	SETTING_REMOTE = 8,   /* values are found by their heads, and fetched */
	SETTING_PREFIX = 16,  /* -o prefix= */
	SETTING_HASH = 32,    /* the key is known by its hash alone */
	SETTING_SMALL = 64,   /* hardly any memory to keep decoded content in */
	SETTING_INTERRUPT = 128, /* who looks first goes away */
};

enum key_kind { KEY_PLAIN, KEY_INTEROP, KEY_ODD, KEY_KINDS };
/* What the mount is told of values without a frame. */
enum declaration { DECLARED_NOTHING, DECLARED_MSGPACK, DECLARED_TENANT, DECLARED_CK_RUN, DECLARATIONS };
enum frame_form { STORE_BARE, STORE_V3, STORE_V3_ALIGNED, STORE_LEGACY, FRAME_FORMS };
enum seal_form { SEAL_NONE, SEAL_CURRENT, SEAL_PREVIOUS, SEAL_UNKNOWN, SEAL_FORMS };

enum document_form {
	GIVEN_MSGPACK, /* the rest of the input */
	GIVEN_JSON,
	GIVEN_ARROW,
	GIVEN_NUMPY,
	MADE_MSGPACK, /* well formed, of every head */
	MADE_ARROW,
	MADE_NUMPY,
	MADE_DATAFRAME,
	MADE_SERIES,
	MADE_LONG, /* an array of the rest, many times */
	DOCUMENT_FORMS,
};

/* Prefix of every key, where one is configured. */
#define STORED_PREFIX "t:acme:"

struct stored_value {
	unsigned settings;
	const char *key;  /* its text, without the prefix */
	bool interop;
	enum declaration declared;
	const char *bare_tenant; /* of -o bare_tenant=; NULL: not given */
	struct buf value; /* what the backend has */
	struct buf document;
	enum document_kind kind;
	bool sealed;      /* it says so, or it is an interop value and is */
	bool secret;      /* no view may show the document, whatever else holds */
	bool spoiled;     /* a little was altered behind its checksum, and nothing else: no other document may be shown */
	bool sound;       /* nothing was altered and all of it fits: the view of `kind` shows the document, if it is one */
};

/* The master keys that are configured, in hex: the current one, and one before it. */
extern const char stored_master[], stored_previous[];

/* Makes the value that an input stands for. stored_value_done() frees what it holds. */
void stored_value_make(struct bytes choices, struct bytes rest, struct stored_value *ret);
void stored_value_done(struct stored_value *value);

#endif
