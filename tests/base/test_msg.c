/* test_msg.c - messages and the hash table that things are found in. */
#include "base/map.h"
#include "base/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- messages ---- */

static void holds_copies(void **state)
{
    (void)state;
    char topic[] = "a/b", props[] = "\x01\x01", payload[] = "p\0q", sender[] = "me";
    struct sl_msg_parts parts = {
        .topic = sl_str(topic),
        .props = sl_str(props),
        .payload = sl_bytes(payload, 3),
        .sender = sl_str(sender),
        .expiry_s = 7,
        .qos = 2,
        .retain = true,
        .mono_ms = 11,
        .wall_ms = 12,
        .origin = 13,
    };
    struct sl_msg *m = sl_msg_new(&parts);
    assert_non_null(m);
    memset(topic, 'x', 3);
    memset(props, 'x', 2);
    memset(payload, 'x', 3);
    memset(sender, 'x', 2);
    assert_true(sl_slice_eq(sl_msg_topic(m), sl_str("a/b")));
    assert_true(sl_slice_eq(sl_msg_props(m), sl_str("\x01\x01")));
    assert_true(sl_slice_eq(sl_msg_payload(m), sl_bytes("p\0q", 3)));
    assert_true(sl_slice_eq(sl_msg_sender(m), sl_str("me")));
    assert_true(m->expiry_s == 7 && m->qos == 2 && m->retain);
    assert_true(m->mono_ms == 11 && m->wall_ms == 12 && m->origin == 13);
    assert_int_equal(sl_msg_size(m), sizeof *m + 3 + 2 + 3 + 2);
    assert_ptr_equal(sl_msg_ref(m), m);
    assert_int_equal(m->refs, 2);
    sl_msg_unref(m);
    assert_int_equal(m->refs, 1);
    sl_msg_unref(m);
    sl_msg_unref(NULL);
}

static void nothing_in_it(void **state)
{
    (void)state;
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .expiry_s = SL_MSG_NO_EXPIRY });
    assert_non_null(m);
    assert_int_equal(sl_msg_topic(m).len, 0);
    assert_int_equal(sl_msg_payload(m).len, 0);
    assert_false(sl_msg_expired(m, INT64_MAX));
    sl_msg_unref(m);
}

/* Lengths are refused before a byte is read. */
static void too_large(void **state)
{
    (void)state;
    static const uint8_t byte;
    struct sl_slice text = { &byte, 65536 }, huge = { &byte, 268435456 };
    assert_null(sl_msg_new(&(struct sl_msg_parts){ .topic = text }));
    assert_null(sl_msg_new(&(struct sl_msg_parts){ .sender = text }));
    assert_null(sl_msg_new(&(struct sl_msg_parts){ .payload = huge }));
    assert_null(sl_msg_new(&(struct sl_msg_parts){ .props = huge }));
}

static void expires(void **state)
{
    (void)state;
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .expiry_s = 2, .mono_ms = 1000 });
    assert_non_null(m);
    assert_false(sl_msg_expired(m, 1000));
    assert_false(sl_msg_expired(m, 2999));
    assert_true(sl_msg_expired(m, 3000));
    m->expiry_s = 0; /* may be delivered now or never */
    assert_true(sl_msg_expired(m, 1000));
    m->expiry_s = SL_MSG_NO_EXPIRY - 1; /* no overflow */
    assert_false(sl_msg_expired(m, 1000 + INT64_C(4294967294000) - 1));
    assert_true(sl_msg_expired(m, 1000 + INT64_C(4294967294000)));
    sl_msg_unref(m);
}

/* ---- the map ---- */

enum { THINGS = 2000 };
struct thing {
    char key[16];
    bool in;
};

static struct sl_slice key_of(const void *value)
{
    return sl_str(((const struct thing *)value)->key);
}

static void assert_map(const struct sl_map *m, struct thing *things)
{
    uint32_t want = 0, walked = 0, at = 0;
    for (size_t i = 0; i < THINGS; i++) {
        void *found = sl_map_get(m, key_of, sl_str(things[i].key));
        assert_ptr_equal(found, things[i].in ? &things[i] : NULL);
        want += things[i].in;
    }
    for (struct thing *t; (t = sl_map_next(m, &at));) {
        assert_true(t->in);
        walked++;
    }
    assert_int_equal(m->count, want);
    assert_int_equal(walked, want);
}

/* Fills, thins out in several patterns, and empties; the table must agree with the flags. */
static void map_agrees(void **state)
{
    (void)state;
    struct sl_map m = { 0 };
    struct thing *things = calloc(THINGS, sizeof *things);
    assert_non_null(things);
    for (unsigned i = 0; i < THINGS; i++)
        (void)snprintf(things[i].key, sizeof things[i].key, "sensor/%u", i);
    assert_map(&m, things);
    for (size_t i = 0; i < THINGS; i++) {
        assert_true(sl_map_put(&m, key_of, &things[i]));
        things[i].in = true;
    }
    assert_map(&m, things);
    for (size_t step = 2; step <= 7; step++) {
        for (size_t i = 0; i < THINGS; i += step) {
            sl_map_remove(&m, key_of, &things[i]); /* a second time does nothing */
            things[i].in = false;
        }
        assert_map(&m, things);
    }
    struct thing stranger = { .key = "sensor/1" }; /* the same key is not the same value */
    sl_map_remove(&m, key_of, &stranger);
    assert_map(&m, things);
    for (size_t i = 0; i < THINGS; i++) {
        sl_map_remove(&m, key_of, &things[i]);
        things[i].in = false;
    }
    assert_map(&m, things);
    assert_null(m.slots); /* an empty map owns nothing */
    sl_map_free(&m);
    free(things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_copies), cmocka_unit_test(nothing_in_it),
        cmocka_unit_test(too_large),    cmocka_unit_test(expires),
        cmocka_unit_test(map_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
