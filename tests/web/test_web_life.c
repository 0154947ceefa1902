/* test_web_life.c - the server's beginning and end: what cannot be opened and why, closing with
 * viewers connected, many connections, HTTPS; and that nothing is ever left on the loop. */
#include "rig.h"

#include "testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIVE "/api/v1/live"

static void script_nothing(struct rig *rig)
{
    (void)rig;
}

static void open_and_close(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct rig rig;
        rig_init(&rig, WEB_ANONYMOUS_READ);
        rig_run(&rig, script_nothing);
        assert_true(rig.port > 0);
    }
}

static void on_closed(void *ctx)
{
    ++*(int *)ctx;
}

static void close_at_once(void **state)
{
    struct rig rig;
    struct sl_err err;
    int closed = 0;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    assert_int_equal(web_open(&rig.web, &rig.options, &err), SL_OK);
    web_close(rig.web, on_closed, &closed);
    assert_int_equal(closed, 0); /* never from within */
    web_close(rig.web, on_closed, &closed);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 1);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    web_close(NULL, on_closed, &closed);
    assert_int_equal(closed, 1);
}

static void expect_refusal(struct rig *rig, enum sl_code want, const char *text)
{
    struct sl_err err = { 0 };
    struct web *untouched = (struct web *)rig, *w = untouched;
    enum sl_code rc = web_open(&w, &rig->options, &err);
    if (rc != want || !strstr(err.text, text))
        fail_msg("%d: %s", (int)rc, err.text);
    assert_ptr_equal(w, untouched);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

static void what_cannot_be_opened(void **state)
{
    static const struct {
        const char *bind, *cert, *key;
        enum sl_code want;
        const char *text;
    } cases[] = {
        { "localhost", NULL, NULL, SL_INVALID, "web.bind" },
        { "", NULL, NULL, SL_INVALID, "web.bind" },
        { "127.0.0.1.1", NULL, NULL, SL_INVALID, "web.bind" },
        { "192.0.2.1", NULL, NULL, SL_IO, "change web.bind" },
        { "127.0.0.1", "/nonexistent.crt", NULL, SL_INVALID, "both cert and key" },
        { "127.0.0.1", NULL, "/nonexistent.key", SL_INVALID, "both cert and key" },
        { "127.0.0.1", "/nonexistent.crt", "/nonexistent.key", SL_NOTFOUND, "/nonexistent.crt" },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct rig rig;
        rig_init(&rig, WEB_ANONYMOUS_READ);
        rig.options.bind = cases[i].bind;
        rig.options.cert_path = cases[i].cert;
        rig.options.key_path = cases[i].key;
        expect_refusal(&rig, cases[i].want, cases[i].text);
    }
}

static void script_second(struct rig *rig)
{
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r) && r.status == 200);
    reply_free(&r);
}

static void a_port_in_use(void **state)
{
    struct rig first, second;
    struct sl_err err;
    int closed = 0;
    (void)state;
    rig_init(&first, WEB_ANONYMOUS_READ);
    assert_int_equal(web_open(&first.web, &first.options, &err), SL_OK);
    rig_init(&second, WEB_ANONYMOUS_READ);
    second.options.port = web_port(first.web);
    expect_refusal(&second, SL_BUSY, "change web.port");
    web_close(first.web, on_closed, &closed);
    (void)uv_run(&first.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&first.loop), 0);
    /* And free again at once. */
    rig_init(&second, WEB_ANONYMOUS_READ);
    rig_run(&second, script_second);
}

static void script_viewers(struct rig *rig)
{
    int fd;
    for (int i = 0; i < 8; i++)
        EXPECT(rig,
               ws_open(rig, LIVE, NULL, &fd) == 101 && ws_say(fd, "{\"watch\":[\"a/#\",\"b/#\"]}"));
    for (int i = 0; i < 8; i++)
        EXPECT(rig, client_connect(rig) >= 0);
    EXPECT(rig, client_say(client_connect(rig), "GET / HT"));
    EXPECT(rig, client_say(client_connect(rig), "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n"));
}

static void closing_with_viewers_connected(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig.fake.padding = 3000000; /* so that much is still on its way */
    rig_run(&rig, script_viewers);
}

static void look(struct rig *rig)
{
    web_get_stats(rig->web, &rig->stats);
}

