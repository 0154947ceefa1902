/* client_rare.h - what few connections need: behind one pointer, so that the others do not pay. */
#ifndef BROKER_CLIENT_RARE_H
#define BROKER_CLIENT_RARE_H

#include "base/slice.h"

struct alias_out;
struct broker_exchange;
struct client;

struct client_rare {
    char **aliases_in;             /* topics by the client's alias - 1; NULL until used */
    struct alias_out *aliases_out; /* of a client that asked for them */
    struct broker_exchange *auth;  /* of a client that named an authentication method */
};

/* The client's, made when there is none. NULL when memory is out. */
SL_NODISCARD struct client_rare *client_rare(struct client *c);
void client_rare_free(struct client *c);

#endif
