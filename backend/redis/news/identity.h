/*
 * Whether two connections have reached the same server process. No address proves that: behind a balancer, or a name of several addresses, each
 * connection may reach another server, and each server numbers its clients from 1.
 *
 * One of the two takes a name that nobody can guess (CLIENT SETNAME). The other one asks its own server for the client of that number (CLIENT LIST).
 * Only the server of the first connection knows that name.
 */
#ifndef CKFS_REDIS_IDENTITY_H
#define CKFS_REDIS_IDENTITY_H

#include "backend/redis/wire/connection.h"

/* ckfs-, 32 digits, and a NUL. */
#define IDENTITY_NAME_SIZE 38

/* How its server knows a connection. */
struct client_identity {
	int64_t client; /* its number */
	char name[IDENTITY_NAME_SIZE];
};

enum identity_proof {
	IDENTITY_UNPROVED, /* the server does not say */
	IDENTITY_SAME,
	IDENTITY_OTHER, /* another server; or that connection is closed by now */
};

/* Sends the commands that name a connection and ask for its number. */
void identity_put(struct redis_connection *connection, struct client_identity *identity);

/* Reads their replies. 0, -errno. */
int identity_read(struct redis_connection *connection, struct client_identity *identity);

/* Whether this connection has reached the server that knows `identity`. 0, errors of the transport. */
int identity_prove(struct redis_connection *connection, const struct client_identity *identity, enum identity_proof *ret);

#endif