static void script_crowd(struct rig *rig)
{
    struct reply r = { 0 };
    /* More than there may be: they wait in the kernel, and get in when others leave. */
    for (int i = 0; i < 120; i++)
        EXPECT(rig, client_connect(rig) >= 0, "connection %d", i);
    for (int i = 0; i < 1000 && rig->stats.rejected == 0; i++)
        rig_call(rig, look);
    EXPECT(rig, rig->stats.rejected > 0, "the bound was not reached");
    for (int i = 0; i < 120; i++)
        client_close(rig, rig->sockets[0]);
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r) && r.status == 200);
    reply_free(&r);
}

static void connections_are_bounded(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_crowd);
}

/* ---- our process stays as it was ---- */

static void signals_are_left_alone(void **state)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGSEGV, SIGFPE, SIGPIPE };
    struct sigaction before[SL_ARRAY_LEN(numbers)], after;
    struct rig rig;
    (void)state;
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as the gateway does */
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++)
        assert_int_equal(sigaction(numbers[i], NULL, &before[i]), 0);
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig_run(&rig, script_nothing);
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++) {
        assert_int_equal(sigaction(numbers[i], NULL, &after), 0);
        if (after.sa_handler != before[i].sa_handler)
            fail_msg("the handler of signal %d changed", numbers[i]);
    }
}

static void versions(void **state)
{
    int major, minor, patch;
    (void)state;
    assert_int_equal(sscanf(web_library_version(), "%d.%d.%d", &major, &minor, &patch), 3);
}

/* ---- HTTPS ---- */

static char folder[64] = "/tmp/sluice-web-XXXXXX";

static int make_certificates(void **state)
{
    (void)state;
    return mkdtemp(folder) ? testing_shell("%s %s", SLUICE_MAKE_CERTS, folder) : -1;
}

static int remove_certificates(void **state)
{
    (void)state;
    return testing_shell("rm -rf %s", folder);
}

/* The openssl program is the client; it prints the answer. */
static void script_https(struct rig *rig)
{
    char command[400], answer[4096];
    for (int i = 0; i < 2; i++) {
        struct reply r = { 0 };
        int fd = client_connect(rig); /* plain HTTP on the TLS port: refused, and harms nobody */
        EXPECT(rig, client_say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
        EXPECT(rig, !client_reply(fd, true, &r) || r.status != 200);
        reply_free(&r);
        (void)snprintf(command, sizeof command,
                       "(printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: "
                       "close\\r\\n\\r\\n'; sleep 1) | "
                       "timeout 10 openssl s_client -quiet -connect 127.0.0.1:%u -CAfile %s/ca.crt "
                       "-verify_return_error 2>/dev/null",
                       rig->port, folder);
        FILE *client = popen(command, "re");
        EXPECT(rig, client);
        size_t n = fread(answer, 1, sizeof answer - 1, client);
        answer[n] = '\0';
        (void)pclose(client); /* what it printed counts */
        EXPECT(rig, strstr(answer, "HTTP/1.1 200") && strstr(answer, "{\"status\":\"healthy\"}"),
               "%s", answer);
    }
}

static void https(void **state)
{
    struct rig rig;
    char cert[100], key[100];
    (void)state;
    (void)snprintf(cert, sizeof cert, "%s/server.crt", folder);
    (void)snprintf(key, sizeof key, "%s/server.key", folder);
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig.options.cert_path = cert;
    rig.options.key_path = key;
    rig_run(&rig, script_https);
}

static void a_certificate_that_is_not_ours(void **state)
{
    struct rig rig;
    char cert[100], key[100];
    (void)state;
    (void)snprintf(cert, sizeof cert, "%s/server.crt", folder);
    (void)snprintf(key, sizeof key, "%s/device.key", folder);
    rig_init(&rig, WEB_ANONYMOUS_READ);
    rig.options.cert_path = cert;
    rig.options.key_path = key;
    struct sl_err err = { 0 };
    assert_int_not_equal(web_open(&rig.web, &rig.options, &err), SL_OK);
    assert_non_null(strstr(err.text, "web.tls"));
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_left_alone), /* first: before any lws has run here */
        cmocka_unit_test(open_and_close),
        cmocka_unit_test(close_at_once),
        cmocka_unit_test(what_cannot_be_opened),
        cmocka_unit_test(a_port_in_use),
        cmocka_unit_test(closing_with_viewers_connected),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(versions),
        cmocka_unit_test(https),
        cmocka_unit_test(a_certificate_that_is_not_ours),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
