/* test_web_queue.c - /api/v1/queue: an answer that comes later, or to nobody. */
#include "rig.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#define ASKS_MAX 8

/* What the server has asked for: answered at the loop's next tick, or kept. */
struct asks {
    struct {
        web_queue_fn *done;
        void *ctx;
        char text[256];
    } list[ASKS_MAX];
    size_t count;
    bool keep;
};

static struct asks *asks_of(struct rig *rig)
{
    return (struct asks *)(uintptr_t)rig->arg;
}

static void answer_all(struct rig *rig)
{
    struct asks *a = asks_of(rig);
    for (size_t i = 0; i < a->count; i++) {
        struct sl_buf json = { 0 };
        sl_buf_put_str(&json, a->list[i].text);
        bool bad = strstr(a->list[i].text, "\"broken\"") != NULL;
        a->list[i].done(a->list[i].ctx, bad ? NULL : &json, bad ? "the disk is gone" : NULL);
        sl_buf_free(&json);
    }
    a->count = 0;
}

static void on_tick(struct rig *rig)
{
    if (!asks_of(rig)->keep)
        answer_all(rig);
}

static struct asks *the_asks; /* the view's ctx is the fake's */

static enum sl_code queue(void *ctx, const struct web_queue_ask *ask, web_queue_fn *done,
                          void *done_ctx, struct sl_err *err)
{
    (void)ctx;
    if (sl_slice_eq(ask->lane, sl_str("slow")))
        return sl_fail(err, SL_BUSY, "try again");
    if (sl_slice_eq(ask->lane, sl_str("fast")))
        return sl_fail(err, SL_INVALID, "no such lane");
    struct asks *a = the_asks;
    assert_true(a->count < ASKS_MAX);
    a->list[a->count].done = done;
    a->list[a->count].ctx = done_ctx;
    (void)snprintf(a->list[a->count].text, sizeof a->list[0].text,
                   "[{\"after\":\"%.*s\",\"lane\":\"%.*s\",\"dead\":%d,\"limit\":%u}]",
                   SL_FMT(ask->after), SL_FMT(ask->lane), ask->dead, ask->limit);
    a->count++;
    return SL_OK;
}

static void open_rig(struct rig *rig, struct asks *a)
{
    *a = (struct asks){ 0 };
    the_asks = a;
    rig_init(rig, WEB_ANONYMOUS_READ);
    rig->options.view.queue = queue;
    rig->arg = a;
    rig->on_tick = on_tick;
}

static const struct ask_case {
    const char *line;
    int want;
    const char *body;
} cases[] = {
    { "GET /api/v1/queue", 200, "[{\"after\":\"\",\"lane\":\"\",\"dead\":0,\"limit\":100}]" },
    { "GET /api/v1/queue?limit=7&lane=alert&dead=true&after=alert%2F12", 200,
      "[{\"after\":\"alert/12\",\"lane\":\"alert\",\"dead\":1,\"limit\":7}]" },
    { "GET /api/v1/queue?dead=0&limit=1000", 200, "\"dead\":0,\"limit\":1000}]" },
    { "HEAD /api/v1/queue", 200, "" },
    { "GET /api/v1/queue?after=broken", 503, "{\"error\":\"the disk is gone\"}" },
    { "GET /api/v1/queue?lane=slow", 503, "{\"error\":\"try again\"}" },
    { "GET /api/v1/queue?lane=fast", 400, "{\"error\":\"no such lane\"}" },
    { "GET /api/v1/queue?limit=0", 400, "{\"error\":\"limit" },
    { "GET /api/v1/queue?limit=1001", 400, "{\"error\":\"limit" },
    { "GET /api/v1/queue?dead=yes", 400, "{\"error\":\"dead" },
    { "GET /api/v1/queue?lane=012345678901234567890123456789012", 400, "{\"error\":\"after or" },
    { "POST /api/v1/queue", 405, "{\"error\":" },
};

static void check(struct rig *rig, int fd, const struct ask_case *c)
{
    struct reply r = { 0 };
    char text[256];
    bool head = c->line[0] == 'H';
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\n\r\n", c->line);
    EXPECT(rig, client_say(fd, text) && client_reply(fd, !head, &r), "%s: no answer", c->line);
    EXPECT(rig, r.status == c->want, "%s: %d", c->line, r.status);
    EXPECT(rig, head ? r.body.len == 0 : strstr(sl_buf_cstr(&r.body), c->body) != NULL, "%s: %s",
           c->line, sl_buf_cstr(&r.body));
    reply_free(&r);
}

/* All on one connection: an answer that came late leaves it in order. */
static void script_asks(struct rig *rig)
{
    int fd = client_connect(rig);
    EXPECT(rig, fd >= 0);
    for (size_t i = 0; i < SL_ARRAY_LEN(cases) && !rig->failure[0]; i++)
        check(rig, fd, &cases[i]);
}

static void every_ask(void **state)
{
    (void)state;
    struct rig rig;
    struct asks a;
    open_rig(&rig, &a);
    rig_run(&rig, script_asks);
}

/* One goes before its answer comes, the other is there when the server closes. */
static void script_gone(struct rig *rig)
{
    static const char ask[] = "GET /api/v1/queue HTTP/1.1\r\nHost: x\r\n\r\n";
    int one = client_connect(rig), other = client_connect(rig);
    EXPECT(rig, one >= 0 && other >= 0 && client_say(one, ask) && client_say(other, ask));
    struct reply r = { 0 };
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r), "behind both");
    reply_free(&r);
    client_close(rig, one);
    EXPECT(rig, client_ask(rig, "GET /healthz", NULL, &r), "behind its end");
    reply_free(&r);
}

static void to_nobody(void **state)
{
    (void)state;
    struct rig rig;
    struct asks a;
    open_rig(&rig, &a);
    a.keep = true;
    rig_run(&rig, script_gone);
    assert_int_equal(a.count, 2); /* the server is gone; what was asked comes back all the same */
    answer_all(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ask),
        cmocka_unit_test(to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
