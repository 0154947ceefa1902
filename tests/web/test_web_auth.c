/* test_web_auth.c - who may read, and how those who guess are slowed; on a clock that stands still.
 */
#include "auth.h"

#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

struct door {
    unsigned asked;
    bool ada_left; /* the user is gone */
};

static bool login(void *ctx, struct sl_slice user, struct sl_slice password)
{
    struct door *d = ctx;
    d->asked++;
    return !d->ada_left && sl_slice_eq(user, sl_str("ada")) &&
           sl_slice_eq(password, sl_str("right"));
}

static struct auth open_door(struct door *d, enum web_anonymous anonymous)
{
    struct web_options o = { .anonymous = anonymous, .view = { .ctx = d, .login = login } };
    struct auth a;
    assert_int_equal(auth_init(&a, &o, NULL, NULL), SL_OK);
    return a;
}

/* As a browser says it. */
static enum auth_verdict try(struct auth *a, const char *credentials, const char *peer, int64_t now,
                             struct auth_viewer *ret)
{
    struct sl_buf header = { 0 };
    if (credentials) {
        sl_buf_put_str(&header, "Basic ");
        crypto_base64_put(&header, sl_str(credentials));
    }
    enum auth_verdict v = auth_check(a, sl_buf_slice(&header), peer, now, ret);
    sl_buf_free(&header);
    return v;
}

static void matrix(void **state)
{
    static const struct {
        enum web_anonymous anonymous;
        const char *credentials;
        enum auth_verdict want;
        const char *user;
    } cases[] = {
        { WEB_ANONYMOUS_NONE, NULL, AUTH_MISSING, "" },
        { WEB_ANONYMOUS_NONE, "ada:right", AUTH_OK, "ada" },
        { WEB_ANONYMOUS_NONE, "ada:wrong", AUTH_WRONG, "" },
        { WEB_ANONYMOUS_NONE, "ada:", AUTH_WRONG, "" },
        { WEB_ANONYMOUS_NONE, "eve:right", AUTH_WRONG, "" },
        { WEB_ANONYMOUS_READ, NULL, AUTH_OK, "" },
        { WEB_ANONYMOUS_READ, "ada:right", AUTH_OK, "ada" },
        { WEB_ANONYMOUS_READ, "ada:wrong", AUTH_WRONG, "" }, /* not quietly anonymous */
        { WEB_ANONYMOUS_FULL, NULL, AUTH_OK, "" },
    };
    (void)state;
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
        struct door d = { 0 };
        struct auth a = open_door(&d, cases[i].anonymous);
        struct auth_viewer viewer;
        assert_int_equal(try(&a, cases[i].credentials, "p", 0, &viewer), cases[i].want);
        assert_string_equal(viewer.user, cases[i].user);
    }
}

static void without_a_login_function_nobody_gets_in(void **state)
{
    (void)state;
    struct web_options o = { .anonymous = WEB_ANONYMOUS_NONE };
    struct auth a;
    struct auth_viewer viewer;
    assert_int_equal(auth_init(&a, &o, NULL, NULL), SL_OK);
    assert_int_equal(try(&a, "ada:right", "p", 0, &viewer), AUTH_WRONG);
}

static void a_right_password_is_remembered_for_a_minute(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_NONE);
    struct auth_viewer viewer;
    for (int64_t now = 0; now < AUTH_CACHE_MS; now += 1000)
        assert_int_equal(try(&a, "ada:right", "p", now, &viewer), AUTH_OK);
    assert_int_equal(d.asked, 1);
    assert_int_equal(try(&a, "ada:wrong", "p", 1000, &viewer), AUTH_WRONG);
    assert_int_equal(d.asked, 2);
    d.ada_left = true;
    assert_int_equal(try(&a, "ada:right", "q", AUTH_CACHE_MS, &viewer), AUTH_WRONG);
    assert_int_equal(d.asked, 3);
}

static void forgetting_asks_again(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_NONE);
    struct auth_viewer viewer;
    assert_int_equal(try(&a, "ada:right", "p", 0, &viewer), AUTH_OK);
    d.ada_left = true;
    assert_int_equal(try(&a, "ada:right", "p", 1, &viewer), AUTH_OK);
    auth_forget(&a);
    assert_int_equal(try(&a, "ada:right", "p", 2, &viewer), AUTH_WRONG);
}

