/* cloud.c - a mosquitto with mutual TLS as the cloud, and a loop with outbox and bridge. */
#include "cloud.h"

#include "testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char certificates[64];

/* ---- files and processes ---- */

int certificates_make(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as main() does: libuv writes without MSG_NOSIGNAL */
    (void)snprintf(certificates, sizeof certificates, "/tmp/sluice-certs-XXXXXX");
    assert_non_null(mkdtemp(certificates));
    assert_int_equal(testing_shell("%s %s", SLUICE_MAKE_CERTS, certificates), 0);
    return 0;
}

int certificates_remove(void **state)
{
    (void)state;
    assert_int_equal(testing_shell("rm -rf %s", certificates), 0);
    return 0;
}

const char *certificate(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", certificates, name);
    return path;
}

static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    (void)close(fd); /* the port is free again */
    return ntohs(a.sin_port);
}

/* Standard output and error go to the file in the test's folder. */
static pid_t spawn(struct cloud *c, const char *out, const char *fmt, ...) SL_PRINTF(3, 4);
static pid_t spawn(struct cloud *c, const char *out, const char *fmt, ...)
{
    char command[1024], path[96];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof command);
    (void)snprintf(path, sizeof path, "%s/%s", c->dir, out);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL); /* returns only when it fails */
    _exit(127);
}

static void end_process(pid_t *pid, int sig)
{
    if (*pid <= 0)
        return;
    (void)kill(*pid, sig);     /* it may have ended already: */
    (void)kill(*pid, SIGCONT); /* and may have been stopped */
    (void)waitpid(*pid, NULL, 0);
    *pid = 0;
}

static bool port_answers(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    bool answers = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    (void)close(fd);
    return answers;
}

bool cloud_have_mosquitto(void)
{
    return system("PATH=$PATH:/usr/sbin command -v mosquitto mosquitto_sub mosquitto_pub "
                  ">/dev/null 2>&1") == 0;
}

static const char *server_file(const struct cloud *c, const char *kind)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s", c->server ? c->server : "server", kind);
    return certificate(name);
}

static void write_config(struct cloud *c, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f,
                  "user root\nlistener %d 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\n"
                  "require_certificate true\nallow_anonymous true\npersistence true\n"
                  "persistence_location %s/\nlog_type all\nlog_dest stderr\n"
                  "max_queued_messages 100000\n",
                  c->port, certificate("ca.crt"), server_file(c, "crt"), server_file(c, "key"),
                  c->dir);
    assert_int_equal(fclose(f), 0);
}

void cloud_start_broker(struct cloud *c)
{
    char config[96];
    (void)snprintf(config, sizeof config, "%s/mosquitto.conf", c->dir);
    write_config(c, config);
    c->broker = spawn(c, "mosquitto.log", "PATH=$PATH:/usr/sbin; exec mosquitto -c %s", config);
    for (int i = 0; i < 500; i++) {
        if (port_answers(c->port))
            return;
        (void)usleep(10000);
    }
    fail_msg("mosquitto does not listen; see %s", c->dir);
}

void cloud_start_alpn_server(struct cloud *c, const char *alpn)
{
    c->broker = spawn(
        c, "mosquitto.log",
        "exec stdbuf -o0 openssl s_server -www -accept 127.0.0.1:%d -cert %s -key %s -CAfile %s "
        "-Verify 1 -alpn %s",
        c->port, certificate("server.crt"), certificate("server.key"), certificate("ca.crt"), alpn);
    for (int i = 0; i < 500 && !port_answers(c->port); i++)
        (void)usleep(10000);
}

void cloud_stop_broker(struct cloud *c, int sig)
{
    end_process(&c->broker, sig);
}

void cloud_start_watcher(struct cloud *c)
{
    c->watcher =
        spawn(c, "watched",
              "exec mosquitto_sub -h 127.0.0.1 -p %d --cafile %s --cert %s --key %s -V 5 "
              "-c -x 3600 -i watcher -q 1 -t 'up/#' -F '%%p %%P'",
              c->port, certificate("ca.crt"), certificate("device.crt"), certificate("device.key"));
    for (int i = 0; i < 500 && !cloud_log_has(c, "Sending SUBACK to watcher"); i++)
        (void)usleep(10000);
    assert_true(cloud_log_has(c, "Sending SUBACK to watcher"));
}

static char *read_file(struct cloud *c, const char *name)
{
    static char text[4 << 20];
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", c->dir, name);
    text[0] = '\0';
    FILE *f = fopen(path, "r");
    if (!f)
        return text;
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f); /* read only */
    return text;
}

