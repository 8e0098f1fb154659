/*
 * What a URL with TLS, as rediss://, and the options tls_… say of certificates. Members of the URL's query, read as redis-py reads them:
 *
 *   ssl_ca_certs=FILE, ssl_ca_path=DIR     CAs to trust besides those of the system
 *   ssl_certfile=FILE, ssl_keyfile=FILE    our certificate and its key; without the latter the former holds both
 *   ssl_cert_reqs=required|optional|none   none: whatever the server shows is good. optional is required: a server always shows one
 *   ssl_check_hostname=BOOLEAN             0, f, false, n, no: the certificate may be for another name
 *
 * The options win over them, and -o tls_ca= stands in place of the system's CAs.
 */
#ifndef CKFS_REDIS_TLS_SETTINGS_H
#define CKFS_REDIS_TLS_SETTINGS_H

#include "ckfs/error.h"
#include "ckfs/options.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_settings {
	/* Texts as they were given, or NULL. Paths are absolute once they are settled. */
	char *ca_file, *ca_dir, *cert_file, *key_file, *cert_reqs, *check_hostname;
	char *server_name; /* of all servers; NULL: the host of each */
	/* Of settled ones. */
	bool only_ca_file;  /* the system's CAs are not trusted */
	bool unverified;    /* any certificate is good, for any name */
	bool any_name;
};

/* Whether a member of a query, its name of n bytes, is about TLS. */
bool tls_settings_is_member(const char *name, size_t n);

/* Where its decoded value belongs; NULL: it is none that is known here. */
char **tls_settings_text(struct tls_settings *settings, const char *name, size_t n);

/* An option of TLS that was given; NULL: none. */
const char *tls_option_given(const struct options *options);

/* Puts the options in, gives the texts their meaning, and looks whether the files are there. 0; -errno with the error set. */
int tls_settings_settle(struct tls_settings *settings, const struct options *options, struct error *error);

/* Frees it too. NULL is allowed. */
void tls_settings_free(struct tls_settings *settings);

#endif
