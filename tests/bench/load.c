/* load.c - a load generator for MQTT brokers: publishers and subscribers on one epoll loop.
 *
 * Closed loop: a publisher has at most --window messages without acknowledgement (QoS 1, 2), and no
 * more than --ahead messages are under way in all, so that no broker has a reason to drop. Prints
 * one JSON line: deliveries, seconds, the broker's CPU time per delivery (from /proc, all its
 * threads), the generator's own share of a core, latencies.
 *
 *   load --port P --pid BROKER --publishers N --subscribers N --qos Q --count N [--pairs] [--rate
 * N] [--payload N]
 *        [--window N] [--ahead N] [--idle N]
 *
 * --pairs: subscriber i gets publisher i's messages only; else every subscriber gets all. --rate:
 * messages a second in all, evenly spread; 0 for as fast as it goes. --idle N: only open N
 * connections and print the broker's memory. */
#include "base/buf.h"
#include "base/text.h"
#include "broker/mqtt.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, READ_SIZE = 256 * 1024, LATENCIES_MAX = 4 * 1024 * 1024, TIMEOUT_S = 120 };

struct conn {
    int fd;
    bool subscriber, ready, want_write;
    unsigned index;
    struct sl_buf in, out;
    uint32_t unacked;
    uint16_t next_id;
    uint64_t sent;
};

static struct {
    uint64_t port, pid, publishers, subscribers, qos, count, rate, payload, window, ahead, idle;
    bool pairs;
} o = { .port = 1883,
        .publishers = 100,
        .subscribers = 1,
        .count = 100000,
        .payload = 120,
        .window = 20,
        .ahead = 4000 };

static struct conn *conns;
static size_t conn_count, ready_count;
static int epoll_fd;
static uint64_t published, delivered, wanted, acknowledged;
static uint32_t *latencies; /* microseconds */
static size_t latency_count;
static uint8_t read_buffer[READ_SIZE];

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
        die("clock");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* CPU time of all threads of a process, in ns. */
static uint64_t cpu_ns(uint64_t pid)
{
    char path[64];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%llu/task", (unsigned long long)pid);
    DIR *dir = opendir(path);
    if (!dir)
        die(path);
    for (struct dirent *e; (e = readdir(dir));) {
        char file[400];
        unsigned long long ns = 0;
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s/schedstat", path, e->d_name);
        FILE *f = fopen(file, "r");
        if (!f)
            continue; /* a thread that has just ended */
        if (fscanf(f, "%llu", &ns) == 1)
            total += ns;
        fclose(f);
    }
    closedir(dir);
    return total;
}

/* Resident memory in KiB; private is what is its own (not file pages shared with others). */
static void memory_of(uint64_t pid, long *ret_rss, long *ret_private)
{
    char path[64], line[256];
    long kb;
    *ret_rss = *ret_private = 0;
    snprintf(path, sizeof path, "/proc/%llu/smaps_rollup", (unsigned long long)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        die(path);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "Rss: %ld", &kb) == 1)
            *ret_rss = kb;
        if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kb) == 1)
            *ret_private += kb;
    }
    fclose(f);
}

static void watch(struct conn *c, bool write_too)
{
    struct epoll_event ev = { .events = EPOLLIN | (write_too ? (unsigned)EPOLLOUT : 0u),
                              .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        die("epoll_ctl");
    c->want_write = write_too;
}

static void flush(struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = write(c->fd, c->out.ptr, c->out.len);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            die("write");
        sl_buf_consume(&c->out, (size_t)n);
    }
    bool left = c->out.len > 0;
    if (left != c->want_write)
        watch(c, left);
}

static void topic_of(unsigned publisher, char *buf, size_t size)
{
    snprintf(buf, size, "bench/sensor/%u", publisher);
}

static void publish_one(struct conn *c, uint64_t stamp)
{
    static uint8_t payload[65536];
    char topic[64];
    memcpy(payload, &stamp, sizeof stamp);
    topic_of(c->index, topic, sizeof topic);
    struct mqtt_publish p = { .qos = (uint8_t)o.qos,
                              .topic = sl_str(topic),
                              .payload = { payload, o.payload } };
    if (o.qos > 0) {
        c->next_id = c->next_id == 65535 ? 1 : (uint16_t)(c->next_id + 1);
        p.packet_id = c->next_id;
        c->unacked++;
    }
    mqtt_encode_publish(&c->out, MQTT_V311, &p);
    c->sent++;
    published++;
}

