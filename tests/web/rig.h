/* rig.h - the real server on a free loopback port and loop, and a client of raw sockets in a
 * thread.
 *
 * A script runs in the client's thread and may only use what stands below; it must not call cmocka.
 * The main thread runs the loop, closes the server when the script returns (with the client's
 * connections still open), and ends the test: the first failed EXPECT, or handles left on the loop,
 * fail it. */
#ifndef TESTS_WEB_RIG_H
#define TESTS_WEB_RIG_H

#include "fake_view.h"

#include <pthread.h>
#include <semaphore.h>

#define RIG_SOCKETS 200

struct rig {
    uv_loop_t loop;
    struct fake fake;
    struct web_options options;
    struct web *web;
    struct web_stats stats; /* at the end */
    uv_async_t call, done;
    uv_timer_t tick;
    pthread_t thread;
    void (*script)(struct rig *rig);
    void (*on_loop)(struct rig *rig);
    sem_t called;
    void (*on_tick)(struct rig *rig); /* every 5 ms, on the loop; the fake clock moves as well */
    const void *arg;                  /* the test's own */
    uint16_t port;
    int sockets[RIG_SOCKETS];
    unsigned socket_count;
    unsigned closed;
    char failure[1024];
};

void rig_init(struct rig *rig, enum web_anonymous anonymous);
void rig_run(struct rig *rig, void (*script)(struct rig *rig));

/* ---- for scripts ---- */

/* The first failure is kept; the script goes home. */
#define EXPECT(rig, condition, ...)                                                                \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            rig_failed((rig), __FILE__, __LINE__, #condition, ": " __VA_ARGS__);                   \
            return;                                                                                \
        }                                                                                          \
    } while (0)
void rig_failed(struct rig *rig, const char *file, int line, const char *what, const char *fmt, ...)
    SL_PRINTF(5, 6);
void rig_call(struct rig *rig, void (*fn)(struct rig *rig)); /* on the loop, and waits for it */

int client_connect(struct rig *rig); /* -1: no; it is closed at the end, or by client_close() */
void client_close(struct rig *rig, int fd);
bool client_send(int fd, struct sl_slice bytes); /* false: the server closed */
bool client_say(int fd, const char *text);

struct reply {
    int status; /* 0: closed without an answer */
    struct sl_buf head, body;
};
/* Reads one answer. body_expected: false after HEAD. */
bool client_reply(int fd, bool body_expected, struct reply *r);
void reply_free(struct reply *r);
bool reply_has(const struct reply *r, const char *text); /* in the head, as it stands */
/* "METHOD PATH" with more header lines ("A: b\r\n") on a connection of its own. */
bool client_ask(struct rig *rig, const char *line, const char *headers, struct reply *r);
bool client_is_closed(
    int fd); /* waits up to five seconds for the end, throws away what comes before */

/* A WebSocket: the status of the answer (101). */
int ws_open(struct rig *rig, const char *path, const char *headers, int *ret_fd);
bool ws_send(int fd, uint8_t opcode, bool final, struct sl_slice bytes);
bool ws_say(int fd, const char *text);
/* The next frame; pings are answered and skipped. A status is any text that begins as one. */
bool ws_read(int fd, uint8_t *ret_opcode, struct sl_buf *out);
/* The next text that does not begin with {"type":"status". */
bool ws_read_other(int fd, struct sl_buf *out);
int ws_close_code(int fd); /* reads on until a close frame; 0 without one */

#endif
