/* test_web_http.c - every path, method and header of the HTTP interface, and what is no HTTP at
 * all. */
#include "rig.h"

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <sys/socket.h>

struct ask {
    const char *line, *headers;
    int want;
    const char *head, *body; /* NULL: does not matter */
};

static const struct ask asks[] = {
    { "GET /", NULL, 200, "text/html; charset=utf-8", "<!doctype html>" },
    { "GET /index.html", NULL, 200, "text/html", "<!doctype html>" },
    { "GET /style.css", NULL, 200, "text/css", NULL },
    { "GET /app.js", NULL, 200, "text/javascript", "import" },
    { "GET /page.js", NULL, 200, "text/javascript", "export" },
    { "GET /chart.js", NULL, 200, "text/javascript", "export" },
    { "GET /sections.js", NULL, 200, "text/javascript", "export" },
    { "GET /icon.svg", NULL, 200, "image/svg+xml", "<svg" },
    { "GET /", NULL, 200, "content-security-policy: default-src 'none'; script-src 'self'", NULL },
    { "GET /", NULL, 200, "frame-ancestors 'none'", NULL },
    { "GET /", NULL, 200, "x-content-type-options: nosniff", NULL },
    { "GET /", NULL, 200, "cache-control: no-cache", NULL },
    { "GET /", NULL, 200, "etag: \"", NULL },
    { "GET /", "If-None-Match: *\r\n", 304, "etag: \"", "" },
    { "GET /", "If-None-Match: \"other\"\r\n", 200, NULL, "<!doctype html>" },
    { "HEAD /", NULL, 200, "text/html", "" },
    { "HEAD /healthz", NULL, 200, "application/json", "" },
    { "HEAD /api/v1/status", NULL, 200, "application/json", "" },
    { "HEAD /nothing", NULL, 404, "application/json", "" },
    { "GET /healthz", NULL, 200, "application/json", "{\"status\":\"healthy\"}" },
    { "GET /readyz", NULL, 200, "application/json", "{\"status\":\"ready\"}" },
    { "GET /metrics", NULL, 200, "text/plain; version=0.0.4",
      "sluice_messages_received_total 5\n" },
    { "GET /api/v1/status", NULL, 200, "cache-control: no-store",
      "{\"gateway\":{\"id\":\"barn-01\"" },
    { "GET /api/v1/clients", NULL, 200, NULL,
      "[{\"list\":\"clients\",\"limit\":100,\"after\":\"\"}]" },
    { "GET /api/v1/rules?limit=1", NULL, 200, NULL, "[{\"list\":\"rules\",\"limit\":1," },
    { "GET /api/v1/events?limit=1000&after=a%2Fb%26c", NULL, 200, NULL, "\"after\":\"a/b&c\"" },
    { "GET /api/v1/queue", NULL, 404, NULL, "{\"error\":\"" }, /* this fake has none */
    { "GET /api/v1/clients?limit=0", NULL, 400, NULL, "{\"error\":\"limit" },
    { "GET /api/v1/clients?limit=1001", NULL, 400, NULL, "{\"error\":\"limit" },
    { "GET /api/v1/clients?limit=-1", NULL, 400, NULL, "{\"error\":\"limit" },
    { "GET /api/v1/clients?limit=x", NULL, 400, NULL, "{\"error\":\"limit" },
    { "GET /api/v1/clients?limit=99999999999999999999999", NULL, 400, NULL, "{\"error\":\"limit" },
    { "GET /api/v1/history?series=in", NULL, 200, NULL, "{\"series\":\"in\",\"points\":[[" },
    { "GET /api/v1/history?since=99999999999999&series=in", NULL, 200, NULL, "\"points\":[]}" },
    { "GET /api/v1/history", NULL, 400, NULL, "{\"error\":\"name a series" },
    { "GET /api/v1/history?series=nope", NULL, 404, NULL, "{\"error\":\"no such series\"}" },
    { "GET /api/v1/history?series=in&since=yesterday", NULL, 400, NULL, "{\"error\":\"since" },
    { "GET /api/v1/live", NULL, 426, "upgrade: websocket", "{\"error\":\"" },
    { "GET /nothing", NULL, 404, "application/json", "{\"error\":\"there is nothing here\"}" },
    { "GET /api/v1/", NULL, 404, NULL, "{\"error\":\"" },
    { "GET /api/v1/status/", NULL, 404, NULL, "{\"error\":\"" },
    { "GET /api/v1/rules/hot", NULL, 404, NULL, "{\"error\":\"" },
    { "GET /style.css/../../../etc/passwd", NULL, 404, NULL, "{\"error\":\"" },
    { "GET /%2e%2e/%2e%2e/etc/passwd", NULL, 404, NULL, "{\"error\":\"" },
    { "POST /api/v1/status", NULL, 405, "allow: GET, HEAD", "{\"error\":\"" },
    { "POST /", "Content-Length: 0\r\n", 405, "connection: close", "{\"error\":\"" },
    { "POST /api/v1/rules/hot/enable", NULL, 404, NULL, "{\"error\":\"" },
    { "POST /api/v1/publish", NULL, 404, NULL, "{\"error\":\"" },
    { "PUT /api/v1/status", NULL, 405, "allow: GET, HEAD", "{\"error\":\"" },
    { "DELETE /api/v1/rules", NULL, 405, "allow: GET, HEAD", "{\"error\":\"" },
    { "OPTIONS /", NULL, 405, "allow: GET, HEAD", "{\"error\":\"" },
    { "PATCH /metrics", NULL, 405, "allow: GET, HEAD", "{\"error\":\"" },
    { "GET /api/v1/status", "Content-Length: 5\r\n", 400, "connection: close", "{\"error\":\"" },
    { "GET /api/v1/status", "Transfer-Encoding: chunked\r\n", 400, "connection: close", NULL },
};