static uint64_t fan_out(void)
{
    return o.pairs ? 1 : o.subscribers;
}

/* How many messages are under way, seen from the side that is behind. */
static uint64_t under_way(void)
{
    uint64_t done = fan_out() > 0 ? delivered / fan_out() : acknowledged;
    return published > done ? published - done : 0;
}

static void fill(struct conn *c)
{
    if (c->subscriber || !c->ready || o.rate > 0)
        return;
    uint64_t share = o.count / o.publishers;
    /* A few at a time, so that publishers take turns. */
    for (int burst = 0; burst < 20 && c->sent < share && under_way() < o.ahead; burst++) {
        if (o.qos > 0 && c->unacked >= o.window)
            break;
        publish_one(c, now_ns());
    }
    flush(c);
}

static void on_packet(struct conn *c, const struct mqtt_frame *f)
{
    struct mqtt_publish p;
    struct mqtt_ack a = { 0 };
    switch ((enum mqtt_type)f->type) {
    case MQTT_CONNACK: {
        if (f->body.ptr[1] != 0)
            die("connection refused by the broker");
        if (!c->subscriber || o.idle) {
            c->ready = true;
            ready_count++;
            break;
        }
        char topic[64] = "bench/#";
        if (o.pairs)
            topic_of(c->index, topic, sizeof topic);
        struct mqtt_sub_entry e = { .filter = sl_str(topic), .qos = (uint8_t)o.qos };
        mqtt_encode_subscribe(&c->out, MQTT_V311, 1, NULL, &e, 1);
        break;
    }
    case MQTT_SUBACK:
        c->ready = true;
        ready_count++;
        break;
    case MQTT_PUBLISH:
        if (mqtt_decode_publish(f, MQTT_V311, &p, NULL) != 0)
            die("bad PUBLISH");
        delivered++;
        uint64_t stamp;
        memcpy(&stamp, p.payload.ptr, sizeof stamp);
        if (latency_count < LATENCIES_MAX)
            latencies[latency_count++] = (uint32_t)((now_ns() - stamp) / 1000);
        a.packet_id = p.packet_id;
        if (p.qos > 0)
            mqtt_encode_ack(&c->out, MQTT_V311, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, &a);
        break;
    case MQTT_PUBREL:
    case MQTT_PUBREC:
        if (mqtt_decode_ack(f, MQTT_V311, &a, NULL) != 0)
            die("bad acknowledgement");
        mqtt_encode_ack(&c->out, MQTT_V311, f->type == MQTT_PUBREC ? MQTT_PUBREL : MQTT_PUBCOMP,
                        &a);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBCOMP:
        c->unacked--;
        acknowledged++;
        break;
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH: die("unexpected packet");
    }
}

static void on_readable(struct conn *c)
{
    ssize_t n = read(c->fd, read_buffer, sizeof read_buffer);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the broker closed a connection");
    struct sl_slice bytes = { read_buffer, (size_t)n };
    if (c->in.len > 0) {
        sl_buf_put_slice(&c->in, bytes);
        bytes = sl_buf_slice(&c->in);
    }
    struct sl_cursor in = sl_cursor(bytes);
    struct mqtt_frame f;
    while (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) == MQTT_FRAME_OK)
        on_packet(c, &f);
    if (c->in.len > 0)
        sl_buf_consume(&c->in, c->in.len - in.left);
    else
        sl_buf_put_slice(&c->in, sl_cursor_rest(&in));
    flush(c);
}

static void connect_one(struct conn *c, bool subscriber, unsigned index)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)o.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    char id[32];
    *c = (struct conn){ .subscriber = subscriber, .index = index };
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("socket options");
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        die("epoll_ctl");
    snprintf(id, sizeof id, "%s-%u", subscriber ? "sub" : "pub", index);
    struct mqtt_connect p = {
        .version = MQTT_V311, .clean_start = true, .keep_alive_s = 300, .client_id = sl_str(id)
    };
    mqtt_encode_connect(&c->out, &p);
    flush(c);
}

/* One turn of the loop; at most wait_ms. */
static void turn(int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll_fd, events, EVENTS, wait_ms);
    if (n < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            flush(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c);
    }
}

