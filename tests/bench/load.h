/* load.h - the load generator's parts: peers (MQTT connections on one epoll loop), what is
 * measured, and the kinds of load. One thread; what goes wrong ends the program with a sentence. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "broker/mqtt.h"

#include <sys/types.h>

enum {
    EXIT_BROKEN = 1, /* no measurement: a system call failed, or the broker refused */
    EXIT_USAGE = 2,
    EXIT_LOST = 3,    /* something was not delivered, or twice, or out of order */
    EXIT_LATE = 4,    /* the generator itself was held up: no measurement */
    STALL_MS = 60000, /* Mosquitto has been seen to stand still for more than 20 s */
    PAYLOAD_MIN = 24,
    PAYLOAD_MAX = 65536,
};

struct load_options {
    uint64_t port, pid;
    uint64_t publishers, subscribers, qos, count, payload;
    uint64_t window;   /* messages of one publisher that are under way */
    uint64_t rate;     /* messages a second in all; 0: as fast as the window allows */
    uint64_t burst_ms; /* with a rate: what is due in this time is sent at once */
    uint64_t topics;   /* different topics in all; 0: one for each publisher */
    uint64_t wild;     /* wildcard subscriptions that match nothing */
    bool pairs; /* subscriber i gets publisher i's messages only; else every subscriber gets all */
    bool subscribe; /* idle connections: one subscription each */
};

struct load;
struct peer;
typedef void peer_packet_fn(struct load *l, struct peer *p, const struct mqtt_frame *f);

/* An MQTT connection. */
struct peer {
    int fd;
    unsigned index; /* among the publishers, or among the subscribers */
    bool ready;     /* CONNACK is here; a subscriber's SUBACK too */
    bool session_present;
    bool want_write;
    bool persistent; /* asks for a session that outlives the connection */
    char topic[32];  /* to publish on */
    char filter[64]; /* to subscribe to when connected; "" for nothing */
    struct sl_buf in, out;
    peer_packet_fn *on_packet; /* everything after CONNACK and SUBACK */
    uint16_t next_id;
    uint32_t unacked; /* QoS 1 and 2 */
    uint64_t sent, done;
};

/* Latencies in microseconds, as they came. */
struct latencies {
    uint32_t *us;
    size_t count, cap;
};

struct load {
    struct load_options o;
    int epoll_fd;
    struct peer *peers;
    size_t peer_count, ready;
    uint64_t published, delivered, acknowledged;
    uint64_t late;      /* published long after they were due */
    uint64_t wrong;     /* deliveries twice or out of order */
    uint32_t *expected; /* next number, by subscriber and publisher */
    struct latencies latencies;
    uint64_t *due; /* load_ends.c */
    uint8_t *read_buffer;
    uint8_t payload[PAYLOAD_MAX];
};

/* What every delivery carries. */
struct stamp {
    uint64_t due_ns; /* when it was to be published */
    uint32_t publisher, number;
};

SL_PRINTF(2, 3) _Noreturn void die(int status, const char *fmt, ...);

/* ---- load_proc.c ---- */
uint64_t now_ns(void);
uint64_t cpu_ns(uint64_t pid); /* CPU time of all threads of a process */
double own_cpu_s(void);
/* Resident memory in KiB; what is its own of it, not file pages that others may share. */
void memory_of(uint64_t pid, long *ret_rss, long *ret_private);
void latency_add(struct latencies *l, uint64_t ns);
void latency_sort(struct latencies *l);
double latency_at(const struct latencies *l, double share); /* after sorting */

/* ---- load_peer.c ---- */
void peers_open(struct load *l, size_t count); /* room for so many */
struct peer *peer_connect(struct load *l, unsigned index, const char *id, const char *filter,
                          bool persistent, peer_packet_fn *on_packet);
void peers_await(struct load *l); /* until all that were connected are ready */
void peer_close(struct load *l, struct peer *p, bool say_goodbye);
void peer_flush(struct load *l, struct peer *p);
void peer_turn(struct load *l,
               int64_t wait_ns); /* one turn of the loop; negative: no limit but a stall's */
/* Appends a PUBLISH with a stamp. */
void peer_publish(struct load *l, struct peer *p, const char *topic, bool retain, uint64_t due_ns);
/* Answers a delivery or a step of a handshake; true when one of our own publishes is done with it.
 */
bool peer_answer(struct peer *p, const struct mqtt_frame *f);
struct stamp peer_stamp(const struct mqtt_frame *f, struct mqtt_publish *ret);

/* ---- the kinds of load; each prints one JSON line ---- */
void run_flow(struct load *l);
void run_idle(struct load *l);
void run_retained(struct load *l);
void run_queue(struct load *l);
void run_drain(struct load *l);
void run_acks(struct load *l);
void run_arrivals(struct load *l);

#endif
