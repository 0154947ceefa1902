/* transport.c - links: the transport of clients whose connection belongs to somebody else.
 *
 * Output stays in the client's queue until the owner fetches it, so the queue's bounds are the
 * connection's. No sockets here but in link_accept(), which passes them on. */
#include "transport_private.h"

#include "broker_internal.h"
#include "client.h"
#include "conn.h"

#include "broker/transport.h"

#include "base/log.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LINGER_MS = 1500, /* from wanting to close to aborting, whatever the peer does */
    STUCK_MS = 60000, /* a peer that takes not one byte of its output for this long is cut */
};

struct broker_link {
    struct client client;
    const struct broker_link_ops *ops;
    void *ctx; /* NULL until started */
    struct broker_link *next_dead;
    size_t packet_left; /* of the packet that was fetched in part */
    size_t stuck_at;    /* what was left to send, and since when */
    int64_t stuck_since_ms;
    int64_t give_up_ms; /* while ending: aborted by then */
    bool ending;        /* to be closed when all is sent */
    bool aborted, gone;
    char address[CONN_ADDRESS_SIZE];
};

static struct broker_link *link_of(struct client *c)
{
    return SL_CONTAINER_OF(c, struct broker_link, client);
}

static void link_abort(struct broker_link *l)
{
    if (l->gone || l->aborted || !l->ctx)
        return;
    l->aborted = true;
    client_close(&l->client, 0, NULL);
    l->ops->abort(l->ctx);
}

/* ---- the client's transport ---- */

static void link_flush(struct client *c)
{
    struct broker_link *l = link_of(c);
    if (l->gone) { /* nothing of the client is used after this turn */
        l->next_dead = c->broker->dead_links;
        c->broker->dead_links = l;
    } else if (c->out.bytes.failed) {
        link_abort(l); /* a packet is cut short: nothing after it would be understood */
    } else if (l->ctx && !l->aborted && (outq_left(&c->out) > 0 || l->ending)) {
        l->ops->wake(l->ctx);
    }
}

static void link_read(struct client *c, bool on)
{
    struct broker_link *l = link_of(c);
    if (!l->gone && l->ctx)
        l->ops->read(l->ctx, on);
}

static void link_close(struct client *c)
{
    struct broker_link *l = link_of(c);
    l->ending = true;
    l->give_up_ms = broker_now(c->broker) + LINGER_MS;
    if (!l->gone)
        broker_mark_dirty(c->broker, c);
}

static struct sl_slice link_address(struct client *c)
{
    return sl_str(link_of(c)->address);
}

static const struct client_transport link_transport = { link_flush, link_read, link_close,
                                                        link_address };

/* ---- the owner's side ---- */

struct broker_link *broker_link_open(struct broker *b, const struct broker_link_ops *ops,
                                     const char *address)
{
    struct broker_link *l = calloc(1, sizeof *l);
    if (!l) {
        bounds_refused(b, BROKER_REFUSED_MEMORY, sl_str(address), NULL);
        return NULL;
    }
    l->ops = ops;
    memcpy(l->address, address, strnlen(address, sizeof l->address - 1));
    if (!client_open(&l->client, b, &link_transport)) { /* which has counted why */
        free(l);
        return NULL;
    }
    b->holds++;
    return l;
}

void broker_link_start(struct broker_link *l, void *ctx)
{
    l->ctx = ctx;
    if (l->client.broker->paused)
        l->ops->read(ctx, false);
}

void broker_link_set_user(struct broker_link *l, struct sl_slice name)
{
    if (name.len == 0 || l->client.username)
        return;
    l->client.username = sl_slice_dup(name);
    l->client.cert_name = l->client.username != NULL;
}

void broker_link_receive(struct broker_link *l, struct sl_slice bytes)
{
    if (!l->ending)
        client_receive(&l->client, bytes);
}

/* The queue holds whole packets, so its first bytes are a fixed header. */
static size_t packet_size(const struct outq *q)
{
    struct outq_iov iov[OUTQ_IOV_MAX];
    unsigned count = outq_iov(q, iov);
    uint8_t head[5];
    size_t have = 0, size = 0;
    for (unsigned i = 0; i < count; i++)
        for (size_t j = 0; j < iov[i].len && have < sizeof head; j++)
            head[have++] = iov[i].ptr[j];
    for (size_t i = 1; i < have; i++) {
        size |= (size_t)(head[i] & 0x7F) << 7 * (i - 1);
        if (!(head[i] & 0x80))
            return 1 + i + size;
    }
    return have; /* never: what we encode has its length */
}