static void check_ask(struct rig *rig, const struct ask *a, struct reply *r)
{
    EXPECT(rig, client_ask(rig, a->line, a->headers, r), "%s: no answer", a->line);
    EXPECT(rig, r->status == a->want, "%s: %d, not %d", a->line, r->status, a->want);
    EXPECT(rig, !a->head || reply_has(r, a->head), "%s: no %s in %s", a->line, a->head,
           sl_buf_cstr(&r->head));
    EXPECT(rig,
           !a->body ||
               (a->body[0] ? strstr(sl_buf_cstr(&r->body), a->body) != NULL : r->body.len == 0),
           "%s: no %s in %.300s", a->line, a->body, sl_buf_cstr(&r->body));
    EXPECT(rig,
           reply_has(r, "content-security-policy:") &&
               !strcasestr(sl_buf_cstr(&r->head), "\r\nserver:"),
           "%s: every answer has its policy, none our name", a->line);
}

static void script_asks(struct rig *rig)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(asks) && !rig->failure[0]; i++) {
        struct reply r = { 0 };
        check_ask(rig, &asks[i], &r);
        reply_free(&r);
    }
}

static void every_path_and_method(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_asks);
    assert_int_equal(rig.stats.requests, SL_ARRAY_LEN(asks));
    assert_int_equal(rig.stats.errors, 0);
}

static void script_unwell(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r) && r.status == 503);
    EXPECT(rig,
           strcmp(sl_buf_cstr(&r.body),
                  "{\"error\":\"not healthy\",\"reasons\":[\"the disk does not answer\"]}") == 0);
    EXPECT(rig, client_ask(rig, "GET /readyz", NULL, &r) && r.status == 503);
    EXPECT(rig, strcmp(sl_buf_cstr(&r.body),
                       "{\"error\":\"not ready\",\"reasons\":[\"no listener is open\"]}") == 0);
    reply_free(&r);
}

static void script_alarms(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r) && r.status == 200);
    EXPECT(rig, strcmp(sl_buf_cstr(&r.body),
                       "{\"status\":\"healthy\",\"alarms\":[\"the disk is full\"]}") == 0);
    reply_free(&r);
}

static void alarms(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig.fake.alarm = true;
    rig_run(&rig, script_alarms);
    assert_int_equal(rig.stats.errors, 0);
}

static void unwell(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE); /* open to everyone all the same */
    rig.fake.unhealthy = rig.fake.unready = true;
    rig_run(&rig, script_unwell);
    assert_int_equal(rig.stats.errors, 2);
}

