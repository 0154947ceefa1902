/* test_purge.c - throwing away by hand, and looking page by page: the core on a fake disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <stdio.h>
#include <string.h>

struct outcome {
    unsigned calls;
    enum sl_code code;
    struct outbox_purged purged;
};

static void on_done(void *ctx, enum sl_code code, const char *error,
                    const struct outbox_purged *purged)
{
    struct outcome *o = ctx;
    assert_int_equal(code == SL_OK, error == NULL);
    o->calls++;
    o->code = code;
    o->purged = *purged;
}

static enum sl_code ask(struct rig *r, unsigned lanes, uint64_t limit, struct outcome *o)
{
    struct outbox_purge_request request = {
        .lanes = lanes, .limit = limit, .done = on_done, .ctx = o
    };
    *o = (struct outcome){ 0 };
    return core_purge(r->core, &request);
}

static uint64_t waiting(struct rig *r)
{
    struct outbox_stats s = rig_stats(r);
    return s.lane[0].waiting + s.lane[1].waiting + s.lane[2].waiting;
}

static uint64_t purged(struct rig *r)
{
    struct outbox_stats s = rig_stats(r);
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        sum += s.lane[i].loss[OUTBOX_LOST_PURGED].count;
    return sum;
}

/* Ten messages a lane on the disk, of which four are read ahead. */
static void fill(struct rig *r)
{
    rig_init(r);
    r->options.read_ahead = 4;
    rig_open(r);
    rig_settle(r);
    for (int i = 0; i < 10; i++) {
        char topic[8];
        (void)snprintf(topic, sizeof topic, "%d", i);
        for (int lane = 0; lane < OUTBOX_LANES; lane++)
            assert_true(rig_put(r, (enum outbox_lane)lane, topic, NULL));
    }
    rig_settle(r);
    r->core->purge_rows = 3;
}

enum { ALERT = 1u << OUTBOX_ALERT, NORMAL = 1u << OUTBOX_NORMAL, ALL = OUTBOX_ALL_LANES };

static const struct purge_case {
    const char *name;
    unsigned lanes;
    uint64_t limit;
    unsigned taken, fresh; /* messages with the sender, and in memory only */
    uint64_t want;
} purge_cases[] = {
    { "everything", ALL, UINT64_MAX, 0, 0, 30 },
    { "one lane", NORMAL, UINT64_MAX, 0, 0, 10 },
    { "two lanes", ALERT | NORMAL, UINT64_MAX, 0, 0, 20 },
    { "no lane", 0, UINT64_MAX, 0, 0, 0 },
    { "the oldest of a lane", NORMAL, 3, 0, 0, 3 },
    { "what was read and some rows", ALERT, 6, 0, 0, 6 },
    { "a limit reaches into the next lane", ALL, 13, 0, 0, 13 },
    { "a limit above what there is", NORMAL, 11, 0, 0, 10 },
    { "not what is with the sender", ALERT, UINT64_MAX, 3, 0, 7 },
    { "a limit counts what goes", ALERT, 5, 3, 0, 5 },
    { "what is only in memory, too", ALERT, UINT64_MAX, 0, 2, 12 },
    { "what is in memory is the youngest", ALERT, 11, 0, 2, 11 },
};

static void purges(void **state)
{
    const struct purge_case *c = *state;
    struct rig r;
    struct outcome o;
    fill(&r);
    core_set_link(r.core, true);
    for (unsigned i = 0; i < c->taken; i++)
        assert_non_null(core_take(r.core));
    for (unsigned i = 0; i < c->fresh; i++)
        assert_true(rig_put(&r, OUTBOX_ALERT, "fresh", NULL));
    uint64_t before = waiting(&r);
    assert_int_equal(ask(&r, c->lanes, c->limit, &o), SL_OK);
    assert_int_equal(o.calls, 0); /* never from inside the call */
    rig_settle(&r);
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.code, SL_OK);
    assert_int_equal(o.purged.messages, c->want);
    assert_int_equal(purged(&r), c->want);
    assert_int_equal(waiting(&r), before - c->want);
    rig_check(&r);
    /* What is left is what a restart finds, and the ledger with it. */
    core_return_all(r.core);
    core_set_link(r.core, false);
    rig_pass(&r, 2000);
    rig_crash(&r);
    rig_open(&r);
    rig_settle(&r);
    assert_int_equal(waiting(&r), before - c->want);
    assert_int_equal(purged(&r), c->want);
    rig_free(&r);
}

