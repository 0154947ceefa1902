/* load_state.c - what a broker keeps: connections that say nothing, retained messages, a queue for
 * somebody who is away. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_ID "bench-away"

enum { SETTLE_MS = 1500 /* what a broker does once it has started is done */ };

static void settle(struct load *l, uint64_t ms)
{
    uint64_t until = now_ns() + ms * 1000000u;
    for (uint64_t now; (now = now_ns()) < until;)
        peer_turn(l, (int64_t)(until - now));
}

/* ---- idle ---- */

void run_idle(struct load *l)
{
    long before, before_private, rss, own;
    peers_open(l, l->o.count + 1);
    (void)peer_connect(l, 0, "first", "", false,
                       NULL); /* what a first connection brings is not per connection */
    peers_await(l);
    settle(l, SETTLE_MS);
    memory_of(l->o.pid, &before, &before_private);
    for (unsigned i = 0; i < l->o.count; i++) {
        char id[32], filter[64] = "";
        snprintf(id, sizeof id, "idle-%u", i);
        if (l->o.subscribe)
            snprintf(filter, sizeof filter, "idle/%u/state", i);
        (void)peer_connect(l, i, id, filter, false, NULL);
    }
    peers_await(l);
    settle(l, SETTLE_MS);
    memory_of(l->o.pid, &rss, &own);
    printf("{\"rss_kib\":%ld,\"private_kib\":%ld,\"each_bytes\":%.0f}\n", rss, own,
           l->o.count ? (double)(rss - before) * 1024 / (double)l->o.count : 0);
}

/* The loop must get on: `what` is how far it has come. */
static void turn_on(struct load *l, const uint64_t *what, const char *name)
{
    uint64_t before = *what, until = now_ns() + (uint64_t)STALL_MS * 1000000u;
    while (*what == before) {
        peer_turn(l, (int64_t)STALL_MS * 1000000);
        if (now_ns() > until)
            die(EXIT_LOST, "stalled: %" PRIu64 " of %" PRIu64 " %s", *what, l->o.count, name);
    }
}

/* ---- publishing a lot, as fast as acknowledgements come ---- */

static void on_own_ack(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    if (peer_answer(p, f))
        l->acknowledged++;
}

static void publish_all(struct load *l, struct peer *p, const char *shape, bool retain)
{
    while (l->acknowledged < l->o.count) {
        while (l->published < l->o.count && p->unacked < l->o.window) {
            char topic[64];
            snprintf(topic, sizeof topic, "%s/%06" PRIu64, shape, l->published);
            peer_publish(l, p, topic, retain, now_ns());
        }
        peer_flush(l, p);
        turn_on(l, &l->acknowledged, "acknowledged");
    }
}

/* Numbers 0..count-1 each once, in any order: retained messages have none. */
static void on_counted(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    if (f->type == MQTT_PUBLISH) {
        struct mqtt_publish m;
        struct stamp s = peer_stamp(f, &m);
        if (s.number >= l->o.count)
            die(EXIT_LOST, "a delivery that nobody published");
        l->wrong += l->expected[s.number]++ > 0;
        l->delivered++;
    }
    (void)peer_answer(p, f);
}

static void receive_all(struct load *l, uint64_t began, uint64_t cpu_began)
{
    while (l->delivered < l->o.count)
        turn_on(l, &l->delivered, "delivered");
    if (l->wrong > 0)
        die(EXIT_LOST, "%" PRIu64 " deliveries twice", l->wrong);
    double seconds = (double)(now_ns() - began) / 1e9;
    printf("{\"deliveries\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us\":%.3f}\n",
           l->delivered, seconds, (double)l->delivered / seconds,
           (double)(cpu_ns(l->o.pid) - cpu_began) / 1e3 / (double)l->delivered);
}

static void open_counted(struct load *l)
{
    peers_open(l, 4);
    l->expected = calloc(l->o.count + 1, sizeof *l->expected);
    if (!l->expected)
        die(EXIT_BROKEN, "out of memory");
}

/* ---- retained ---- */

void run_retained(struct load *l)
{
    open_counted(l);
    uint64_t qos = l->o.qos;
    l->o.qos = 1; /* so that all are known to be there */
    struct peer *p = peer_connect(l, 0, "keeper", "", false, on_own_ack);
    peers_await(l);
    publish_all(l, p, "kept/site", true);
    settle(l, 200);
    l->o.qos = qos;
    uint64_t cpu = cpu_ns(l->o.pid), began = now_ns();
    (void)peer_connect(l, 1, "late", "kept/#", false, on_counted);
    receive_all(l, began, cpu);
}

/* ---- a queue ---- */

void run_queue(struct load *l)
{
    open_counted(l);
    l->o.qos = 1;
    struct peer *away = peer_connect(l, 0, QUEUE_ID, "away/#", true, NULL);
    peers_await(l);
    peer_close(l, away, true);
    struct peer *p = peer_connect(l, 0, "sender", "", false, on_own_ack);
    peers_await(l);
    uint64_t began = now_ns();
    publish_all(l, p, "away/site", false);
    double seconds = (double)(now_ns() - began) / 1e9;
    printf("{\"accepted\":%" PRIu64 ",\"per_second\":%.0f}\n", l->acknowledged,
           (double)l->acknowledged / seconds);
}

void run_drain(struct load *l)
{
    open_counted(l);
    l->o.qos = 1;
    uint64_t cpu = cpu_ns(l->o.pid), began = now_ns();
    struct peer *p = peer_connect(l, 0, QUEUE_ID, "", true, on_counted);
    peers_await(l);
    if (!p->session_present)
        die(EXIT_LOST, "the session is gone");
    receive_all(l, began, cpu);
}