static void each_failure_waits_longer(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_NONE);
    struct auth_viewer viewer;
    int64_t now = 0, wait = AUTH_WAIT_MS_MIN;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(try(&a, "ada:guess", "p", now, &viewer), AUTH_WRONG);
        assert_int_equal(try(&a, "ada:right", "p", now, &viewer), AUTH_LATER);
        assert_int_equal(viewer.wait_ms, wait);
        assert_string_equal(viewer.user, "");
        assert_int_equal(try(&a, "ada:right", "p", now + wait - 1, &viewer), AUTH_LATER);
        now += wait;
        wait = wait * 2 < AUTH_WAIT_MS_MAX ? wait * 2 : AUTH_WAIT_MS_MAX;
    }
    assert_int_equal(d.asked, 12);
    assert_int_equal(try(&a, "ada:right", "p", now, &viewer), AUTH_OK);
    auth_forget(&a);
    assert_int_equal(try(&a, "ada:guess", "p", now, &viewer), AUTH_WRONG); /* begins anew */
    assert_int_equal(try(&a, "ada:guess", "p", now, &viewer), AUTH_LATER);
    assert_int_equal(viewer.wait_ms, AUTH_WAIT_MS_MIN);
}

static void one_who_guesses_does_not_lock_out_the_others(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_NONE);
    struct auth_viewer viewer;
    assert_int_equal(try(&a, "ada:guess", "eve", 0, &viewer), AUTH_WRONG);
    assert_int_equal(try(&a, "ada:right", "ada's", 0, &viewer), AUTH_OK);
    /* Not even from the same address, when the password is known. */
    assert_int_equal(try(&a, "ada:right", "eve", 0, &viewer), AUTH_OK);
}

static void many_addresses_share_one_pace(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_NONE);
    struct auth_viewer viewer;
    char peer[32];
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(peer, sizeof peer, "10.0.%d.%d", i / 250, i % 250);
        (void)try(&a, "ada:guess", peer, i, &viewer); /* ten seconds */
    }
    assert_in_range(d.asked, AUTH_BURST, AUTH_BURST + 10000 / AUTH_REFILL_MS);
}

static void malformed_credentials_cost_no_check(void **state)
{
    (void)state;
    struct door d = { 0 };
    struct auth a = open_door(&d, WEB_ANONYMOUS_READ);
    struct auth_viewer viewer;
    assert_int_equal(auth_check(&a, sl_str("Bearer x"), "p", 0, &viewer), AUTH_WRONG);
    assert_int_equal(auth_check(&a, sl_str("Basic ????"), "p", 0, &viewer), AUTH_WRONG);
    assert_int_equal(d.asked, 0);
}

/* ---- checks that take their time ---- */

struct desk {
    struct door door;
    struct auth auth;
    struct {
        web_login_fn *fn;
        void *ctx;
    } ask[2 * AUTH_ASKED_MAX];
    size_t asks;
    bool full;
    unsigned answers;
    int64_t now;
};

static bool login_later(void *ctx, struct sl_slice user, struct sl_slice password,
                        struct sl_slice address, web_login_fn *fn, void *fn_ctx)
{
    struct desk *d = ctx;
    (void)user;
    (void)password;
    (void)address;
    if (d->full)
        return false;
    d->ask[d->asks].fn = fn;
    d->ask[d->asks++].ctx = fn_ctx;
    return true;
}

static bool login_at_desk(void *ctx, struct sl_slice user, struct sl_slice password)
{
    return login(&((struct desk *)ctx)->door, user, password);
}

static void on_answer(void *ctx, struct auth_asked *asked, enum web_login_result result)
{
    struct desk *d = ctx;
    d->answers++;
    auth_answer(&d->auth, asked, result, d->now);
}

static void open_desk(struct desk *d)
{
    *d = (struct desk){ 0 };
    struct web_options o = { .anonymous = WEB_ANONYMOUS_NONE,
                             .view = {
                                 .ctx = d, .login = login_at_desk, .login_later = login_later } };
    assert_int_equal(auth_init(&d->auth, &o, on_answer, d), SL_OK);
}

static void answer(struct desk *d, size_t i, enum web_login_result result)
{
    d->ask[i].fn(d->ask[i].ctx, result);
}

static void one_check_for_all_who_ask_the_same(void **state)
{
    (void)state;
    struct desk d;
    struct auth_viewer first, v;
    open_desk(&d);
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &first), AUTH_ASKED);
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_ASKED);
    assert_ptr_equal(v.asked, first.asked);
    assert_int_equal(try(&d.auth, "ada:right", "q", 0, &v), AUTH_ASKED); /* whoever asks */
    assert_ptr_equal(v.asked, first.asked);
    assert_int_equal(d.asks, 1);
    answer(&d, 0, WEB_LOGIN_RIGHT);
    assert_int_equal(d.answers, 1);
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_OK);
    assert_string_equal(v.user, "ada");
    assert_int_equal(d.door.asked, 0); /* nothing on the loop */
}