size_t cloud_watched(struct cloud *c)
{
    size_t lines = 0;
    for (const char *at = read_file(c, "watched"); (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

const char *cloud_watched_line(struct cloud *c, size_t n)
{
    char *at = read_file(c, "watched");
    for (; n > 0 && at; n--) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    assert_non_null(at);
    at[strcspn(at, "\n")] = '\0';
    return at;
}

bool cloud_log_has(struct cloud *c, const char *text)
{
    return strstr(read_file(c, "mosquitto.log"), text) != NULL;
}

void cloud_publish(struct cloud *c, const char *topic, const char *payload)
{
    assert_int_equal(
        testing_shell(
            "mosquitto_pub -h 127.0.0.1 -p %d --cafile %s --cert %s --key %s -q 1 -t '%s' "
            "-m '%s'",
            c->port, certificate("ca.crt"), certificate("device.crt"), certificate("device.key"),
            topic, payload),
        0);
}

/* ---- outbox and bridge ---- */

static void on_state(void *ctx, const struct bridge_status *status)
{
    struct cloud *c = ctx;
    c->told = *status;
    c->times_told++;
}

static enum bridge_take on_message(void *ctx, struct sl_msg *m, uint64_t token)
{
    struct cloud *c = ctx;
    (void)snprintf(c->message, sizeof c->message, "%.*s %.*s", SL_FMT(sl_msg_topic(m)),
                   SL_FMT(sl_msg_payload(m)));
    c->messages++;
    (void)token;
    return BRIDGE_TAKEN;
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct cloud *c = ctx;
    if (result == SL_OK)
        c->safe++;
    else
        c->unsafe++;
}

void cloud_init(struct cloud *c)
{
    char path[96];
    struct sl_err err = { 0 };
    memset(c, 0, sizeof *c);
    (void)snprintf(c->dir, sizeof c->dir, "/tmp/sluice-cloud-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    c->port = free_port();
    assert_int_equal(uv_loop_init(&c->loop), 0);
    (void)snprintf(path, sizeof path, "%s/queue.db", c->dir);
    struct outbox_options options = { .loop = &c->loop,
                                      .clock = &sl_clock_system,
                                      .path = path,
                                      .max_bytes = 100 << 20,
                                      .max_age_ms = 86400000,
                                      .spill_after_ms = 200,
                                      .commit_interval_ms = 20,
                                      .sync = OUTBOX_SYNC_OFF };
    if (outbox_open(&c->outbox, &options, &err) != SL_OK)
        fail_msg("outbox: %s", err.text);
}

struct bridge_options cloud_options(struct cloud *c)
{
    return (struct bridge_options){ .loop = &c->loop,
                                    .clock = &sl_clock_system,
                                    .outbox = c->outbox,
                                    .gateway_id = "g",
                                    .host = "localhost",
                                    .port = (uint16_t)c->port,
                                    .client_id = "gw",
                                    .ca_path = certificate("ca.crt"),
                                    .cert_path = certificate("device.crt"),
                                    .key_path = certificate("device.key"),
                                    .protocol_version = 5,
                                    .keep_alive_ms = 60000,
                                    .connect_timeout_ms = 5000,
                                    .reconnect_min_ms = 50,
                                    .reconnect_max_ms = 1000,
                                    .in_flight_max = 20,
                                    .payload_max = 128000 };
}

void cloud_open_bridge(struct cloud *c, const struct bridge_options *options)
{
    struct sl_err err = { 0 };
    struct bridge_callbacks callbacks = { .ctx = c,
                                          .on_state = on_state,
                                          .on_message = on_message };
    if (bridge_open(&c->bridge, options, &callbacks, &err) != SL_OK)
        fail_msg("bridge: %s", err.text);
}

static void on_bridge_closed(void *ctx)
{
    struct cloud *c = ctx;
    c->bridge_closed = true;
    c->bridge = NULL;
}

static void on_outbox_closed(void *ctx)
{
    ((struct cloud *)ctx)->outbox_closed = true;
}

static bool bridge_is_closed(struct cloud *c)
{
    return c->bridge_closed;
}

static bool outbox_is_closed(struct cloud *c)
{
    return c->outbox_closed;
}

void cloud_close_bridge(struct cloud *c, int64_t grace_ms)
{
    c->bridge_closed = false;
    bridge_close(c->bridge, grace_ms, on_bridge_closed, c);
    assert_true(cloud_wait(c, bridge_is_closed, (int)grace_ms + 2000));
}

void cloud_free(struct cloud *c)
{
    if (c->bridge)
        cloud_close_bridge(c, 0);
    outbox_close(c->outbox, on_outbox_closed, c);
    assert_true(cloud_wait(c, outbox_is_closed, 5000));
    (void)uv_run(&c->loop, UV_RUN_DEFAULT); /* look-ups that were left behind */
    assert_int_equal(uv_loop_close(&c->loop), 0);
    end_process(&c->watcher, SIGTERM);
    end_process(&c->broker, SIGKILL);
    assert_int_equal(testing_shell("rm -rf %s", c->dir), 0);
}

void cloud_put(struct cloud *c, enum outbox_lane lane, const char *topic, const char *payload,
               uint8_t qos)
{
    struct sl_msg_parts parts = { .topic = sl_str(topic),
                                  .payload = sl_str(payload),
                                  .qos = qos,
                                  .expiry_s = SL_MSG_NO_EXPIRY,
                                  .mono_ms = sl_mono_ms(&sl_clock_system),
                                  .wall_ms = sl_wall_ms(&sl_clock_system) };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_non_null(m);
    assert_true(outbox_put(c->outbox, lane, m, on_safe, c));
    sl_msg_unref(m);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* wakes uv_run() up, nothing else */
}

bool cloud_wait(struct cloud *c, bool (*done)(struct cloud *c), int ms)
{
    uv_timer_t timer;
    int64_t end = sl_mono_ms(&sl_clock_system) + ms;
    assert_int_equal(uv_timer_init(&c->loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_tick, 10, 10), 0);
    bool is_done;
    while (!(is_done = done(c)) && sl_mono_ms(&sl_clock_system) < end)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&c->loop, UV_RUN_NOWAIT); /* lets the timer's close finish */
    return is_done;
}

bool cloud_is_online(struct cloud *c)
{
    return strcmp(bridge_state_word(c->told.state), "online") == 0;
}

bool cloud_has_failed(struct cloud *c)
{
    return c->told.state == BRIDGE_BACKOFF && c->told.error[0] != '\0';
}

uint64_t cloud_waiting(struct cloud *c)
{
    struct outbox_stats stats;
    outbox_get_stats(c->outbox, &stats);
    uint64_t waiting = 0;
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        waiting += stats.lane[lane].waiting;
    return waiting;
}
