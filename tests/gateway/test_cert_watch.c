/* test_cert_watch.c - certificate files that change, half or whole, and what is said of their ends.
 * Files are real, times are the test's. */
#include "cert_watch.h"
#include "events.h"

#include "rows.h"
#include "testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char folder[] = "/tmp/sluice-cert-watch-XXXXXX";

/* NAME.EXT of the world of certificates becomes w.EXT, which is watched. As a renewal does it: a
 * new file takes the old one's place. */
static void put(const char *name, const char *ext)
{
    assert_int_equal(testing_shell("cd %s && cp %s.%s new && mv new w.%s", folder, name, ext, ext),
                     0);
}

struct scene {
    struct cert_watch *w;
    struct tls_context *first;
    struct events events;
    int64_t mono_ms, wall_ms;
};

static struct cert_watch *watch(void)
{
    char cert[80], key[80], ca[80], crl[80];
    struct cert_watch *w = NULL;
    struct sl_err err = { 0 };
    (void)snprintf(cert, sizeof cert, "%s/w.crt", folder);
    (void)snprintf(key, sizeof key, "%s/w.key", folder);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", folder);
    (void)snprintf(crl, sizeof crl, "%s/w.crl", folder);
    struct tls_options o = { .server = true,
                             .cert_path = cert,
                             .key_path = key,
                             .ca_path = ca,
                             .crl_path = crl,
                             .client_cert = TLS_CLIENT_CERT_REQUIRED };
    if (cert_watch_open(&w, "lan", &o, &err) != SL_OK)
        fail_msg("%s", err.text);
    return w;
}

static void scene_open(struct scene *s, const char *cert, const char *crl)
{
    *s = (struct scene){ .mono_ms = 1000, .wall_ms = INT64_C(1790000000000) }; /* 2026 */
    put(cert, "crt");
    put(cert, "key");
    put(crl, "crl");
    s->w = watch();
    s->first = cert_watch_context(s->w);
    events_start(&s->events);
    assert_false(cert_watch_tick(s->w, s->mono_ms, s->wall_ms));
}

static void scene_close(struct scene *s)
{
    events_stop();
    cert_watch_close(s->w);
}

static bool after(struct scene *s, int64_t ms)
{
    s->mono_ms += ms;
    s->wall_ms += ms;
    return cert_watch_tick(s->w, s->mono_ms, s->wall_ms);
}

/* Long enough for a change to be seen and to settle; whether there is a new context. */
static bool settle(struct scene *s)
{
    return after(s, CERT_WATCH_LOOK_MS) || after(s, CERT_WATCH_SETTLE_MS);
}

static unsigned lines_with(const struct scene *s, const char *text)
{
    unsigned n = 0;
    for (uint64_t i = events_first(&s->events); i < s->events.next; i++) {
        const struct event *e = events_get(&s->events, i);
        n += e && strstr(e->text, text) != NULL;
    }
    return n;
}

static struct cert_watch_view view(const struct scene *s)
{
    struct cert_watch_view v;
    cert_watch_get(s->w, &v);
    return v;
}

/* ---- changes ---- */

static void a_renewal_is_taken_up(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "ca");
    put("server-rsa", "crt");
    put("server-rsa", "key");
    assert_false(after(&s, CERT_WATCH_LOOK_MS - 1)); /* not looked at yet */
    assert_false(after(&s, 1));                      /* seen, not settled */
    assert_false(after(&s, CERT_WATCH_SETTLE_MS - 1));
    assert_true(after(&s, 1));
    assert_ptr_not_equal(cert_watch_context(s.w), s.first);
    assert_int_equal(view(&s).reloads, 1);
    assert_int_equal(lines_with(&s, "new certificate files are in use"), 1);
    assert_false(settle(&s));
    assert_int_equal(view(&s).reloads, 1);
    scene_close(&s);
}

static void half_a_renewal_keeps_the_old(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "ca");
    put("server-rsa", "crt");
    assert_false(settle(&s));
    assert_ptr_equal(cert_watch_context(s.w), s.first);
    assert_true(view(&s).failed);
    for (int i = 0; i < 5; i++)
        assert_false(settle(&s));
    assert_int_equal(lines_with(&s, "cannot be used"), 1); /* one line, not one a minute */
    assert_int_equal(lines_with(&s, "does not belong to"), 1);
    put("server-rsa", "key");
    assert_true(settle(&s));
    assert_false(view(&s).failed);
    scene_close(&s);
}

static void files_that_still_change_are_not_read(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "ca");
    put("server-rsa", "crt");
    assert_false(after(&s, CERT_WATCH_LOOK_MS));
    put("server-rsa", "key"); /* comes a moment later */
    assert_false(after(&s, CERT_WATCH_SETTLE_MS));
    assert_true(after(&s, CERT_WATCH_SETTLE_MS));
    assert_int_equal(lines_with(&s, "cannot be used"), 0);
    scene_close(&s);
}

static void touched_files_change_nothing(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "ca");
    put("server", "crt");
    put("server", "key");
    assert_false(settle(&s));
    assert_ptr_equal(cert_watch_context(s.w), s.first);
    assert_int_equal(view(&s).reloads, 0);
    put("server-rsa", "crt"); /* there and back before anybody has looked */
    put("server", "crt");
    assert_false(settle(&s));
    assert_false(view(&s).failed);
    scene_close(&s);
}