/* ---- one connection, several requests ---- */

static void script_keepalive(struct rig *rig)
{
    struct reply r = { 0 };
    char text[256];
    int fd = client_connect(rig);
    static const char *const paths[] = { "/api/v1/status", "/", "/nothing", "/healthz", "/app.js" };
    for (size_t i = 0; i < 50; i++) {
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
                       paths[i % SL_ARRAY_LEN(paths)]);
        EXPECT(rig, client_say(fd, text) && client_reply(fd, true, &r), "request %zu", i);
        EXPECT(rig, r.status == (i % 5 == 2 ? 404 : 200), "request %zu: %d", i, r.status);
    }
    EXPECT(rig, client_say(fd, "HEAD /app.js HTTP/1.1\r\nHost: x\r\n\r\n") &&
                    client_reply(fd, false, &r));
    EXPECT(rig, client_say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") &&
                    client_reply(fd, true, &r));
    EXPECT(rig, r.status == 200 && r.body.len == strlen("{\"status\":\"healthy\"}"), "after HEAD");
    EXPECT(
        rig,
        client_say(
            fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT(rig, client_reply(fd, true, &r) && strstr(sl_buf_cstr(&r.body), "healthy"));
    EXPECT(rig, client_reply(fd, true, &r) && strstr(sl_buf_cstr(&r.body), "ready"), "pipelined");
    reply_free(&r);
}

static void keepalive(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_keepalive);
}

