/* load_flow.c - messages that flow: from publishers through the broker to subscribers.
 *
 * With a window, a publisher has so many messages under way at most: published and not yet with all
 * that get them (and, at QoS 1 and 2, acknowledged). So no broker ever has a reason to drop, and
 * what is measured is work, not loss. With a rate, messages are due at points in time, and a
 * latency is counted from there: a stall that delays a publish is seen. Every delivery is checked:
 * nothing missing, nothing twice, in order. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WARM_UP_SHARE = 10, /* one of so many messages is not measured */
    WILD_PER_PEER = 1000,
    LATE_NS = 5000000,
    LATE_SHARE = 20, /* one of so many may be late */
};

struct mark {
    uint64_t ns, cpu_ns, deliveries;
    double own_s;
};

static struct mark mark_now(const struct load *l, uint64_t deliveries)
{
    return (struct mark){ now_ns(), cpu_ns(l->o.pid), deliveries, own_cpu_s() };
}

static struct peer *publisher(struct load *l, uint64_t i)
{
    return &l->peers[l->o.subscribers + i];
}

static uint64_t fan_out(const struct load *l)
{
    return l->o.pairs ? (l->o.subscribers > 0) : l->o.subscribers;
}

static void publish_next(struct load *l, struct peer *p, uint64_t due_ns)
{
    if (l->o.topics > 0)
        snprintf(p->topic, sizeof p->topic, "bench/cold/%07" PRIu64, l->published % l->o.topics);
    peer_publish(l, p, p->topic, false, due_ns);
}

static void on_delivery(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    struct mqtt_publish m;
    struct stamp s = peer_stamp(f, &m);
    if (s.publisher >= l->o.publishers)
        die(EXIT_LOST, "a delivery that nobody published");
    uint32_t *expected = &l->expected[p->index * l->o.publishers + s.publisher];
    l->wrong += s.number != *expected;
    *expected = s.number + 1;
    l->delivered++;
    publisher(l, s.publisher)->done++;
    latency_add(&l->latencies, now_ns() - s.due_ns);
}

static void on_packet(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    if (f->type == MQTT_PUBLISH)
        on_delivery(l, p, f);
    if (peer_answer(p, f))
        l->acknowledged++;
}

/* Messages of this publisher that are not yet with everybody. */
static uint64_t under_way(const struct load *l, const struct peer *p)
{
    uint64_t fan = fan_out(l);
    return fan > 0 ? p->sent - p->done / fan : p->unacked;
}

static void fill_windows(struct load *l)
{
    uint64_t share = l->o.count / l->o.publishers;
    for (uint64_t i = 0; i < l->o.publishers; i++) {
        struct peer *p = publisher(l, i);
        while (p->sent < share && under_way(l, p) < l->o.window && p->unacked < l->o.window)
            publish_next(l, p, now_ns());
        if (p->out.len > 0 && !p->want_write)
            peer_flush(l, p);
    }
}

/* When message k is due, since the beginning. */
static uint64_t due_ns(const struct load *l, uint64_t k)
{
    uint64_t even = k * 1000000000u / l->o.rate, quantum = l->o.burst_ms * 1000000u;
    return quantum ? (even / quantum + 1) * quantum : even;
}

/* Publishes what is due; returns the time until the next is. */
static int64_t publish_due(struct load *l, uint64_t began)
{
    uint64_t now = now_ns() - began;
    while (l->published < l->o.count && due_ns(l, l->published) <= now) {
        struct peer *p = publisher(l, l->published % l->o.publishers);
        uint64_t due = due_ns(l, l->published);
        l->late += now - due > LATE_NS;
        publish_next(l, p, began + due);
        peer_flush(l, p);
        now = now_ns() - began;
    }
    if (l->published == l->o.count)
        return (int64_t)STALL_MS * 1000000;
    uint64_t next = due_ns(l, l->published);
    return next > now ? (int64_t)(next - now) : 0;
}

static uint64_t progress(const struct load *l)
{
    return l->delivered + l->acknowledged + l->published;
}

static bool complete(const struct load *l)
{
    return l->published >= l->o.count && l->delivered >= l->o.count * fan_out(l) &&
           (l->o.qos == 0 || l->acknowledged >= l->o.count);
}

/* Deliveries, or acknowledgements when nobody gets anything. */
static uint64_t units(const struct load *l)
{
    return fan_out(l) > 0 ? l->delivered : l->acknowledged;
}