static void a_new_revocation_list_is_taken_up(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "stale");
    assert_int_equal(lines_with(&s, "w.crl expired on 2021-01-01"), 1);
    put("ca", "crl");
    assert_true(settle(&s));
    assert_ptr_not_equal(cert_watch_context(s.w), s.first);
    put("other-ca", "crl");
    assert_false(settle(&s));
    assert_int_equal(lines_with(&s, "is not of a CA in"), 1);
    scene_close(&s);
}

static const struct loss {
    const char *name, *command, *says;
} losses[] = {
    { "certificate deleted", "rm -f w.crt", "w.crt" },
    { "key deleted", "rm -f w.key", "w.key" },
    { "list deleted", "rm -f w.crl", "w.crl" },
    { "certificate emptied", ": >w.crt", "w.crt: the file is empty" },
    { "noise instead of the certificate", "head -c 500 /dev/zero >w.crt", "w.crt: no certificate" },
    { "a client's certificate instead", "cp device.crt w.crt && cp device.key w.key",
      "not for servers" },
    { "an expired one instead", "cp expired.crt w.crt && cp expired.key w.key", "expired on 2020" },
    { "a folder instead", "rm w.crt && mkdir w.crt", "w.crt" },
};

static void a_loss_keeps_the_old(void **state)
{
    const struct loss *l = *state;
    struct scene s;
    assert_int_equal(testing_shell("cd %s && rm -rf w.*", folder), 0);
    scene_open(&s, "server", "ca");
    assert_int_equal(testing_shell("cd %s && %s", folder, l->command), 0);
    assert_false(settle(&s));
    assert_ptr_equal(cert_watch_context(s.w), s.first);
    assert_true(view(&s).failed);
    assert_int_equal(lines_with(&s, l->says), 1);
    assert_int_equal(testing_shell("cd %s && rm -rf w.*", folder), 0);
    put("server-rsa", "crt");
    put("server-rsa", "key");
    put("ca", "crl");
    assert_true(settle(&s));
    assert_false(view(&s).failed);
    scene_close(&s);
}

/* ---- a reload of the configuration ---- */

static void the_same_files_keep_their_context(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "server", "ca");
    struct cert_watch *next = watch();
    assert_ptr_not_equal(cert_watch_context(next), s.first);
    cert_watch_follow(next, s.w);
    assert_ptr_equal(cert_watch_context(next), s.first); /* and clients' tickets stay good */
    cert_watch_close(s.w);
    s.w = next;
    put("stale", "crl");
    next = watch();
    cert_watch_follow(next, s.w);
    assert_ptr_not_equal(cert_watch_context(next), s.first);
    cert_watch_close(next);
    scene_close(&s);
}

/* ---- ends ---- */

static const struct end_row {
    const char *name, *cert;
    int64_t wall_s;
    unsigned lines; /* within a day and a bit */
    const char *says;
} ends[] = {
    { "far away", "server", INT64_C(1790000000), 0, "its certificate" },
    { "in fifteen days", "server", INT64_C(3786911999) - 15 * 86400 - 90000, 0, "its certificate" },
    { "in thirteen days", "server", INT64_C(3786911999) - 14 * 86400 + 60, 2,
      "expires in 13 days, on 2089-12-31 23:59 UTC" },
    { "today", "server", INT64_C(3786911999) - 7200, 1, "expires in 0 days" },
    { "over", "expired", INT64_C(1790000000), 2, "expired on 2020-01-01" },
    { "not yet begun", "future", INT64_C(1790000000), 2, "not valid before 2090-01-01" },
    { "clock never set", "expired", 1000, 0, "its certificate" },
};

static void warns_once_a_day(void **state)
{
    const struct end_row *r = *state;
    struct scene s;
    unsigned lines = 0;
    scene_open(&s, r->cert, "ca");
    events_start(&s.events); /* forget what was said at the opening, in another year */
    cert_watch_close(s.w);
    s.w = watch();
    s.events = (struct events){ 0 };
    events_start(&s.events);
    s.wall_ms = r->wall_s * 1000;
    for (int i = 0; i <= 25 * 60; i++)
        assert_false(after(&s, 60000));
    lines = lines_with(&s, r->says);
    if (r->lines == 1)
        assert_in_range(lines, 1, 1);
    else if (r->lines == 2)
        assert_in_range(lines, 1, 2); /* thirteen days become twelve */
    else
        assert_int_equal(lines, 0);
    scene_close(&s);
}

/* ---- running them ---- */

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) && testing_shell("%s %s", SLUICE_MAKE_CERTS, folder) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return testing_shell("rm -rf %s", folder);
}

int main(void)
{
    static const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_renewal_is_taken_up),
        cmocka_unit_test(half_a_renewal_keeps_the_old),
        cmocka_unit_test(files_that_still_change_are_not_read),
        cmocka_unit_test(touched_files_change_nothing),
        cmocka_unit_test(a_new_revocation_list_is_taken_up),
        cmocka_unit_test(the_same_files_keep_their_context),
    };
    static struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(losses) + SL_ARRAY_LEN(ends)];
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++)
        tests[n++] = plain[i];
    n += ROWS_OF(tests + n, losses, a_loss_keeps_the_old);
    n += ROWS_OF(tests + n, ends, warns_once_a_day);
    return cmocka_run_group_tests_name("cert_watch", tests, set_up, tear_down);
}