static void script_large(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /api/v1/status", NULL, &r) && r.status == 200);
    EXPECT(rig, r.body.len > 5000000 && r.body.ptr[r.body.len - 1] == '}', "%zu bytes", r.body.len);
    /* One that asks for much and reads nothing, and one that leaves in the middle. */
    int slow = client_connect(rig), gone = client_connect(rig);
    EXPECT(rig, client_say(slow, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT(rig, client_say(gone, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n"));
    client_close(rig, gone);
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r) && r.status == 200);
    reply_free(&r);
}

static void large_answers(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig.fake.padding = 5000000;
    rig_run(&rig, script_large);
}

static void script_too_large(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /api/v1/status", NULL, &r) && r.status == 503, "%d", r.status);
    EXPECT(rig, strstr(sl_buf_cstr(&r.body), "{\"error\":"));
    reply_free(&r);
}

static void too_large_an_answer(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig.fake.padding = 9000000;
    rig_run(&rig, script_too_large);
}

/* ---- who may ---- */

static const struct {
    enum web_anonymous anonymous;
    const char *path, *credentials;
    int want;
} doors[] = {
    { WEB_ANONYMOUS_NONE, "/healthz", NULL, 200 },
    { WEB_ANONYMOUS_NONE, "/readyz", NULL, 200 },
    { WEB_ANONYMOUS_NONE, "/", NULL, 401 },
    { WEB_ANONYMOUS_NONE, "/app.js", NULL, 401 },
    { WEB_ANONYMOUS_NONE, "/metrics", NULL, 401 },
    { WEB_ANONYMOUS_NONE, "/api/v1/status", NULL, 401 },
    { WEB_ANONYMOUS_NONE, "/nothing", NULL, 401 }, /* says nothing about what there is */
    { WEB_ANONYMOUS_NONE, "/", "ada:love:lace", 200 },
    { WEB_ANONYMOUS_NONE, "/api/v1/status", "ada:love:lace", 200 },
    { WEB_ANONYMOUS_NONE, "/", "ada:wrong", 401 },
    { WEB_ANONYMOUS_NONE, "/", "eve:love:lace", 401 },
    { WEB_ANONYMOUS_NONE, "/healthz", "ada:wrong", 200 },
    { WEB_ANONYMOUS_READ, "/", NULL, 200 },
    { WEB_ANONYMOUS_READ, "/", "ada:love:lace", 200 },
    { WEB_ANONYMOUS_READ, "/", "ada:wrong", 401 },
    { WEB_ANONYMOUS_FULL, "/api/v1/status", NULL, 200 },
};

static void script_door(struct rig *rig)
{
    size_t i = *(const size_t *)rig->arg / 2;
    struct sl_buf header = { 0 };
    struct reply r = { 0 };
    char line[64];
    (void)snprintf(line, sizeof line, "GET %s", doors[i].path);
    if (doors[i].credentials) {
        sl_buf_put_str(&header, "Authorization: Basic ");
        crypto_base64_put(&header, sl_str(doors[i].credentials));
        sl_buf_put_str(&header, "\r\n");
    }
    bool ok = client_ask(rig, line, sl_buf_cstr(&header), &r) && r.status == doors[i].want &&
              (r.status != 401 || (reply_has(&r, "www-authenticate: Basic realm=\"Sluice\"") &&
                                   strstr(sl_buf_cstr(&r.body), "{\"error\":")));
    int status = r.status;
    sl_buf_free(&header);
    reply_free(&r);
    EXPECT(rig, ok, "row %zu, %s: %d", i, doors[i].path, status);
}

/* With passwords that are checked at once, and with some that take their time. */
static void who_may(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * SL_ARRAY_LEN(doors); i++) {
        struct rig rig;
        rig_init(&rig, doors[i / 2].anonymous);
        if (i % 2)
            rig.options.view.login_later = fake_login_later;
        rig.arg = &i;
        rig_run(&rig, script_door);
    }
}

static void script_guess(struct rig *rig)
{
    struct reply r = { 0 };
    static const char wrong[] = "Authorization: Basic YWRhOng=\r\n";
    static const char right[] = "Authorization: Basic YWRhOmxvdmU6bGFjZQ==\r\n";
    EXPECT(rig, client_ask(rig, "GET /", right, &r) && r.status == 200);
    EXPECT(rig, client_ask(rig, "GET /", wrong, &r) && r.status == 401);
    EXPECT(rig, client_ask(rig, "GET /", wrong, &r) && r.status == 429, "%d", r.status);
    EXPECT(rig, reply_has(&r, "retry-after: 1"), "%s", sl_buf_cstr(&r.head));
    EXPECT(rig, client_ask(rig, "GET /", right, &r) && r.status == 200, "known ones get in");
    reply_free(&r);
}

static void guessing_is_slowed(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig_run(&rig, script_guess);
    assert_int_equal(rig.fake.logins, 2);
    assert_int_equal(rig.stats.rejected, 2);
}

/* ---- passwords whose check takes its time ---- */

#define WRONG "Authorization: Basic YWRhOng=\r\n"
#define RIGHT "Authorization: Basic YWRhOmxvdmU6bGFjZQ==\r\n"

static void hold(struct rig *rig)
{
    rig->fake.hold = true;
}

static void let_go(struct rig *rig)
{
    rig->fake.hold = false;
}

static void look(struct rig *rig)
{
    (void)rig; /* what the loop did before is seen by the script after it */
}

static void wait_for_asking(struct rig *rig)
{
    do {
        rig_call(rig, look);
    } while (rig->fake.logins == 0); /* the test's time limit is the guard */
}

static bool ask_only(struct rig *rig, const char *headers, int *ret_fd)
{
    char text[256];
    *ret_fd = client_connect(rig);
    (void)snprintf(text, sizeof text, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    return *ret_fd >= 0 && client_say(*ret_fd, text);
}

static void script_later(struct rig *rig)
{
    struct reply r = { 0 };
    int one, two, gone;
    rig_call(rig, hold);
    EXPECT(rig,
           ask_only(rig, RIGHT, &one) && ask_only(rig, RIGHT, &two) && ask_only(rig, RIGHT, &gone));
    wait_for_asking(rig);
    EXPECT(rig, client_ask(rig, "GET /healthz", "", &r) && r.status == 200, "others go on");
    EXPECT(rig, client_ask(rig, "GET /", WRONG, &r) && r.status == 429, "one at a time: %d",
           r.status);
    client_close(rig, gone);
    rig_call(rig, let_go);
    EXPECT(rig, client_reply(one, true, &r) && r.status == 200 && r.body.len > 100);
    EXPECT(rig, client_reply(two, true, &r) && r.status == 200, "the same check: %d", r.status);
    EXPECT(rig,
           client_say(one, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") &&
               client_reply(one, true, &r) && r.status == 200,
           "the connection goes on");
    EXPECT(rig,
           client_say(one, "GET / HTTP/1.1\r\nHost: x\r\n" WRONG "\r\n") &&
               client_reply(one, true, &r) && r.status == 401,
           "as somebody else: %d", r.status);
    EXPECT(rig, client_ask(rig, "GET /", WRONG, &r) && r.status == 429, "it waits: %d", r.status);
    EXPECT(rig, client_ask(rig, "GET /", RIGHT, &r) && r.status == 200, "known ones get in");
    reply_free(&r);
}

static void a_check_takes_its_time(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig.options.view.login_later = fake_login_later;
    rig_run(&rig, script_later);
    assert_int_equal(rig.fake.logins, 2); /* one right, one wrong */
}

/* The next request is sent before the answer to the first, as no browser does. libwebsockets 4.3
 * closes such a connection while the first one waits: then there is no answer, rather than a wrong
 * one. */
static void script_behind(struct rig *rig)
{
    struct reply r = { 0 };
    int fd;
    rig_call(rig, hold);
    EXPECT(rig, ask_only(rig, RIGHT, &fd));
    wait_for_asking(rig);
    EXPECT(rig, client_say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                               "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"));
    rig_call(rig, look);
    rig_call(rig, let_go);
    bool answered = client_reply(fd, true, &r);
    if (LWS_LIBRARY_VERSION_NUMBER < 4003000 || answered) {
        EXPECT(rig, answered && r.status == 200 && r.body.len > 100);
        EXPECT(rig, client_reply(fd, true, &r) && strstr(sl_buf_cstr(&r.body), "healthy"));
        EXPECT(rig, client_reply(fd, true, &r) && strstr(sl_buf_cstr(&r.body), "ready"));
    } else {
        EXPECT(rig, r.head.len == 0, "not half of an answer");
        EXPECT(rig, client_ask(rig, "GET /", RIGHT, &r) && r.status == 200, "others go on");
    }
    reply_free(&r);
}

static void requests_behind_a_check(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig.options.view.login_later = fake_login_later;
    rig_run(&rig, script_behind);
    assert_true(rig.stats.requests == 3 || LWS_LIBRARY_VERSION_NUMBER >= 4003000);
}

static void script_busy(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /", RIGHT, &r) && r.status == 429 &&
                    reply_has(&r, "retry-after: 1"));
    reply_free(&r);
}

static void a_check_that_is_not_done(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig.options.view.login_later = fake_login_later;
    rig.fake.busy = true;
    rig_run(&rig, script_busy);
}

/* The answer comes when the server is gone (rig_run()). */
static void script_leave(struct rig *rig)
{
    int fd;
    rig_call(rig, hold);
    EXPECT(rig, ask_only(rig, RIGHT, &fd));
    wait_for_asking(rig);
}

static void closing_while_a_check_is_under_way(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_NONE);
    rig.options.view.login_later = fake_login_later;
    rig_run(&rig, script_leave);
    assert_int_equal(rig.fake.logins, 1);
}

