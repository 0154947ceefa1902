/* load_ends.c - the two ends of the way to the cloud: how long a sender waits for its PUBACK, and
 * how fast messages arrive at the other end. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LATE_NS = 5000000, LATE_SHARE = 20, WARM_UP_SHARE = 10, LOOK_NS = 1000000 };

/* ---- acks: publishes at a rate; the time from when each was due to its acknowledgement ---- */

/* Due times by publisher and packet identifier. */
static uint64_t *due_of(struct load *l, const struct peer *p, uint16_t id)
{
    return &l->due[p->index * 65536u + id];
}

static void on_puback(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    struct mqtt_ack a;
    if (f->type != MQTT_PUBACK || mqtt_decode_ack(f, MQTT_V311, &a, NULL) != 0)
        die(EXIT_BROKEN, "an unexpected packet, type %u", f->type);
    l->acknowledged++;
    p->unacked--;
    latency_add(&l->latencies, now_ns() - *due_of(l, p, a.packet_id));
}

static void publish_one(struct load *l, uint64_t due)
{
    struct peer *p = &l->peers[l->published % l->o.publishers];
    l->late += now_ns() - due > LATE_NS;
    peer_publish(l, p, p->topic, false, due);
    *due_of(l, p, p->next_id) = due;
    peer_flush(l, p);
}

void run_acks(struct load *l)
{
    l->o.qos = 1;
    if (l->o.rate == 0)
        die(EXIT_USAGE, "acks needs --rate");
    peers_open(l, l->o.publishers);
    l->due = calloc(l->o.publishers * 65536u, sizeof *l->due);
    l->latencies.cap = l->o.count;
    l->latencies.us = calloc(l->o.count, sizeof *l->latencies.us);
    if (!l->due || !l->latencies.us)
        die(EXIT_BROKEN, "out of memory");
    for (unsigned i = 0; i < l->o.publishers; i++) {
        char id[32];
        snprintf(id, sizeof id, "pub-%u", i);
        struct peer *p = peer_connect(l, i, id, "", false, on_puback);
        snprintf(p->topic, sizeof p->topic, "bench/sensor/%04u", i);
    }
    peers_await(l);
    uint64_t began = now_ns(), seen = 0, seen_ns = began;
    while (l->acknowledged < l->o.count) {
        uint64_t due = began + l->published * 1000000000u / l->o.rate, now = now_ns();
        if (l->published < l->o.count && now >= due)
            publish_one(l, due);
        else
            peer_turn(l, l->published < l->o.count ? (int64_t)(due - now) : 100000000);
        if (l->acknowledged != seen)
            seen_ns = now;
        seen = l->acknowledged;
        if (now - seen_ns > (uint64_t)STALL_MS * 1000000u)
            die(EXIT_LOST, "stalled: %" PRIu64 " acknowledged", seen);
    }
    if (l->late > l->o.count / LATE_SHARE)
        die(EXIT_LATE, "%" PRIu64 " published late: the machine is too busy", l->late);
    latency_sort(&l->latencies);
    printf("{\"acknowledged\":%" PRIu64 ",\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f}\n",
           l->acknowledged, latency_at(&l->latencies, 0.5), latency_at(&l->latencies, 0.99),
           latency_at(&l->latencies, 0.999));
}

/* ---- arrivals: a subscriber to everything that counts ---- */

static void on_arrival(struct load *l, struct peer *p, const struct mqtt_frame *f)
{
    (void)p;
    if (f->type != MQTT_PUBLISH)
        die(EXIT_BROKEN, "an unexpected packet, type %u", f->type);
    l->delivered++;
}

/* The cloud's one thread is what both senders wait for. If the one who counts slept until something
 * came, it would be woken for nearly every message, at the cloud's expense, and at the greater the
 * less the sender keeps the other core awake. So it looks once a millisecond. */
static void arrive(struct load *l, uint64_t count)
{
    while (l->delivered < count) {
        uint64_t before = l->delivered;
        (void)nanosleep(&(struct timespec){ 0, LOOK_NS }, NULL); /* cut short does not matter */
        peer_turn(l, -1);
        if (l->delivered == before)
            die(EXIT_LOST, "stalled: %" PRIu64 " arrived", before);
    }
}

/* The first are not measured: a limit lets a few more through at its beginning. */
void run_arrivals(struct load *l)
{
    l->o.qos = 0;
    peers_open(l, 1);
    (void)peer_connect(l, 0, "arrivals", "up/#", false, on_arrival);
    peers_await(l);
    printf("subscribed\n");
    (void)fflush(stdout);
    arrive(l, l->o.count / WARM_UP_SHARE);
    uint64_t began = now_ns(), first = l->delivered, cpu = l->o.pid ? cpu_ns(l->o.pid) : 0;
    arrive(l, l->o.count);
    double seconds = (double)(now_ns() - began) / 1e9, count = (double)(l->delivered - first);
    printf("{\"arrived\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.1f,\"cpu_us\":%.3f}\n",
           l->delivered, seconds, count / seconds, (double)(cpu_ns(l->o.pid) - cpu) / 1e3 / count);
}
