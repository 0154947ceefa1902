/* listener_ws.c - a link of the broker and a WebSocket connection, tied together. Owns nothing: the
 * link lives until the connection is gone, and each holds the other's pointer. */
#include "listener_ws.h"

#include "broker/transport.h"

#include <unistd.h>

/* ---- what the link asks of its connection ---- */

static void wake(void *ctx)
{
    ws_wake(ctx);
}

static void read_on(void *ctx, bool on)
{
    ws_read(ctx, on);
}

static void abort_now(void *ctx)
{
    ws_abort(ctx);
}

static size_t unsent(void *ctx)
{
    return ws_unsent(ctx);
}

static const struct broker_link_ops link_ops = { wake, read_on, abort_now, unsent };

/* ---- what the connection tells its link ---- */

static void named(void *peer, struct sl_slice name)
{
    broker_link_set_user(peer, name);
}

static void received(void *peer, struct sl_slice bytes)
{
    broker_link_receive(peer, bytes);
}

static size_t next_size(void *peer)
{
    return broker_link_next(peer);
}

static enum ws_next output(void *peer, uint8_t *out, size_t room, struct ws_piece *ret)
{
    struct broker_link_piece piece;
    enum broker_link_state state = broker_link_output(peer, out, room, &piece);
    *ret = (struct ws_piece){ piece.len, piece.last };
    switch (state) {
    case BROKER_LINK_IDLE: return WS_IDLE;
    case BROKER_LINK_MORE: return WS_MORE;
    case BROKER_LINK_END: return WS_END;
    }
    return WS_END;
}

static void gone(void *peer, const char *why)
{
    broker_link_gone(peer, why);
}

const struct ws_callbacks listener_ws_callbacks = { named, received, next_size, output, gone };

/* ---- a new connection ---- */

/* The link comes first: its time and the broker's bounds run from here on. */
void listener_ws_accepted(void *ctx, int fd, const char *address)
{
    struct listener_ws *l = ctx;
    struct broker_link *link = broker_link_open(l->broker, &link_ops, address);
    if (!link) {
        (void)close(fd);
        return;
    }
    struct ws_conn *c = ws_adopt(l->site, fd, link);
    if (c)
        broker_link_start(link, c);
    else
        broker_link_gone(link, "libwebsockets has no room for it");
}