static void one_check_at_a_time_for_an_address(void **state)
{
    (void)state;
    struct desk d;
    struct auth_viewer v;
    open_desk(&d);
    assert_int_equal(try(&d.auth, "ada:a", "p", 0, &v), AUTH_ASKED);
    assert_int_equal(try(&d.auth, "ada:b", "p", 0, &v), AUTH_LATER);
    assert_int_equal(v.wait_ms, AUTH_BUSY_MS);
    answer(&d, 0, WEB_LOGIN_WRONG);
    assert_int_equal(try(&d.auth, "ada:b", "p", 0, &v), AUTH_LATER);
    assert_int_equal(v.wait_ms, AUTH_WAIT_MS_MIN);
    assert_int_equal(try(&d.auth, "ada:b", "p", AUTH_WAIT_MS_MIN, &v), AUTH_ASKED);
    answer(&d, 1, WEB_LOGIN_RIGHT);
    assert_int_equal(try(&d.auth, "ada:b", "p", AUTH_WAIT_MS_MIN, &v), AUTH_OK);
}

static void checks_under_way_are_bounded(void **state)
{
    (void)state;
    struct desk d;
    struct auth_viewer v;
    char peer[16];
    open_desk(&d);
    for (int i = 0; i < AUTH_ASKED_MAX; i++) {
        char text[16];
        (void)snprintf(peer, sizeof peer, "p%d", i);
        (void)snprintf(text, sizeof text, "ada:%d", i);
        assert_int_equal(try(&d.auth, text, peer, 0, &v), AUTH_ASKED);
    }
    assert_int_equal(try(&d.auth, "ada:more", "q", 0, &v), AUTH_LATER);
    assert_int_equal(v.wait_ms, AUTH_BUSY_MS);
    answer(&d, 3, WEB_LOGIN_WRONG);
    assert_int_equal(try(&d.auth, "ada:more", "q", 0, &v), AUTH_ASKED);
    assert_int_equal(d.asks, AUTH_ASKED_MAX + 1);
    auth_close(&d.auth);
    for (size_t i = 0; i < d.asks; i++)
        if (i != 3)
            answer(&d, i, WEB_LOGIN_RIGHT); /* to nobody */
    assert_int_equal(d.answers, 1);
    open_desk(&d);
    d.full = true;
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_LATER);
    assert_int_equal(v.wait_ms, AUTH_BUSY_MS);
}

/* Neither right nor wrong: nobody is let in, and nobody has to wait longer. */
static void what_was_not_looked_at(void **state)
{
    (void)state;
    struct desk d;
    struct auth_viewer v;
    open_desk(&d);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_ASKED);
        answer(&d, i, WEB_LOGIN_BUSY);
    }
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_ASKED);
    answer(&d, 3, WEB_LOGIN_RIGHT);
    assert_int_equal(try(&d.auth, "ada:right", "p", 0, &v), AUTH_OK);
}

/* What cannot wait is checked on the loop, twice and then once in two seconds. */
static void upgrades_are_rare(void **state)
{
    (void)state;
    struct desk d;
    struct auth_viewer v;
    unsigned looked_at = 0;
    open_desk(&d);
    for (int64_t now = 0; now < 20000; now += 100) {
        char peer[24];
        struct sl_buf header = { 0 };
        (void)snprintf(peer, sizeof peer, "p%d", (int)now);
        sl_buf_put_str(&header, "Basic ");
        crypto_base64_put(&header, sl_str("ada:guess"));
        enum auth_verdict got = auth_check_now(&d.auth, sl_buf_slice(&header), peer, now, &v);
        assert_true(got == AUTH_WRONG || got == AUTH_LATER);
        assert_true(got == AUTH_WRONG || v.wait_ms > 0);
        looked_at += got == AUTH_WRONG;
        sl_buf_free(&header);
    }
    assert_int_equal(looked_at, AUTH_NOW_BURST + 20000 / AUTH_NOW_REFILL_MS - 1);
    assert_int_equal(d.door.asked, looked_at);
    assert_int_equal(d.asks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix),
        cmocka_unit_test(without_a_login_function_nobody_gets_in),
        cmocka_unit_test(a_right_password_is_remembered_for_a_minute),
        cmocka_unit_test(forgetting_asks_again),
        cmocka_unit_test(each_failure_waits_longer),
        cmocka_unit_test(one_who_guesses_does_not_lock_out_the_others),
        cmocka_unit_test(many_addresses_share_one_pace),
        cmocka_unit_test(malformed_credentials_cost_no_check),
        cmocka_unit_test(one_check_for_all_who_ask_the_same),
        cmocka_unit_test(one_check_at_a_time_for_an_address),
        cmocka_unit_test(checks_under_way_are_bounded),
        cmocka_unit_test(what_was_not_looked_at),
        cmocka_unit_test(upgrades_are_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
