/* test_watch.c - what a viewer of the page may watch, with and without an access list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway_rig.h"
#include "watch.h"

#include <stdio.h>

struct viewer {
    char seen[256]; /* topics, each with a space behind it */
};

static void see(void *ctx, struct sl_slice topic, struct sl_slice payload, int64_t wall_ms,
                bool retain)
{
    struct viewer *v = ctx;
    (void)payload;
    (void)wall_ms;
    (void)retain;
    size_t len = strlen(v->seen);
    (void)snprintf(v->seen + len, sizeof v->seen - len, "%.*s ", SL_FMT(topic)); /* fits */
}

static void publish(struct gateway_rig *r, const char *topic)
{
    gateway_publish(r->g, sl_str(topic), sl_str("x"), false);
    rig_turn(&r->broker);
}

static void set_list(struct gateway_rig *r, const char *denied)
{
    const char *const deny[] = { denied, NULL }, *const all[] = { "#", NULL },
                      *const open[] = { "open/#", NULL };
    const struct acl_entry_options list[] = {
        { .deny = deny },
        { .user = "anna", .subscribe = all },
        { .anonymous = true, .subscribe = open },
    };
    struct acl *a = acl_new(list, SL_ARRAY_LEN(list));
    assert_non_null(a);
    broker_set_acl(r->g->broker, a);
    acl_unref(a);
}

static void viewers_see_what_they_may_read(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct viewer anna = { 0 }, berta = { 0 }, nameless = { 0 };
    unsigned count = 0;
    gateway_rig_open(&r, "");
    struct broker *b = r.g->broker;
    struct watch *w[] = { watch_open(b, &count, sl_str("anna"), sl_str("#"), see, &anna),
                          watch_open(b, &count, sl_str("berta"), sl_str("#"), see, &berta),
                          watch_open(b, &count, sl_str(""), sl_str("#"), see, &nameless) };
    assert_int_equal(count, 3);
    publish(&r, "a");
    set_list(&r, "secret");
    publish(&r, "b");
    publish(&r, "secret");
    publish(&r, "open/c");
    set_list(&r, "b");
    publish(&r, "b");
    publish(&r, "secret");
    broker_set_acl(b, NULL);
    publish(&r, "d");
    assert_string_equal(anna.seen, "a b open/c secret d ");
    assert_string_equal(berta.seen, "a d ");
    assert_string_equal(nameless.seen, "a open/c d ");
    for (size_t i = 0; i < SL_ARRAY_LEN(w); i++)
        watch_close(w[i]);
    assert_int_equal(count, 0);
    gateway_rig_close(&r);
}

static void watches_are_bounded(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct viewer v = { 0 };
    struct watch *w[WATCHES_MAX];
    unsigned count = 0;
    gateway_rig_open(&r, "");
    for (size_t i = 0; i < WATCHES_MAX; i++)
        assert_non_null(w[i] = watch_open(r.g->broker, &count, sl_str("u"), sl_str("a"), see, &v));
    assert_null(watch_open(r.g->broker, &count, sl_str("u"), sl_str("a"), see, &v));
    watch_close(w[0]);
    assert_null(watch_open(r.g->broker, &count, sl_str("u"), sl_str("a#"), see, &v));
    for (size_t i = 1; i < WATCHES_MAX; i++)
        watch_close(w[i]);
    gateway_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(viewers_see_what_they_may_read),
        cmocka_unit_test(watches_are_bounded),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
