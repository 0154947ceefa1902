/* cloud.h - what the tests against a real broker stand on: certificates, a mosquitto, a loop with
 * outbox and bridge. One test at a time. */
#ifndef TESTS_BRIDGE_CLOUD_H
#define TESTS_BRIDGE_CLOUD_H

#include "bridge/bridge.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cloud {
    char dir[64]; /* everything the test writes */
    int port;
    const char *server; /* the broker's certificate: "server" unless a test says otherwise */
    pid_t broker, watcher;
    uv_loop_t loop;
    struct outbox *outbox;
    struct bridge *bridge;
    bool bridge_closed, outbox_closed;
    struct bridge_status told; /* by on_state */
    unsigned times_told;
    unsigned safe, unsafe; /* on_safe results */
    char message[256];     /* the last from the cloud: "topic payload" */
    unsigned messages;
};

/* cmocka group setup and teardown: makes the certificates once. *state is not touched. */
int certificates_make(void **state);
int certificates_remove(void **state);
const char *certificate(const char *name); /* a path; static storage, valid for eight more calls */

void cloud_init(struct cloud *c); /* folder, port, loop, outbox */
void cloud_free(struct cloud *c); /* closes bridge and outbox, ends children, checks the loop */

bool cloud_have_mosquitto(void);
void cloud_start_broker(struct cloud *c);
/* A TLS server that speaks no MQTT, wants a client certificate, and selects this protocol; what it
 * sees is in the broker's log. */
void cloud_start_alpn_server(struct cloud *c, const char *alpn);
void cloud_stop_broker(struct cloud *c, int signal);
/* mosquitto_sub with a persistent session, writing "payload user-properties" lines to a file. */
void cloud_start_watcher(struct cloud *c);
/* Lines the watcher has written; the text of one of them (static storage). */
size_t cloud_watched(struct cloud *c);
const char *cloud_watched_line(struct cloud *c, size_t n);
void cloud_publish(struct cloud *c, const char *topic, const char *payload);
bool cloud_log_has(struct cloud *c, const char *text); /* the broker's log */

/* Options for the mosquitto with device-01's certificate; change them, then open. */
struct bridge_options cloud_options(struct cloud *c);
void cloud_open_bridge(struct cloud *c, const struct bridge_options *options);
void cloud_close_bridge(struct cloud *c, int64_t grace_ms);
void cloud_put(struct cloud *c, enum outbox_lane lane, const char *topic, const char *payload,
               uint8_t qos);
/* Runs the loop until done(c), at most ms; false when it never was. */
bool cloud_wait(struct cloud *c, bool (*done)(struct cloud *c), int ms);
bool cloud_is_online(struct cloud *c);
bool cloud_has_failed(struct cloud *c); /* offline with an error */
uint64_t cloud_waiting(struct cloud *c);

#endif