size_t broker_link_next(struct broker_link *l)
{
    const struct client *c = &l->client;
    if (l->packet_left == 0 && !c->out.bytes.failed && outq_left(&c->out) > 0)
        l->packet_left = packet_size(&c->out);
    return l->packet_left;
}

static size_t fetch(struct outq *q, uint8_t *out, size_t room)
{
    size_t len = 0;
    while (len < room && outq_left(q) > 0) {
        struct outq_iov iov[OUTQ_IOV_MAX];
        unsigned count = outq_iov(q, iov);
        size_t before = len;
        for (unsigned i = 0; i < count && len < room; i++) {
            size_t n = iov[i].len < room - len ? iov[i].len : room - len;
            memcpy(out + len, iov[i].ptr, n);
            len += n;
        }
        outq_advance(q, len - before);
    }
    return len;
}

enum broker_link_state broker_link_output(struct broker_link *l, uint8_t *out, size_t room,
                                          struct broker_link_piece *ret)
{
    struct client *c = &l->client;
    *ret = (struct broker_link_piece){ 0 };
    size_t next = broker_link_next(l);
    if (next > 0 && !c->out.bytes.failed) {
        ret->len = fetch(&c->out, out, next < room ? next : room);
        l->packet_left -= ret->len;
        ret->last = l->packet_left == 0;
    }
    c->broker->stats.bytes_out += ret->len;
    if (ret->len > 0 && c->state == CLIENT_CONNECTED)
        broker_mark_dirty(c->broker, c); /* there is room for what waits in the session */
    if (outq_left(&c->out) > 0)
        return BROKER_LINK_MORE;
    outq_release(&c->out, &c->broker->pool);
    return l->ending ? BROKER_LINK_END : BROKER_LINK_IDLE;
}

static void link_free(struct broker_link *l)
{
    struct broker *b = l->client.broker;
    client_fini(&l->client);
    free(l);
    broker_release(b);
}

void broker_link_gone(struct broker_link *l, const char *why)
{
    assert(!l->gone);
    l->gone = true;
    client_close(&l->client, 0, why);
    if (!l->client.dirty) /* else at the end of the turn, when the broker has let go of it */
        link_free(l);
}

void links_bury(struct broker *b)
{
    while (b->dead_links) {
        struct broker_link *l = b->dead_links;
        b->dead_links = l->next_dead;
        link_free(l);
    }
}

/* ---- accepting ---- */

static void on_taken_closed(uv_handle_t *h)
{
    struct broker *b = h->data;
    free(h);
    broker_release(b);
}

/* libuv gives a connection only to one of its own handles: the socket is duplicated out of it. */
bool link_accept(struct broker *b, uv_stream_t *server, link_accepted_fn *accepted, void *ctx)
{
    char address[CONN_ADDRESS_SIZE];
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    int fd = -1, copy = -1;
    if (!tcp)
        return false;
    if (uv_tcp_init(b->options.loop, tcp) != 0) {
        free(tcp);
        return false;
    }
    tcp->data = b;
    b->holds++;
    if (uv_accept(server, (uv_stream_t *)tcp) == 0 && uv_fileno((uv_handle_t *)tcp, &fd) == 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) {
        conn_tune(tcp);
        conn_peer_address(tcp, address);
        accepted(ctx, copy, address);
    }
    uv_close((uv_handle_t *)tcp, on_taken_closed);
    return true;
}

/* ---- time ---- */

static void link_check_time(struct broker_link *l, int64_t now)
{
    if (l->ending && now >= l->give_up_ms)
        link_abort(l);
    if (l->gone || l->aborted || !l->ctx)
        return;
    size_t left = outq_left(&l->client.out) + l->ops->unsent(l->ctx);
    if (left == 0 || left != l->stuck_at) {
        l->stuck_at = left;
        l->stuck_since_ms = now;
    } else if (now - l->stuck_since_ms >= STUCK_MS) {
        struct sl_kv kv[] = { SL_KV_STR("from", l->address), SL_KV_END };
        sl_log(SL_INFO, "broker", kv, "connection closed: it reads nothing of what is sent to it");
        link_abort(l);
    }
}

void links_tick(struct broker *b)
{
    int64_t now = broker_now(b);
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->transport == &link_transport)
            link_check_time(link_of(b->clients[i]), now);
}

void links_abort(struct broker *b)
{
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->transport == &link_transport)
            link_abort(link_of(b->clients[i]));
}

bool links_left(const struct broker *b)
{
    for (uint32_t i = 0; i < b->client_count; i++)
        if (b->clients[i]->transport == &link_transport)
            return true;
    return false;
}