static void send_pattern(struct sl_buf *b, const char *pattern, size_t times)
{
    for (size_t i = 0; i < times; i++)
        sl_buf_put_str(b, pattern);
}

/* What browsers and proxies send along, and cookies of other services on the same host. */
static void script_extras(struct rig *rig)
{
    static const char *const extras[] = {
        "Te: trailers",
        "Sec-Gpc: 1",
        "Sec-Ch-Ua: \"x\";v=\"1\"",
        "Upgrade-Insecure-Requests: 1",
        "Priority: u=0, i",
        "X-Requested-With: y",
        "Forwarded: for=1.2.3.4",
        "Via: 1.1 proxy",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Real-Ip: ::1",
        "Traceparent: 00-1",
        "Accept-Charset: utf-8",
        "From: me@example",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "If-Modified-Since: Sat, 1 Jan 2000 00:00:00 GMT",
        "Range: bytes=0-1",
        "Expect: 100-continue",
        "Accept-Encoding: gzip, br",
        "Sec-Fetch-Mode: cors",
        "Keep-Alive: 5",
        "Empty:",
    };
    struct sl_buf header = { 0 };
    struct reply r = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(extras); i++) {
        sl_buf_reset(&header);
        sl_buf_printf(&header, "%s\r\n", extras[i]);
        EXPECT(rig, client_ask(rig, "GET /", sl_buf_cstr(&header), &r) && r.status == 200, "%s",
               extras[i]);
    }
    sl_buf_reset(&header);
    sl_buf_put_str(&header, "Cookie: ");
    send_pattern(&header, "other=service; ", 200);
    sl_buf_put_str(&header, "\r\n");
    EXPECT(rig, client_ask(rig, "GET /", sl_buf_cstr(&header), &r) && r.status == 200, "cookies");
    reply_free(&r);
    sl_buf_free(&header);
}