static struct mark flow(struct load *l)
{
    uint64_t warm = l->o.count / WARM_UP_SHARE * (fan_out(l) ? fan_out(l) : 1);
    uint64_t began = now_ns(), seen = 0, seen_ns = began;
    struct mark start = { 0 };
    while (!complete(l)) {
        int64_t wait = -1;
        if (l->o.rate > 0)
            wait = publish_due(l, began);
        else
            fill_windows(l);
        peer_turn(l, wait);
        if (start.ns == 0 && units(l) >= warm) {
            start = mark_now(l, units(l));
            l->latencies.count = 0;
        }
        uint64_t now = now_ns();
        if (progress(l) != seen) {
            seen = progress(l);
            seen_ns = now;
        } else if (now - seen_ns > (uint64_t)STALL_MS * 1000000u) {
            die(EXIT_LOST,
                "stalled: %" PRIu64 " published, %" PRIu64 " delivered, %" PRIu64 " acknowledged",
                l->published, l->delivered, l->acknowledged);
        }
    }
    return start;
}

static void report(struct load *l, const struct mark *start)
{
    struct mark end = mark_now(l, units(l));
    double seconds = (double)(end.ns - start->ns) / 1e9;
    double count = (double)(end.deliveries - start->deliveries);
    latency_sort(&l->latencies);
    printf("{\"deliveries\":%.0f,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us\":%.4f,\"own_"
           "share\":%.2f,"
           "\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f}\n",
           count, seconds, count / seconds, (double)(end.cpu_ns - start->cpu_ns) / 1e3 / count,
           (end.own_s - start->own_s) / seconds, latency_at(&l->latencies, 0.5),
           latency_at(&l->latencies, 0.99), latency_at(&l->latencies, 0.999));
}

/* Subscriptions that lie on the way of the topics without fitting any. */
static void subscribe_wild(struct load *l, struct peer *p, uint64_t from, uint64_t count)
{
    struct mqtt_sub_entry entries[WILD_PER_PEER];
    char filters[WILD_PER_PEER][64];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t k = from + i;
        if (k % 2)
            snprintf(filters[i], sizeof filters[i], "bench/+/%" PRIu64 "/state/#", k);
        else
            snprintf(filters[i], sizeof filters[i], "site/%" PRIu64 "/+/room/#", k);
        entries[i] = (struct mqtt_sub_entry){ .filter = sl_str(filters[i]) };
    }
    mqtt_encode_subscribe(&p->out, MQTT_V311, 2, NULL, entries, count);
    p->ready = false;
    l->ready--;
    peer_flush(l, p);
    peers_await(l);
}

static void add_wild(struct load *l)
{
    for (uint64_t from = 0; from < l->o.wild; from += WILD_PER_PEER) {
        char id[32];
        snprintf(id, sizeof id, "wild-%" PRIu64, from);
        struct peer *p = peer_connect(l, 0, id, "", false, NULL);
        peers_await(l);
        uint64_t left = l->o.wild - from;
        subscribe_wild(l, p, from, left < WILD_PER_PEER ? left : WILD_PER_PEER);
    }
}

static void connect_all(struct load *l)
{
    char id[32], filter[64];
    for (unsigned i = 0; i < l->o.subscribers; i++) {
        snprintf(id, sizeof id, "sub-%u", i);
        snprintf(filter, sizeof filter, "bench/#");
        if (l->o.pairs)
            snprintf(filter, sizeof filter, "bench/sensor/%04u", i);
        (void)peer_connect(l, i, id, filter, false, on_packet);
    }
    for (unsigned i = 0; i < l->o.publishers; i++) {
        snprintf(id, sizeof id, "pub-%u", i);
        struct peer *p = peer_connect(l, i, id, "", false, on_packet);
        snprintf(p->topic, sizeof p->topic, "bench/sensor/%04u", i);
    }
    peers_await(l);
}

void run_flow(struct load *l)
{
    l->o.count -= l->o.count % l->o.publishers;
    peers_open(l, l->o.subscribers + l->o.publishers + l->o.wild / WILD_PER_PEER + 1);
    l->expected = calloc(l->o.subscribers * l->o.publishers + 1, sizeof *l->expected);
    l->latencies.cap = 1024 * 1024;
    l->latencies.us = malloc(l->latencies.cap * sizeof *l->latencies.us);
    if (!l->expected || !l->latencies.us)
        die(EXIT_BROKEN, "out of memory");
    connect_all(l);
    add_wild(l);
    struct mark start = flow(l);
    if (l->wrong > 0)
        die(EXIT_LOST, "%" PRIu64 " deliveries twice or out of order", l->wrong);
    if (l->late > l->o.count / LATE_SHARE)
        die(EXIT_LATE, "%" PRIu64 " messages were published late: the machine is too busy",
            l->late);
    report(l, &start);
}
