/* load_peer.c - MQTT connections on one epoll loop. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, READ_SIZE = 256 * 1024, KEEP_ALIVE_S = 600, UNFINISHED_MAX = 100 };

void peers_open(struct load *l, size_t count)
{
    struct rlimit files = { count + 64, count + 64 };
    (void)setrlimit(RLIMIT_NOFILE, &files); /* a connection that fails says so */
    l->peers = calloc(count, sizeof *l->peers);
    l->read_buffer = malloc(READ_SIZE);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!l->peers || !l->read_buffer || l->epoll_fd < 0)
        die(EXIT_BROKEN, "cannot start");
}

static void watch(struct load *l, struct peer *p, bool write_too)
{
    struct epoll_event ev = { .events = EPOLLIN | (write_too ? (unsigned)EPOLLOUT : 0u),
                              .data.ptr = p };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, p->fd, &ev) != 0)
        die(EXIT_BROKEN, "epoll_ctl: %s", strerror(errno));
    p->want_write = write_too;
}

void peer_flush(struct load *l, struct peer *p)
{
    size_t sent = 0;
    while (sent < p->out.len) {
        ssize_t n = write(p->fd, p->out.ptr + sent, p->out.len - sent);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            die(EXIT_BROKEN, "write: %s", strerror(errno));
        sent += (size_t)n;
    }
    sl_buf_consume(&p->out, sent);
    bool left = p->out.len > 0;
    if (left != p->want_write)
        watch(l, p, left);
}

static int tcp_connect(uint64_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die(EXIT_BROKEN, "connect: %s", strerror(errno));
    return fd;
}

struct peer *peer_connect(struct load *l, unsigned index, const char *id, const char *filter,
                          bool persistent, peer_packet_fn *on_packet)
{
    struct peer *p = &l->peers[l->peer_count++];
    *p = (struct peer){ .index = index,
                        .persistent = persistent,
                        .on_packet = on_packet,
                        .fd = tcp_connect(l->o.port) };
    snprintf(p->filter, sizeof p->filter, "%s", filter);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, p->fd, &ev) != 0)
        die(EXIT_BROKEN, "epoll_ctl: %s", strerror(errno));
    struct mqtt_connect c = { .version = MQTT_V311,
                              .clean_start = !persistent,
                              .keep_alive_s = KEEP_ALIVE_S,
                              .client_id = sl_str(id) };
    mqtt_encode_connect(&p->out, &c);
    peer_flush(l, p);
    peer_turn(l, 0);
    while (l->ready + UNFINISHED_MAX < l->peer_count) /* not a flood, which brokers may cut */
        peer_turn(l, -1);
    return p;
}

void peer_close(struct load *l, struct peer *p, bool say_goodbye)
{
    if (say_goodbye)
        mqtt_encode_disconnect(&p->out, MQTT_V311, &(struct mqtt_reasoned){ 0 });
    peer_flush(l, p);
    close(p->fd);
    p->fd = -1;
    sl_buf_free(&p->in);
    sl_buf_free(&p->out);
}

void peers_await(struct load *l)
{
    uint64_t deadline = now_ns() + (uint64_t)STALL_MS * 4000000u;
    while (l->ready < l->peer_count) {
        peer_turn(l, 100000000);
        if (now_ns() > deadline)
            die(EXIT_BROKEN, "only %zu of %zu connections were answered", l->ready, l->peer_count);
    }
}

/* ---- packets ---- */

static void on_connack(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    struct mqtt_connack ack;
    if (mqtt_decode_connack(f, MQTT_V311, &ack, NULL) != 0 || ack.reason != 0)
        die(EXIT_BROKEN, "the broker refused a connection");
    p->session_present = ack.session_present;
    if (p->filter[0]) {
        struct mqtt_sub_entry e = { .filter = sl_str(p->filter), .qos = (uint8_t)l->o.qos };
        mqtt_encode_subscribe(&p->out, MQTT_V311, 1, NULL, &e, 1);
        return;
    }
    p->ready = true;
    l->ready++;
}