static void extra_headers(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_extras);
}

/* ---- no HTTP ---- */

/* Sends it all (or until the server has had enough), then the server closes or answers an error. */
static void script_rubbish(struct rig *rig)
{
    static const struct {
        const char *begin, *pattern;
        size_t times;
        const char *end;
    } cases[] = {
        { "", "\x16\x03\x01\x02\xff", 1000, "" },
        { "GET / HTTP/1.1\r\nHost: x\r\nX-Big: ", "0123456789", 20000, "\r\n\r\n" },
        { "GET / HTTP/1.1\r\nHost: x\r\n", "X-Many: header\r\n", 20000, "\r\n" },
        { "GET /", "aaaaaaaaaa", 20000, " HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "GET /?", "a=b&", 20000, " HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ", "YWRh", 2000, "\r\n\r\n" },
        { "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", "", 0, "" },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", 0, "" },
        { "get / http/1.1\r\n\r\n", "", 0, "" },
        { "\r\n\r\n\r\n\r\n", "", 0, "" },
        { "GET\r\n\r\n", "", 0, "" },
        { "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", "", 0, "" },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n", "body", 100000,
          "" },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "", 0, "" },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
          "0\r\n\r\n", 1, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct sl_buf bytes = { 0 };
        struct reply r = { 0 };
        sl_buf_put_str(&bytes, cases[i].begin);
        send_pattern(&bytes, cases[i].pattern, cases[i].times);
        sl_buf_put_str(&bytes, cases[i].end);
        int fd = client_connect(rig);
        (void)client_send(fd, sl_buf_slice(&bytes)); /* it may hang up in the middle */
        (void)shutdown(fd, SHUT_WR);
        bool closed = client_is_closed(fd);
        client_close(rig, fd);
        bool alive = client_ask(rig, "GET /healthz", NULL, &r) && r.status == 200;
        sl_buf_free(&bytes);
        reply_free(&r);
        EXPECT(rig, closed && alive, "rubbish %zu: %s", i,
               closed ? "the server is gone" : "still open");
    }
}

static void rubbish(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_rubbish);
}

/* Every length of a good request, then silence: nothing is left behind. */
static void script_cut(struct rig *rig)
{
    static const char whole[] =
        "GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YQ==\r\n\r\n";
    struct reply r = { 0 };
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        int fd = client_connect(rig);
        EXPECT(rig, fd >= 0 && client_send(fd, sl_bytes(whole, n)), "cut at %zu", n);
        client_close(rig, fd);
    }
    int fd = client_connect(rig);
    for (size_t n = 0; n < sizeof whole - 1; n++)
        EXPECT(rig, client_send(fd, sl_bytes(whole + n, 1)), "byte %zu", n);
    EXPECT(rig, client_reply(fd, true, &r) && r.status == 200, "byte by byte");
    reply_free(&r);
}

static void cut_requests(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_and_method),
        cmocka_unit_test(unwell),
        cmocka_unit_test(alarms),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(large_answers),
        cmocka_unit_test(too_large_an_answer),
        cmocka_unit_test(who_may),
        cmocka_unit_test(guessing_is_slowed),
        cmocka_unit_test(a_check_takes_its_time),
        cmocka_unit_test(requests_behind_a_check),
        cmocka_unit_test(a_check_that_is_not_done),
        cmocka_unit_test(closing_while_a_check_is_under_way),
        cmocka_unit_test(extra_headers),
        cmocka_unit_test(rubbish),
        cmocka_unit_test(cut_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
