/* ws_conn.c - a WebSocket connection for MQTT: the upgrade, frames in, frames out, the end.
 *
 * lws makes the handshakes and the frames and knows a connection as its wsi. A wsi outlives what is
 * said over it: the peer is told once, at the first sign of the end, and struct ws_conn is freed
 * with the wsi. */
#include "ws_private.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RX_CHUNK       1024                  /* lws keeps this much for each connection */
#define TX_CHUNK       ((size_t)16 * 1024)   /* bytes in one frame: what fits one TLS record */
#define TX_CHUNK_MAX   ((size_t)1024 * 1024) /* larger messages are sent as several frames */
#define PIECES_AT_ONCE 64                    /* then the loop has its turn */
#define PATH_BYTES_MAX 256
#define PROTOCOLS_MAX  256

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

/* In the order of preference of a client that has none. [MQTT-6.0.0-3] */
const struct lws_protocols ws_protocols[] = {
    { .name = "mqtt",
      .callback = on_lws,
      .rx_buffer_size = RX_CHUNK,
      .tx_packet_size = TX_CHUNK_MAX + 16 },
    { .name = "mqttv3.1",
      .callback = on_lws,
      .rx_buffer_size = RX_CHUNK,
      .tx_packet_size = TX_CHUNK_MAX + 16 },
    { .name = NULL },
};

/* ---- the end of connections ---- */

static void conn_gone(struct ws_conn *c, const char *why)
{
    void *peer = c->peer;
    c->peer = NULL;
    if (peer)
        c->site->ws->callbacks->gone(peer, why);
}

static void forget_doomed(struct ws_conn *c)
{
    struct ws_conn **at = &c->site->ws->doomed;
    while (*at && *at != c)
        at = &(*at)->next_doomed;
    if (*at)
        *at = c->next_doomed;
}

static void conn_destroyed(struct ws_conn *c)
{
    struct ws_site *s = c->site;
    conn_gone(c, NULL);
    if (c->doomed)
        forget_doomed(c);
    assert(s->conns > 0 && s->ws->conns > 0);
    s->ws->conns--;
    if (--s->conns == 0 && s->closed)
        ws_reap_soon(s->ws);
    free(c);
}

/* ---- requests ---- */

/* A few words instead of an upgrade; returns what lws' callback has to. */
static int refuse(struct lws *wsi, unsigned status, const char *text)
{
    unsigned char room[LWS_PRE + 512], *start = room + LWS_PRE, *p = start,
                                       *end = room + sizeof room;
    static const char upgrade[] = "websocket";
    size_t len = strlen(text);
    if (lws_add_http_header_status(wsi, status | LWSAHH_FLAG_NO_SERVER_NAME, &p, end) != 0 ||
        lws_add_http_header_by_name(wsi, (const unsigned char *)"content-type:",
                                    (const unsigned char *)"text/plain", 10, &p, end) != 0 ||
        lws_add_http_header_by_name(wsi, (const unsigned char *)"connection:",
                                    (const unsigned char *)"close", 5, &p, end) != 0 ||
        (status == 426 && lws_add_http_header_by_name(wsi, (const unsigned char *)"upgrade:",
                                                      (const unsigned char *)upgrade,
                                                      sizeof upgrade - 1, &p, end) != 0) ||
        lws_add_http_header_content_length(wsi, len, &p, end) != 0 ||
        lws_finalize_http_header(wsi, &p, end) != 0)
        return -1;
    size_t n = (size_t)(p - start);
    if (lws_write(wsi, start, n, LWS_WRITE_HTTP_HEADERS) != (int)n)
        return -1;
    memcpy(start, text, len);
    (void)lws_write(wsi, start, len, LWS_WRITE_HTTP_FINAL); /* it closes either way */
    return -1;
}

static bool path_fits(const struct ws_site *s, struct lws *wsi)
{
    char path[PATH_BYTES_MAX + 8];
    int n = lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI);
    return n > 0 && sl_slice_eq(sl_bytes(path, (size_t)n), sl_str(s->path));
}

static struct sl_slice next_word(struct sl_slice *list)
{
    size_t begin = 0, end;
    while (begin < list->len && strchr(", \t", list->ptr[begin]))
        begin++;
    for (end = begin; end < list->len && !strchr(", \t", list->ptr[end]); end++)
        ;
    struct sl_slice word = sl_bytes(list->ptr + begin, end - begin);
    *list = sl_bytes(list->ptr + end, list->len - end);
    return word;
}

