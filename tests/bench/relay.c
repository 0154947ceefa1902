/* relay.c - the floor: what a broker costs that does nothing but move bytes.
 *
 *   relay PORT [pairs]
 *
 * Reads as Sluice does (one read a connection and turn, into one buffer), cuts packets by their
 * length, answers each with the fixed bytes it wants, hands a PUBLISH on unchanged and writes each
 * connection once at the end of the turn. It checks nothing, knows no topics, keeps no message, has
 * no window and cannot lose its temper: a PUBLISH goes to every connection that has subscribed,
 * with `pairs` to the one that subscribed as its publisher connected, in turn. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { READ_SIZE = 64 * 1024, CONNS_MAX = 4096 };

struct relay_conn {
    uv_tcp_t tcp;
    struct relay *relay;
    struct sl_buf in, out;
    bool dirty, publishes;
    unsigned number; /* among the publishers */
};

struct relay {
    uv_tcp_t server;
    uv_prepare_t prepare;
    uv_check_t check;
    bool pairs;
    struct relay_conn *subscribers[CONNS_MAX], *dirty[CONNS_MAX];
    unsigned subscriber_count, publisher_count, dirty_count;
    char buffer[READ_SIZE];
};

struct late_write {
    uv_write_t req;
    struct sl_buf bytes;
};

static void mark(struct relay_conn *c)
{
    if (c->dirty || c->relay->dirty_count == CONNS_MAX)
        return;
    c->dirty = true;
    c->relay->dirty[c->relay->dirty_count++] = c;
}

static void append(struct relay_conn *c, const void *bytes, size_t size)
{
    sl_buf_put(&c->out, bytes, size);
    mark(c);
}

static void on_late_written(uv_write_t *req, int status)
{
    (void)status; /* a connection that fails is closed by its reader */
    struct late_write *w = req->data;
    sl_buf_free(&w->bytes);
    free(w);
}

static void write_rest(struct relay_conn *c, size_t sent)
{
    struct late_write *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->req.data = w;
    w->bytes = c->out;
    c->out = (struct sl_buf){ 0 };
    uv_buf_t rest = uv_buf_init((char *)w->bytes.ptr + sent, (unsigned)(w->bytes.len - sent));
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &rest, 1, on_late_written) != 0)
        on_late_written(&w->req, -1);
}

static void flush(struct relay_conn *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    uv_buf_t all = uv_buf_init((char *)c->out.ptr, (unsigned)c->out.len);
    int sent = uv_try_write((uv_stream_t *)&c->tcp, &all, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent >= 0 && (size_t)sent < c->out.len)
        write_rest(c, (size_t)sent);
    sl_buf_reset(&c->out);
}

static void turn(struct relay *r)
{
    for (unsigned i = 0; i < r->dirty_count; i++) {
        r->dirty[i]->dirty = false;
        flush(r->dirty[i]);
    }
    r->dirty_count = 0;
}

static void on_prepare(uv_prepare_t *h)
{
    turn(h->data);
}

static void on_check(uv_check_t *h)
{
    turn(h->data);
}

/* A four-byte packet about the same packet id. */
static void answer(struct relay_conn *c, uint8_t first, const uint8_t *id)
{
    uint8_t bytes[4] = { first, 2, id[0], id[1] };
    append(c, bytes, sizeof bytes);
}

static void forward(struct relay_conn *c, struct sl_slice packet)
{
    struct relay *r = c->relay;
    if (!c->publishes) {
        c->publishes = true;
        c->number = r->publisher_count++;
    }
    if (r->pairs && r->subscriber_count > 0) {
        append(r->subscribers[c->number % r->subscriber_count], packet.ptr, packet.len);
        return;
    }
    for (unsigned i = 0; i < r->subscriber_count; i++)
        append(r->subscribers[i], packet.ptr, packet.len);
}

static void on_packet(struct relay_conn *c, struct sl_slice packet, const uint8_t *body)
{
    unsigned qos = packet.ptr[0] >> 1 & 3;
    const uint8_t *id = body + 2 + (body[0] << 8 | body[1]); /* of a PUBLISH, behind its topic */
    switch (packet.ptr[0] >> 4) {
    case 1: append(c, "\x20\x02\0\0", 4); break;
    case 3:
        forward(c, packet);
        if (qos > 0)
            answer(c, qos == 1 ? 0x40 : 0x50, id);
        break;
    case 5: answer(c, 0x62, body); break;
    case 6: answer(c, 0x70, body); break;
    case 8:
        append(c, "\x90\x03\0\x01\0", 5);
        if (c->relay->subscriber_count < CONNS_MAX)
            c->relay->subscribers[c->relay->subscriber_count++] = c;
        break;
    }
}

/* Takes a whole packet off in. */
static bool cut(struct sl_cursor *in, struct sl_slice *ret, const uint8_t **ret_body)
{
    size_t size = 0, at = 1;
    unsigned shift = 0;
    do {
        if (at >= in->left || shift > 21)
            return false;
        size |= (size_t)(in->at[at] & 0x7F) << shift;
        shift += 7;
    } while (in->at[at++] & 0x80);
    *ret_body = in->at + at;
    return sl_take(in, at + size, ret);
}

static void on_closed(uv_handle_t *h)
{
    (void)h; /* the memory stays: subscribers are named in lists, and a run is short */
}

static void on_read(uv_stream_t *s, ssize_t size, const uv_buf_t *buf)
{
    struct relay_conn *c = s->data;
    if (size < 0) {
        struct relay *r = c->relay;
        for (unsigned i = 0; i < r->subscriber_count; i++)
            if (r->subscribers[i] == c)
                r->subscribers[i--] = r->subscribers[--r->subscriber_count];
        r->publisher_count = 0; /* the next run counts anew */
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    struct sl_slice bytes = sl_bytes(buf->base, (size_t)size), packet;
    bool kept = c->in.len > 0;
    if (kept) {
        sl_buf_put_slice(&c->in, bytes);
        bytes = sl_buf_slice(&c->in);
    }
    struct sl_cursor in = sl_cursor(bytes);
    const uint8_t *body;
    while (cut(&in, &packet, &body))
        on_packet(c, packet, body);
    if (kept)
        sl_buf_consume(&c->in, c->in.len - in.left);
    else
        sl_buf_put_slice(&c->in, sl_cursor_rest(&in));
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct relay_conn *c = h->data;
    *buf = uv_buf_init(c->relay->buffer, READ_SIZE);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct relay_conn *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (!c || uv_tcp_init(server->loop, &c->tcp) != 0)
        abort();
    c->relay = server->data;
    c->tcp.data = c;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        abort();
}

int main(int argc, char **argv)
{
    static struct relay r;
    struct sockaddr_in at;
    uv_loop_t *loop = uv_default_loop();
    if (argc < 2 || uv_ip4_addr("127.0.0.1", atoi(argv[1]), &at) != 0) {
        fputs("relay: usage: relay PORT [pairs]\n", stderr);
        return 2;
    }
    r.pairs = argc > 2;
    r.server.data = r.prepare.data = r.check.data = &r;
    (void)uv_prepare_init(loop, &r.prepare); /* these only fill in structs */
    (void)uv_check_init(loop, &r.check);
    (void)uv_prepare_start(&r.prepare, on_prepare);
    (void)uv_check_start(&r.check, on_check);
    if (uv_tcp_init(loop, &r.server) != 0 ||
        uv_tcp_bind(&r.server, (const struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&r.server, 4096, on_connection) != 0) {
        fputs("relay: cannot listen\n", stderr);
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
