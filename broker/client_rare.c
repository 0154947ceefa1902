/* client_rare.c - making and dropping what few connections need. */
#include "client_rare.h"

#include "alias_out.h"
#include "broker_internal.h"
#include "client.h"

#include <stdlib.h>

struct client_rare *client_rare(struct client *c)
{
    if (!c->rare)
        c->rare = calloc(1, sizeof *c->rare);
    return c->rare;
}

void client_rare_free(struct client *c)
{
    struct client_rare *r = c->rare;
    if (!r)
        return;
    client_drop_exchange(c);
    for (uint32_t i = 0; r->aliases_in && i < c->broker->options.topic_alias_max; i++)
        free(r->aliases_in[i]);
    free(r->aliases_in);
    alias_out_free(r->aliases_out);
    free(r);
    c->rare = NULL;
}
