/* test_listeners.c - listeners across reloads: sockets that stay, that move, that cannot be had;
 * and all as before when one cannot. Real sockets on loopback. */
#include "gateway_rig.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rows.h"

/* ---- ports ---- */

static int bound(const char *ip, uint16_t port, bool listening)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

/* One that was free a moment ago, on every address: connections of others count as well. */
static uint16_t free_port(void)
{
    int fd = bound("0.0.0.0", 0, false);
    uint16_t port = port_of(fd);
    (void)close(fd);
    return port;
}

static int connected(const char *ip, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool answers(const char *ip, uint16_t port)
{
    int fd = connected(ip, port);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

/* ---- reloads ---- */

struct scene {
    struct gateway_rig r;
    uint16_t a, b, taken;
    int holder; /* listens on taken */
};

static void scene_open(struct scene *s)
{
    gateway_rig_open(&s->r, "");
    s->a = free_port();
    s->b = free_port();
    s->holder = bound("127.0.0.1", 0, true);
    s->taken = port_of(s->holder);
}

static void scene_close(struct scene *s)
{
    (void)close(s->holder);
    gateway_rig_close(&s->r);
}

/* list: "BIND:PORT BIND:PORT" with the letters a, b, t for the ports, or "/NAME" for a Unix socket.
 */
static enum sl_code reload(struct scene *s, const char *list, struct sl_err *err)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    struct sl_buf text = { 0 };
    char ip[32], port;
    int used;
    sl_buf_printf(&text, "{\"access\":{\"anonymous\":true},\"listeners\":[");
    for (const char *at = list; sscanf(at, " %31[^: ]:%c%n", ip, &port, &used) == 2; at += used)
        sl_buf_printf(&text, "{\"bind\":\"%s\",\"port\":%u},", ip,
                      port == 'a'   ? s->a
                      : port == 'b' ? s->b
                                    : s->taken);
    if (strchr(list, '/'))
        sl_buf_printf(&text, "{\"unix\":\"%s%s\"}", s->r.folder, strchr(list, '/'));
    sl_buf_put_str(&text, "]}");
    if (config_parse(sl_buf_slice(&text), "test", "/", &c, &problems) != SL_OK)
        fail_msg("%s", problems.list[0].text);
    enum sl_code rc = listeners_reload(s->r.g->listeners, c, err);
    config_problems_free(&problems);
    config_free(c);
    sl_buf_free(&text);
    return rc;
}

static const struct reload_case {
    const char *name, *before, *after;
    bool fine;
    bool a, b; /* whether 127.0.0.1 answers on it in the end */
    size_t count;
} cases[] = {
    { "nothing changes", "127.0.0.1:a", "127.0.0.1:a", true, true, false, 1 },
    { "one more", "127.0.0.1:a", "127.0.0.1:a 127.0.0.1:b", true, true, true, 2 },
    { "one less", "127.0.0.1:a 127.0.0.1:b", "127.0.0.1:b", true, false, true, 1 },
    { "another order", "127.0.0.1:a 127.0.0.1:b", "127.0.0.1:b 127.0.0.1:a", true, true, true, 2 },
    { "none any more", "127.0.0.1:a", "", true, false, false, 0 },
    { "every address instead of one", "127.0.0.1:a", "0.0.0.0:a", true, true, false, 1 },
    { "one address instead of every one", "0.0.0.0:a", "127.0.0.1:a", true, true, false, 1 },
    { "a taken port", "127.0.0.1:a", "127.0.0.1:a 127.0.0.1:t", false, true, false, 1 },
    { "a taken port after a free one", "127.0.0.1:a", "127.0.0.1:b 127.0.0.1:t", false, true, false,
      1 },
    { "a taken port after one that was lent", "127.0.0.1:a", "0.0.0.0:a 127.0.0.1:t", false, true,
      false, 1 },
    { "an address that is not ours", "127.0.0.1:a", "192.0.2.1:a", false, true, false, 1 },
};

static void reloads(void **state)
{
    const struct reload_case *c = *state;
    struct scene s;
    struct sl_err err = { 0 };
    scene_open(&s);
    assert_int_equal(reload(&s, c->before, &err), SL_OK);
    enum sl_code rc = reload(&s, c->after, &err);
    if ((rc == SL_OK) != c->fine)
        fail_msg("%s", c->fine ? err.text : "it should have failed");
    if (!c->fine)
        assert_non_null(strstr(err.text, "cannot listen on"));
    assert_int_equal(answers("127.0.0.1", s.a), c->a);
    assert_int_equal(answers("127.0.0.1", s.b), c->b);
    assert_int_equal(listeners_count(s.r.g->listeners), c->count);
    scene_close(&s);
}

/* A connection that waits in the backlog of a socket that stays is still there afterwards. */
static void a_socket_that_stays_is_not_opened_again(void **state)
{
    (void)state;
    struct scene s;
    char byte;
    scene_open(&s);
    assert_int_equal(reload(&s, "127.0.0.1:a", NULL), SL_OK);
    int fd = connected("127.0.0.1", s.a);
    assert_true(fd >= 0);
    assert_int_equal(reload(&s, "127.0.0.1:b 127.0.0.1:a", NULL), SL_OK);
    for (int i = 0; i < 5; i++)
        (void)uv_run(&s.r.g->loop, UV_RUN_NOWAIT);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1); /* open, and nothing said */
    (void)close(fd);
    scene_close(&s);
}