/* lws would give one that asks for no sub-protocol the first we have. [MQTT-6.0.0-3] */
static bool asks_for_mqtt(struct lws *wsi)
{
    char text[PROTOCOLS_MAX];
    int n = lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_PROTOCOL);
    struct sl_slice list = sl_bytes(text, n > 0 ? (size_t)n : 0), word;
    while ((word = next_word(&list)).len > 0)
        for (const struct lws_protocols *p = ws_protocols; p->name; p++)
            if (sl_slice_eq(word, sl_str(p->name)))
                return true;
    return false;
}

static int on_upgrade(struct ws_conn *c, struct lws *wsi, struct sl_slice protocol)
{
    if (!sl_slice_eq(protocol, sl_str("websocket")))
        return -1; /* h2c */
    if (!path_fits(c->site, wsi))
        return refuse(wsi, 404, "There is no MQTT at this path.\n");
    if (!asks_for_mqtt(wsi))
        return refuse(wsi, 400, "Ask for the sub-protocol mqtt.\n");
    return 0;
}

static int on_plain_request(struct ws_conn *c, struct lws *wsi)
{
    return path_fits(c->site, wsi) ? refuse(wsi, 426, "This is MQTT over WebSocket.\n")
                                   : refuse(wsi, 404, "There is nothing here.\n");
}

/* ---- frames ---- */

static int on_established(struct ws_conn *c)
{
    char name[WS_NAME_MAX];
    if (!c->peer)
        return -1;
    c->established = true;
    if (c->site->username_from_cert)
        c->site->ws->callbacks->named(c->peer, ws_tls_peer_name(c->wsi, name));
    return 0;
}

static int on_received(struct ws_conn *c, struct sl_slice bytes)
{
    if (!c->peer)
        return -1;
    if (!lws_frame_is_binary(c->wsi)) { /* [MQTT-6.0.0-1] */
        static unsigned char why[] = "MQTT has binary frames only";
        lws_close_reason(c->wsi, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, why, sizeof why - 1);
        conn_gone(c, "a WebSocket text frame");
        return -1;
    }
    if (bytes.len > 0)
        c->site->ws->callbacks->received(c->peer, bytes);
    return 0;
}

/* Not by returning -1: when that comes from here, lws 4.1 on libuv hangs up without a close frame.
 * When the peer does not answer it, the link's time runs out. */
