/*
 * What a URL with TLS and the options tls_… say of certificates. The options win over the URL, and -o tls_ca= stands in place of the system's CAs.
 */
#ifndef CKFS_REMOTE_TLS_SETTINGS_H
#define CKFS_REMOTE_TLS_SETTINGS_H

#include "ckfs/error.h"
#include "ckfs/options.h"

#include <stdbool.h>
#include <stddef.h>

/* What error messages say of a backend's own URLs. Static texts. */
struct tls_words {
	const char *scheme;        /* with TLS: "rediss" */
	const char *plain_schemes; /* those without, as advice gives them: "redis:// or ..." */
};

struct tls_settings {
	const struct tls_words *words;
	/* As they were given, or NULL. Absolute once they are settled. */
	char *ca_file, *ca_dir, *cert_file, *key_file;
	char *server_name;  /* of all servers; NULL: the host of each */
	bool only_ca_file;  /* the system's CAs are not trusted */
	bool unverified;    /* any certificate is good, for any name */
	bool any_name;      /* the certificate may be for another name */
};

/* NULL: no memory. */
struct tls_settings *tls_settings_new(const struct tls_words *words);

/* An option of TLS that was given; NULL: none. */
const char *tls_option_given(const struct options *options);

/* Puts the options in, makes paths absolute, and looks whether the files are there. 0; -errno with the error set. */
int tls_settings_settle(struct tls_settings *settings, const struct options *options, struct error *error);

/* Frees it too. NULL is allowed. */
void tls_settings_free(struct tls_settings *settings);

#endif
