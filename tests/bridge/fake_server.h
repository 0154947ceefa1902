/* fake_server.h - a server on a loopback port that misbehaves on request: plain TCP, one client at
 * a time, on the test's own loop. */
#ifndef TESTS_BRIDGE_FAKE_SERVER_H
#define TESTS_BRIDGE_FAKE_SERVER_H

#include "base/buf.h"

#include <uv.h>

enum fake_mode {
    FAKE_ACCEPT,       /* CONNACK 0, and PUBACKs */
    FAKE_ONLY_V4,      /* refuses MQTT 5 as a 3.1.1 server does */
    FAKE_HANG_UP,      /* closes after CONNECT */
    FAKE_HANG_UP_ON_5, /* closes after CONNECT of MQTT 5, else as FAKE_ACCEPT */
    FAKE_SILENT,       /* reads, says nothing */
    FAKE_NO_PUBACK,    /* CONNACK 0, then no acknowledgement */
    FAKE_REFUSE,       /* CONNACK not authorized */
    FAKE_STOP_READING, /* CONNACK 0, then reads no more until fake_resume() */
    FAKE_KICK,         /* CONNACK 0, then closes */
    FAKE_TAKE_OVER,    /* CONNACK 0, then DISCONNECT: session taken over */
};

#define FAKE_CONNECTS_MAX 16

struct fake_server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    struct fake_client *client; /* the latest */
    enum fake_mode mode;
    int port;
    struct {
        uint8_t version;
        uint64_t at_ms;
    } connects[FAKE_CONNECTS_MAX];
    unsigned connect_count, publish_count;
};

void fake_start(struct fake_server *s, uv_loop_t *loop, enum fake_mode mode);
void fake_cut(struct fake_server *s); /* ends the connection there is */
void fake_resume(struct fake_server *s);
void fake_stop(struct fake_server *s); /* closes; the loop must run once more */

#endif
