/* test_web_live.c - the live WebSocket: the status as it changes, watches, bounds, and who is let
 * in. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LIVE "/api/v1/live"

static bool holds(struct sl_buf *b, const char *text)
{
    return strstr(sl_buf_cstr(b), text) != NULL;
}

/* ---- status ---- */

static void script_status(struct rig *rig)
{
    struct sl_buf text = { 0 };
    uint8_t opcode;
    int fd;
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    uint64_t before = uv_hrtime();
    for (int i = 0; i < 4; i++) {
        EXPECT(rig, ws_read(fd, &opcode, &text) && opcode == 1, "status %d", i);
        EXPECT(rig,
               holds(&text, "{\"type\":\"status\",\"status\":{\"gateway\":{\"id\":\"barn-01\""));
        EXPECT(rig, text.ptr[text.len - 1] == '}' && text.ptr[text.len - 2] == '}');
    }
    EXPECT(rig, uv_hrtime() - before < 3300000000u, "at least once a second");
    sl_buf_free(&text);
}

static void status_every_second(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_status);
    assert_int_equal(rig.stats.live_clients, 1);
}

/* ---- who is let in ---- */

static void script_door(struct rig *rig)
{
    static const struct {
        const char *path, *headers;
        int want;
    } cases[] = {
        { LIVE, NULL, 101 },
        { LIVE, "Sec-WebSocket-Protocol: sluice.live\r\n", 101 },
        { LIVE, "Origin: http://127.0.0.1:PORT\r\n", 101 },
        { LIVE, "Origin: https://127.0.0.1:PORT\r\n", 101 },
        { LIVE, "Origin: http://evil.example\r\n", 403 },
        { LIVE, "Origin: http://127.0.0.1\r\n", 403 },
        { LIVE, "Origin: http://127.0.0.1:PORT.evil.example\r\n", 403 },
        { LIVE, "Origin: null\r\n", 403 },
        { LIVE, "Authorization: Basic YWRhOng=\r\n", 401 },
        { "/api/v1/status", NULL, 404 },
        { "/", NULL, 404 },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        char headers[200] = "";
        const char *port = cases[i].headers ? strstr(cases[i].headers, "PORT") : NULL;
        if (port)
            (void)snprintf(headers, sizeof headers, "%.*s%u%s", (int)(port - cases[i].headers),
                           cases[i].headers, rig->port, port + 4);
        int fd, status = ws_open(rig, cases[i].path, port ? headers : cases[i].headers, &fd);
        client_close(rig, fd);
        EXPECT(rig, status == cases[i].want, "row %zu: %d", i, status);
    }
}

static void who_is_let_in(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_door);
}

static const char *const ada = "Authorization: Basic YWRhOmxvdmU6bGFjZQ==\r\n";

static void expect_ada(struct rig *rig)
{
    if (strcmp(rig->fake.watches[0].user, "ada") != 0 ||
        strcmp(rig->fake.watches[0].filter, "a/#") != 0)
        rig_failed(rig, __FILE__, __LINE__, "ada watches a/#", "%s", rig->fake.watches[0].user);
}

static void script_named(struct rig *rig)
{
    struct sl_buf text = { 0 };
    int fd;
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 401);
    EXPECT(rig, ws_open(rig, LIVE, ada, &fd) == 101);
    EXPECT(rig, ws_say(fd, "{\"watch\":[\"a/#\"]}"));
    EXPECT(rig, ws_read_other(fd, &text) &&
                    holds(&text, "{\"type\":\"watching\",\"filters\":[\"a/#\"]"));
    rig_call(rig, expect_ada);
    sl_buf_free(&text);
}

static void a_viewer_has_a_name(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig_run(&rig, script_named);
    assert_int_equal(rig.fake.watches_made, 1);
    assert_int_equal(rig.fake.watches_ended, 1);
}

/* ---- watching ---- */

static void publish_few(struct rig *rig)
{
    fake_publish(&rig->fake, "site/kitchen/air", sl_str("{\"t\":21}"), false);
    fake_publish(&rig->fake, "other/topic", sl_str("nobody watches"), false);
    fake_publish(&rig->fake, "site/raw", sl_bytes("\xff\x00\x01", 3), true);
}

static void script_watch(struct rig *rig)
{
    struct sl_buf text = { 0 };
    int fd;
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    /* Two filters that overlap: each message comes once. And one that is refused. */
    EXPECT(rig, ws_say(fd, "{\"watch\":[\"site/#\",\"site/+/air\",\"private/#\"]}"));
    EXPECT(rig, ws_read_other(fd, &text));
    EXPECT(rig,
           holds(&text, "{\"type\":\"watching\",\"filters\":[\"site/#\",\"site/+/air\"],"
                        "\"refused\":[\"private/#\"]}"),
           "%s", sl_buf_cstr(&text));
    rig_call(rig, publish_few);
    EXPECT(rig, ws_read_other(fd, &text));
    EXPECT(
        rig,
        holds(&text,
              "{\"type\":\"message\",\"topic\":\"site/kitchen/air\",\"payload\":\"{\\\"t\\\":21}\","
              "\"ts\":17640000"),
        "%s", sl_buf_cstr(&text));
    EXPECT(rig, ws_read_other(fd, &text));
    EXPECT(rig,
           holds(&text, "\"topic\":\"site/raw\",\"payload_base64\":\"/wAB\"") &&
               holds(&text, "\"retain\":true"),
           "%s", sl_buf_cstr(&text));
    /* A new list takes the old one's place. */
    EXPECT(rig, ws_say(fd, "{\"watch\":[\"other/#\"]}") && ws_read_other(fd, &text));
    rig_call(rig, publish_few);
    EXPECT(rig, ws_read_other(fd, &text) && holds(&text, "nobody watches"), "%s",
           sl_buf_cstr(&text));
    EXPECT(rig, ws_say(fd, "{\"watch\":[]}") && ws_read_other(fd, &text));
    EXPECT(rig, holds(&text, "{\"type\":\"watching\",\"filters\":[],\"refused\":[]}"));
    sl_buf_free(&text);
}