/* The publisher has done its part: it is not to send again what was thrown away on purpose. */
static void publishers_are_acknowledged(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    struct told told = { 0 };
    fill(&r);
    core_set_link(r.core, true);
    assert_true(rig_put(&r, OUTBOX_ALERT, "fresh", &told));
    assert_int_equal(ask(&r, ALERT, UINT64_MAX, &o), SL_OK);
    while (o.calls == 0) { /* not before the ledger is on the disk */
        rig_tick(&r);
        assert_true(told.calls == 0 ||
                    r.disk.lane[OUTBOX_ALERT].loss[OUTBOX_LOST_PURGED].count == 11);
        (void)fake_disk_step(&r.disk);
    }
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.result, SL_OK);
    rig_free(&r);
}

/* What comes while it is under way stays, and nothing of the lane is sent meanwhile. */
static void later_messages_stay(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    fill(&r);
    core_set_link(r.core, true);
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_OK);
    assert_true(rig_put(&r, OUTBOX_NORMAL, "later", NULL));
    rig_tick(&r);
    assert_null(core_take(r.core));
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_BUSY); /* one at a time */
    rig_settle(&r);
    assert_int_equal(waiting(&r), 1);
    (void)rig_take(&r, "later");
    rig_free(&r);
}

/* A commit that is out when the purge begins carries its messages to the disk: they go with the
 * next. */
static void while_a_commit_is_out(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    fill(&r);
    assert_true(rig_put(&r, OUTBOX_ALERT, "writing", NULL));
    rig_tick(&r);
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_OK);
    rig_settle(&r);
    assert_int_equal(o.code, SL_OK);
    assert_int_equal(o.purged.messages, 31);
    for (int i = 0; i < OUTBOX_LANES; i++)
        assert_int_equal(r.disk.rows[i].count, 0);
    rig_free(&r);
}

static const struct fail_case {
    const char *name;
    enum sl_code read, commit;
    enum sl_code want;
    uint64_t purged; /* and counted as such: what was read went at once */
} fail_cases[] = {
    { "a stretch cannot be counted", SL_IO, SL_OK, SL_IO, 4 },
    { "a commit fails", SL_OK, SL_IO, SL_IO, 4 },
    { "the disk is full, but deleting works", SL_OK, SL_FULL, SL_FULL, 4 },
};

static void fails(void **state)
{
    const struct fail_case *c = *state;
    struct rig r;
    struct outcome o;
    fill(&r);
    r.disk.read_fails = c->read;
    r.disk.commit_fails = c->commit;
    assert_int_equal(ask(&r, ALERT, UINT64_MAX, &o), SL_OK);
    rig_settle(&r);
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.code, c->want);
    assert_int_equal(o.purged.messages, c->purged);
    rig_check(&r);
    r.disk.read_fails = r.disk.commit_fails = SL_OK;
    rig_pass(&r, 10000);
    assert_int_equal(ask(&r, ALERT, UINT64_MAX, &o), SL_OK);
    rig_settle(&r);
    assert_int_equal(o.code, SL_OK);
    assert_int_equal(purged(&r), 10);
    rig_free(&r);
}

static void not_before_it_is_open(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    rig_init(&r);
    rig_open(&r);
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_BUSY);
    rig_settle(&r);
    core_close(r.core);
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_CLOSED);
    rig_settle(&r);
    rig_free(&r);
}

static void closing_ends_it(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    fill(&r);
    assert_int_equal(ask(&r, ALL, UINT64_MAX, &o), SL_OK);
    rig_tick(&r);
    core_close(r.core);
    rig_settle(&r);
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.code, SL_CLOSED);
    assert_true(core_is_closed(r.core));
    rig_check(&r);
    rig_free(&r);
}