static void on_suback(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    struct mqtt_suback ack;
    if (mqtt_decode_suback(f, MQTT_V311, &ack, NULL) != 0 || ack.codes.ptr[0] > 2)
        die(EXIT_BROKEN, "the broker refused a subscription");
    l->ready += !p->ready;
    p->ready = true;
}

static void on_frame(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    if (f->type == MQTT_CONNACK)
        on_connack(l, p, f);
    else if (f->type == MQTT_SUBACK)
        on_suback(l, p, f);
    else if (p->on_packet)
        p->on_packet(l, p, f);
}

static void on_readable(struct load *l, struct peer *p)
{
    ssize_t n = read(p->fd, l->read_buffer, READ_SIZE);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die(EXIT_BROKEN, "the broker closed a connection");
    struct sl_slice bytes = { l->read_buffer, (size_t)n };
    bool kept = p->in.len > 0;
    if (kept) {
        sl_buf_put_slice(&p->in, bytes);
        bytes = sl_buf_slice(&p->in);
    }
    struct sl_cursor in = sl_cursor(bytes);
    struct mqtt_frame f;
    while (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK)
        on_frame(l, p, &f);
    if (kept)
        sl_buf_consume(&p->in, p->in.len - in.left);
    else
        sl_buf_put_slice(&p->in, sl_cursor_rest(&in));
    peer_flush(l, p);
}

void peer_turn(struct load *l, int64_t wait_ns)
{
    struct epoll_event events[EVENTS];
    if (wait_ns < 0)
        wait_ns = (int64_t)STALL_MS * 1000000;
    struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
    int n = epoll_pwait2(l->epoll_fd, events, EVENTS, &wait, NULL);
    if (n < 0 && errno != EINTR)
        die(EXIT_BROKEN, "epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        struct peer *p = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            peer_flush(l, p);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(l, p);
    }
}

void peer_publish(struct load *l, struct peer *p, const char *topic, bool retain, uint64_t due_ns)
{
    struct stamp stamp = { due_ns, p->index, (uint32_t)p->sent };
    memcpy(l->payload, &stamp, sizeof stamp);
    struct mqtt_publish m = { .qos = (uint8_t)l->o.qos,
                              .retain = retain,
                              .topic = sl_str(topic),
                              .payload = { l->payload, l->o.payload } };
    if (l->o.qos > 0) {
        p->next_id = p->next_id == 65535 ? 1 : (uint16_t)(p->next_id + 1);
        m.packet_id = p->next_id;
        p->unacked++;
    }
    mqtt_encode_publish(&p->out, MQTT_V311, &m);
    p->sent++;
    l->published++;
}

struct stamp peer_stamp(const struct mqtt_frame *f, struct mqtt_publish *ret)
{
    struct stamp stamp;
    if (mqtt_decode_publish(f, MQTT_V311, ret, NULL) != 0 || ret->payload.len < sizeof stamp)
        die(EXIT_BROKEN, "a PUBLISH that cannot be decoded");
    memcpy(&stamp, ret->payload.ptr, sizeof stamp);
    return stamp;
}

bool peer_answer(struct peer *p, const struct mqtt_frame *f)
{
    struct mqtt_publish m;
    struct mqtt_ack a = { 0 };
    if (f->type == MQTT_PUBLISH) {
        (void)peer_stamp(f, &m);
        a.packet_id = m.packet_id;
        if (m.qos > 0)
            mqtt_encode_ack(&p->out, MQTT_V311, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, &a);
        return false;
    }
    if (f->type < MQTT_PUBACK || f->type > MQTT_PUBCOMP ||
        mqtt_decode_ack(f, MQTT_V311, &a, NULL) != 0)
        die(EXIT_BROKEN, "an unexpected packet, type %u", f->type);
    if (f->type == MQTT_PUBREC)
        mqtt_encode_ack(&p->out, MQTT_V311, MQTT_PUBREL, &a);
    if (f->type == MQTT_PUBREL)
        mqtt_encode_ack(&p->out, MQTT_V311, MQTT_PUBCOMP, &a);
    bool done = f->type == MQTT_PUBACK || f->type == MQTT_PUBCOMP;
    p->unacked -= done;
    return done;
}