static void watching(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_watch);
    assert_int_equal(rig.fake.watches_made, 3);
    assert_int_equal(rig.fake.watches_ended, 3);
}

static void script_commands(struct rig *rig)
{
    struct sl_buf text = { 0 };
    int fd;
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    static const char *const wrong[] = { "hello", "{}", "{\"watch\":[\"a/#/b\"]}", "[", "" };
    for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
        EXPECT(rig, ws_say(fd, wrong[i]) && ws_read_other(fd, &text), "%s", wrong[i]);
        EXPECT(rig, holds(&text, "{\"type\":\"error\",\"error\":\""), "%s: %s", wrong[i],
               sl_buf_cstr(&text));
    }
    /* In fragments, and it still works afterwards. */
    EXPECT(rig, ws_send(fd, 1, false, sl_str("{\"watch\":")) &&
                    ws_send(fd, 0, true, sl_str("[\"x\"]}")));
    EXPECT(rig, ws_read_other(fd, &text) && holds(&text, "\"filters\":[\"x\"]"), "%s",
           sl_buf_cstr(&text));
    sl_buf_free(&text);
}

static void wrong_commands(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_commands);
}

static void script_rude(struct rig *rig)
{
    static uint8_t big[8000];
    int fd;
    memset(big, 'a', sizeof big);
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101 && ws_send(fd, 1, true, sl_bytes(big, 4097)));
    EXPECT(rig, ws_close_code(fd) == 1009, "one byte too many");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    EXPECT(rig,
           ws_send(fd, 1, false, sl_bytes(big, 3000)) && ws_send(fd, 0, true, sl_bytes(big, 3000)));
    EXPECT(rig, ws_close_code(fd) == 1009, "in two pieces");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101 && ws_send(fd, 2, true, sl_str("binary")));
    EXPECT(rig, ws_close_code(fd) == 1003, "binary");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    for (int i = 0; i < 20 && ws_say(fd, "{\"watch\":[]}"); i++)
        ;
    EXPECT(rig, ws_close_code(fd) == 1008, "too many commands");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    EXPECT(rig, client_send(fd, sl_bytes("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\1\2\3\4", 14)));
    EXPECT(rig, client_send(fd, sl_bytes(big, 4097)) && ws_close_code(fd) == 1009,
           "2^63 bytes to come");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101 &&
                    client_send(fd, sl_bytes("\xff\xff\xff\xff", 4)));
    EXPECT(rig, ws_close_code(fd) == 1002, "no frame");
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
}

static void rude_viewers(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_rude);
    assert_int_equal(rig.stats.live_clients, 1);
}

/* ---- bounds ---- */

static void flood(struct rig *rig)
{
    static uint8_t payload[20000];
    memset(payload, 'p', sizeof payload);
    for (int i = 0; i < 500; i++)
        fake_publish(&rig->fake, "flood/a", sl_bytes(payload, sizeof payload), false);
}

/* The messages that came and the ones we are told were dropped are all there were. */
static void script_slow(struct rig *rig)
{
    struct sl_buf text = { 0 };
    unsigned long came = 0, dropped = 0;
    int fd;
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101);
    EXPECT(rig, ws_say(fd, "{\"watch\":[\"flood/#\"]}") && ws_read_other(fd, &text));
    rig_call(rig, flood);
    while (came + dropped < 500) {
        unsigned long n;
        EXPECT(rig, ws_read_other(fd, &text), "%lu came, %lu dropped", came, dropped);
        if (sscanf(sl_buf_cstr(&text), "{\"type\":\"dropped\",\"count\":%lu}", &n) == 1)
            dropped += n;
        else
            came += holds(&text, "\"topic\":\"flood/a\"");
    }
    EXPECT(rig, came + dropped == 500 && came > 10 && dropped > 100, "%lu came, %lu dropped", came,
           dropped);
    sl_buf_free(&text);
}

static void a_slow_viewer_is_told_what_it_missed(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_slow);
}

static void script_many(struct rig *rig)
{
    struct reply r = { 0 };
    int fd, first = -1;
    for (int i = 0; i < 32; i++) {
        EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 101, "viewer %d", i);
        first = i == 0 ? fd : first;
    }
    EXPECT(rig, ws_open(rig, LIVE, NULL, &fd) == 503, "one too many");
    EXPECT(rig, client_ask(rig, "GET /api/v1/status", NULL, &r) && r.status == 200);
    client_close(rig, first);
    int status = 503;
    for (int i = 0; i < 200 && status == 503; i++) {
        status = ws_open(rig, LIVE, NULL, &fd);
        if (status == 503)
            client_close(rig, fd);
    }
    EXPECT(rig, status == 101, "a place is free again");
    reply_free(&r);
}

static void viewers_are_bounded(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_many);
    assert_int_equal(rig.stats.live_clients, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_every_second),
        cmocka_unit_test(who_is_let_in),
        cmocka_unit_test(a_viewer_has_a_name),
        cmocka_unit_test(watching),
        cmocka_unit_test(wrong_commands),
        cmocka_unit_test(rude_viewers),
        cmocka_unit_test(a_slow_viewer_is_told_what_it_missed),
        cmocka_unit_test(viewers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