static void connect_all(void)
{
    uint64_t deadline = now_ns() + (uint64_t)TIMEOUT_S * 1000000000u;
    for (size_t i = 0; i < conn_count; i++) {
        connect_one(&conns[i], i < o.subscribers,
                    (unsigned)(i < o.subscribers ? i : i - o.subscribers));
        turn(0);
    }
    while (ready_count < conn_count) {
        turn(100);
        if (now_ns() > deadline) {
            errno = ETIMEDOUT;
            die("connecting");
        }
    }
}

static void pace(uint64_t began)
{
    uint64_t due = (now_ns() - began) * o.rate / 1000000000u;
    if (due > o.count)
        due = o.count;
    while (published < due) {
        struct conn *c = &conns[o.subscribers + published % o.publishers];
        publish_one(c, now_ns());
        flush(c);
    }
}

static void run(void)
{
    uint64_t began = now_ns(), deadline = began + (uint64_t)TIMEOUT_S * 1000000000u;
    while (delivered < wanted || (o.qos > 0 && acknowledged < o.count)) {
        for (size_t i = o.subscribers; i < conn_count; i++)
            fill(&conns[i]);
        if (o.rate > 0)
            pace(began);
        turn(o.rate > 0 ? 1 : 20);
        if (now_ns() > deadline) {
            fprintf(stderr, "load: stalled at %llu of %llu deliveries\n",
                    (unsigned long long)delivered, (unsigned long long)wanted);
            exit(2);
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double p)
{
    return latency_count ? latencies[(size_t)(p * (double)(latency_count - 1))] : 0;
}

static double own_cpu_s(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        die("getrusage");
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report_memory(void)
{
    long rss, own;
    memory_of(o.pid, &rss, &own);
    printf("{\"rss_kib\":%ld,\"private_kib\":%ld}\n", rss, own);
}

static void measure(void)
{
    latencies = malloc(LATENCIES_MAX * sizeof *latencies);
    if (!latencies)
        die("memory");
    o.count -= o.count % o.publishers;
    wanted = o.count * fan_out();
    uint64_t cpu = cpu_ns(o.pid), began = now_ns();
    double own = own_cpu_s();
    run();
    double seconds = (double)(now_ns() - began) / 1e9;
    double unit = (double)(wanted ? wanted : o.count);
    qsort(latencies, latency_count, sizeof *latencies, compare);
    printf("{\"deliveries\":%.0f,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us\":%.3f,\"own_"
           "share\":%.2f,"
           "\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f}\n",
           unit, seconds, unit / seconds, (double)(cpu_ns(o.pid) - cpu) / 1e3 / unit,
           (own_cpu_s() - own) / seconds, percentile(0.5), percentile(0.99), percentile(0.999));
}

static void parse_options(int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {
        { "--port", &o.port },
        { "--pid", &o.pid },
        { "--publishers", &o.publishers },
        { "--subscribers", &o.subscribers },
        { "--qos", &o.qos },
        { "--count", &o.count },
        { "--rate", &o.rate },
        { "--payload", &o.payload },
        { "--window", &o.window },
        { "--ahead", &o.ahead },
        { "--idle", &o.idle },
    };
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--pairs") == 0;
        o.pairs |= known;
        for (size_t k = 0; !known && k < SL_ARRAY_LEN(numbers); k++)
            if (strcmp(argv[i], numbers[k].name) == 0 && i + 1 < argc)
                known = sl_u64_parse(sl_str(argv[++i]), numbers[k].value);
        if (!known) {
            fprintf(stderr, "load: bad option %s\n", argv[i]);
            exit(2);
        }
    }
    if (o.payload < 8 || o.payload > 65536 || o.publishers == 0 || o.pid == 0) {
        fprintf(stderr, "load: --pid is needed; --payload is 8..65536\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    if (o.idle) {
        o.subscribers = 0;
        o.publishers = o.idle;
    }
    conn_count = o.subscribers + o.publishers;
    conns = calloc(conn_count, sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        die("start");
    struct rlimit files = { conn_count + 64, conn_count + 64 };
    (void)setrlimit(RLIMIT_NOFILE, &files); /* connect says so when it was not enough */
    connect_all();
    if (o.idle)
        report_memory();
    else
        measure();
    return 0;
}