static void assert_event(const struct events *e, uint64_t back, const char *begins)
{
    const struct event *event = events_get(e, e->next - back);
    assert_non_null(event);
    assert_int_equal(strncmp(event->text, begins, strlen(begins)), 0);
}

/* The log says what has opened and closed, and nothing of what stays. */
static void the_log_says_what_changed(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s);
    events_start(&s.r.g->events);
    assert_int_equal(reload(&s, "127.0.0.1:a", NULL), SL_OK);
    const struct events *e = &s.r.g->events;
    assert_event(e, 1, "listening: mqtt on 127.0.0.1:");
    uint64_t before = e->next;
    assert_int_equal(reload(&s, "127.0.0.1:a", NULL), SL_OK);
    assert_int_equal(e->next, before);
    assert_int_equal(reload(&s, "127.0.0.1:b", NULL), SL_OK);
    assert_int_equal(e->next, before + 2);
    assert_event(e, 2, "listening: mqtt on 127.0.0.1:");
    assert_event(e, 1, "no longer listening on 127.0.0.1:");
    struct sl_err err;
    before = e->next;
    assert_int_equal(reload(&s, "127.0.0.1:a 127.0.0.1:t", &err), SL_IO);
    assert_int_equal(e->next, before);
    events_stop();
    scene_close(&s);
}

static void unix_sockets(void **state)
{
    (void)state;
    struct scene s;
    char path[128];
    scene_open(&s);
    assert_int_equal(reload(&s, "127.0.0.1:a /one.sock", NULL), SL_OK);
    (void)snprintf(path, sizeof path, "%s/one.sock", s.r.folder);
    assert_int_equal(access(path, F_OK), 0);
    struct listener_view v;
    listeners_get(s.r.g->listeners, 1, &v);
    assert_string_equal(v.address, path);
    assert_int_equal(reload(&s, "/one.sock", NULL), SL_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(reload(&s, "127.0.0.1:t /two.sock", NULL), SL_IO);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(reload(&s, "", NULL), SL_OK);
    assert_int_equal(access(path, F_OK), -1);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_socket_that_stays_is_not_opened_again),
        cmocka_unit_test(the_log_says_what_changed),
        cmocka_unit_test(unix_sockets),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, cases, reloads);
    return _cmocka_run_group_tests("listeners", tests, n, NULL, NULL);
}
