/* control_private.h - what the control socket's files share: control.c has the connections,
 * control_queue.c what is asked of the store. */
#ifndef GATEWAY_CONTROL_PRIVATE_H
#define GATEWAY_CONTROL_PRIVATE_H

#include "control.h"

#include "base/buf.h"

#include <cjson/cJSON.h>

struct control_client {
    uv_pipe_t pipe;
    struct control *control;
    struct control_client *next;
    struct sl_buf in, out;
    bool closing, waiting; /* waiting: the outbox still holds a pointer to this */
    bool handle_closed;
    bool full, paged;       /* of a listing: rows with everything; of one table */
    uint64_t next_position; /* of a listing: where to go on; 0: nowhere */
    char input[512];
};

/* Sends what was gathered in out, then ends the connection. */
void control_answer(struct control_client *cl);
void control_answer_error(struct control_client *cl, const char *text);
/* What was waited for has come. False: nobody listens any more, and cl is gone. */
SL_NODISCARD bool control_waited(struct control_client *cl);

/* control_queue.c */
void control_queue(struct control_client *cl, struct gateway *g, const cJSON *request);
void control_purge(struct control_client *cl, struct gateway *g, const cJSON *request);

#endif