static int end_politely(struct ws_conn *c)
{
    lws_close_reason(c->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
    lws_set_timer_usecs(c->wsi, 1);
    c->ending = true;
    return 0;
}

/* Small messages leave as one segment all the same. */
static void cork(struct ws_conn *c, int on)
{
    (void)setsockopt(lws_get_socket_fd(c->wsi), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

/* Room for all of a message if that is to be had, so that it is one frame. */
static bool make_room(struct ws *w, size_t size)
{
    size_t wanted = size <= TX_CHUNK ? TX_CHUNK : size < TX_CHUNK_MAX ? size : TX_CHUNK_MAX;
    if (w->chunk_size >= wanted)
        return true;
    unsigned char *larger = realloc(w->chunk, LWS_PRE + wanted);
    if (!larger)
        return w->chunk != NULL;
    w->chunk = larger;
    w->chunk_size = wanted;
    return true;
}

static bool send_piece(struct ws_conn *c, const struct ws_piece *piece)
{
    int type = c->inside ? LWS_WRITE_CONTINUATION : LWS_WRITE_BINARY;
    if (!piece->last)
        type |= LWS_WRITE_NO_FIN;
    c->inside = !piece->last;
    return lws_write(c->wsi, c->site->ws->chunk + LWS_PRE, piece->len,
                     (enum lws_write_protocol)type) >= (int)piece->len;
}

/* One frame for each message, though they could share one, or have several: there are clients, and
 * Paho's C client is one, that stand still in front of the rest of a frame or of a message.
 * lws keeps what the socket does not take of a piece; then there is nothing more to ask for. */
static enum ws_next send_some(struct ws_conn *c, bool *ret_ok)
{
    struct ws *w = c->site->ws;
    struct ws_piece piece;
    enum ws_next next;
    unsigned count = 0;
    do {
        if (!make_room(w, w->callbacks->next_size(c->peer))) {
            *ret_ok = false;
            return WS_IDLE;
        }
        next = w->callbacks->output(c->peer, w->chunk + LWS_PRE, w->chunk_size, &piece);
        if (next == WS_END && piece.len > 0)
            next = WS_MORE;
        if (next == WS_MORE && count == 0)
            cork(c, 1);
        *ret_ok = piece.len == 0 || send_piece(c, &piece);
        count++;
    } while (*ret_ok && next == WS_MORE && count < PIECES_AT_ONCE && !lws_partial_buffered(c->wsi));
    if (count > 1 || next == WS_MORE)
        cork(c, 0);
    return next;
}

/* lws calls it only when what it could not send before is gone. */
static int on_writeable(struct ws_conn *c)
{
    bool ok;
    if (!c->peer)
        return -1;
    if (c->ending)
        return 0;
    enum ws_next next = send_some(c, &ok);
    if (!ok)
        return -1;
    if (next == WS_END)
        return end_politely(c);
    if (next == WS_MORE)
        lws_callback_on_writable(c->wsi);
    return 0;
}

/* The site's, while lws opens its vhost. */
static int on_tls_context(struct lws_vhost *vhost, void *ssl_ctx)
{
    struct ws_site *s = vhost ? lws_vhost_user(vhost) : NULL;
    if (s && s->setup && s->setup->tls)
        s->tls_ready = ws_tls_setup(ssl_ctx, s->setup);
    return 0;
}

/* lws has some hundred reasons, most of them not for servers: this switch keeps its default. */
static int on_conn(struct ws_conn *c, struct lws *wsi, enum lws_callback_reasons reason,
                   struct sl_slice in)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP: return on_plain_request(c, wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return on_upgrade(c, wsi, sl_str((const char *)in.ptr));
    case LWS_CALLBACK_ESTABLISHED: return on_established(c);
    case LWS_CALLBACK_RECEIVE: return on_received(c, in);
    case LWS_CALLBACK_SERVER_WRITEABLE: return on_writeable(c);
    case LWS_CALLBACK_TIMER: return c->ending ? -1 : 0;
    case LWS_CALLBACK_CLOSED: conn_gone(c, NULL); return 0;
    case LWS_CALLBACK_WSI_DESTROY: conn_destroyed(c); return 0;
    default: return 0;
    }
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return on_tls_context(in, user);
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION)
        return 1; /* asked only of lws' own verification, which ws_tls_setup() replaces */
    struct ws_conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    return c ? on_conn(c, wsi, reason, sl_bytes(in, in ? len : 0)) : 0;
}

/* ---- connections from outside ---- */

struct ws_conn *ws_adopt(struct ws_site *s, int fd, void *peer)
{
    struct ws_conn *c = s->closed || s->ws->closing ? NULL : calloc(1, sizeof *c);
    if (!c) {
        (void)close(fd);
        return NULL;
    }
    struct lws_adopt_desc d = {
        .vh = s->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd = { .sockfd = fd },
    };
    c->site = s;
    c->wsi = lws_adopt_descriptor_vhost_via_info(&d); /* closes fd when it fails */
    if (!c->wsi) {
        free(c);
        return NULL;
    }
    lws_set_opaque_user_data(c->wsi, c); /* not before: until here its end is nobody's business */
    c->peer = peer;
    s->conns++;
    s->ws->conns++;
    return c;
}

void ws_wake(struct ws_conn *c)
{
    if (c->established)
        lws_callback_on_writable(c->wsi);
    else
        ws_abort(c); /* there is no output yet, so it is the end */
}

void ws_read(struct ws_conn *c, bool on)
{
    (void)lws_rx_flow_control(c->wsi, on);
    if (on && c->established) /* what lws has read already is looked at with its next event */
        lws_callback_on_writable(c->wsi);
}

void ws_abort(struct ws_conn *c)
{
    struct ws *w = c->site->ws;
    if (c->doomed)
        return;
    c->doomed = true;
    c->next_doomed = w->doomed;
    w->doomed = c;
    ws_reap_soon(w);
}

size_t ws_unsent(const struct ws_conn *c)
{
    int bytes = 0, fd = lws_get_socket_fd(c->wsi);
    if (fd < 0 || ioctl(fd, TIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (size_t)bytes;
}