/* Letters are in the ledger as `dead`, and stay there. */
static void dead_letters(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o = { 0 };
    fill(&r);
    core_set_link(r.core, true);
    for (int i = 0; i < 2; i++) /* the fake disk tells letters by their numbers alone */
        assert_true(rig_put(&r, OUTBOX_NORMAL, "n", NULL));
    assert_int_equal(ask(&r, NORMAL, 10, &o), SL_OK);
    rig_settle(&r);
    for (int i = 0; i < 12; i++) /* ten alerts, two of the normal lane */
        core_dead(r.core, core_take(r.core), "refused"), rig_pass(&r, 2000);
    assert_int_equal(rig_stats(&r).dead, 12);
    struct outbox_purge_request request = {
        .lanes = ALERT, .dead = true, .limit = 4, .done = on_done, .ctx = &o
    };
    assert_int_equal(core_purge(r.core, &request), SL_OK);
    rig_settle(&r);
    assert_int_equal(o.purged.letters, 4);
    request.limit = UINT64_MAX;
    assert_int_equal(core_purge(r.core, &request), SL_OK);
    rig_settle(&r);
    assert_int_equal(o.purged.letters, 6);
    assert_int_equal(rig_stats(&r).dead, 2);
    assert_int_equal(waiting(&r), 10);
    assert_int_equal(purged(&r), 10);
    rig_free(&r);
}

/* ---- pages ---- */

struct pages {
    char text[256];
    uint64_t next;
    unsigned rows;
};

static void see_row(void *ctx, const struct outbox_row *row)
{
    struct pages *p = ctx;
    size_t at = strlen(p->text);
    (void)snprintf(p->text + at, sizeof p->text - at, "%.*s", SL_FMT(row->topic));
    p->next = row->position + 1;
    p->rows++;
}

static void see_done(void *ctx, enum sl_code code, const char *error)
{
    (void)ctx;
    assert_int_equal(code, SL_OK);
    assert_null(error);
}

static const struct page_case {
    const char *name;
    uint32_t limit;
    uint64_t bytes_max; /* a message counts for 85 */
    unsigned pages;     /* the empty one at the end among them */
} page_cases[] = {
    { "all in one", 100, 0, 2 },
    { "one at a time", 1, 0, 14 },
    { "five at a time", 5, 0, 4 },
    { "as many as are there", 13, 0, 2 },
    { "bounded by bytes", 100, 4 * 85, 5 },
    { "a byte more lets one more in", 100, 4 * 85 + 1, 4 },
    { "a bound below one message gives one", 100, 1, 14 },
};

static void looks_page_by_page(void **state)
{
    const struct page_case *c = *state;
    struct rig r;
    struct pages p = { .rows = 1 };
    unsigned pages = 0;
    fill(&r);
    core_set_link(r.core, true);
    for (int i = 0; i < 3; i++) /* behind the rows on disk, in memory */
        assert_true(rig_put(&r, OUTBOX_NORMAL, "m", NULL));
    for (; p.rows > 0; pages++) {
        struct outbox_list_request request = { .lane = OUTBOX_NORMAL,
                                               .limit = c->limit,
                                               .from = p.next,
                                               .bytes_max = c->bytes_max,
                                               .row = see_row,
                                               .done = see_done,
                                               .ctx = &p };
        p.rows = 0;
        assert_int_equal(core_list(r.core, &request), SL_OK);
        rig_settle(&r);
        assert_true(pages < 100);
    }
    assert_string_equal(p.text, "0123456789mmm");
    assert_int_equal(pages, c->pages);
    rig_free(&r);
}

#define TABLE(cases, run)                                                                          \
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)                                               \
        tests[count++] = (struct CMUnitTest)                                                       \
        {                                                                                          \
            .name = cases[i].name, .test_func = run, .initial_state = (void *)(uintptr_t)&cases[i] \
        }

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(publishers_are_acknowledged),
        cmocka_unit_test(later_messages_stay),
        cmocka_unit_test(while_a_commit_is_out),
        cmocka_unit_test(not_before_it_is_open),
        cmocka_unit_test(closing_ends_it),
        cmocka_unit_test(dead_letters),
    };
    struct CMUnitTest tests[64];
    size_t count = 0;
    TABLE(purge_cases, purges);
    TABLE(fail_cases, fails);
    TABLE(page_cases, looks_page_by_page);
    int failed = cmocka_run_group_tests(plain, NULL, NULL);
    return failed + _cmocka_run_group_tests("tables", tests, count, NULL, NULL);
}
