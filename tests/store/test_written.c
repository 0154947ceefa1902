/* test_written.c - the flash budget's counters against what really reaches the files: the database
 * counts bytes and syncs from what SQLite is known to do, a VFS counts what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db.h"
#include "powercut.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct sl_msg *message(size_t payload)
{
    uint8_t *bytes = calloc(1, payload + 1);
    assert_non_null(bytes);
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str("telemetry/barn/7"),
                                                          .payload = sl_bytes(bytes, payload),
                                                          .expiry_s = SL_MSG_NO_EXPIRY,
                                                          .qos = 1,
                                                          .wall_ms = 1764000000000 });
    free(bytes);
    assert_non_null(m);
    return m;
}

struct place {
    char folder[64], path[96];
    struct powercut *power;
    struct db *db;
    struct disk_open open;
    struct disk_commit commit;
    struct sl_msg *m;
    uint64_t next;
    struct disk_append rows[512];
};

static void must(enum sl_code code, const struct sl_err *err)
{
    if (code != SL_OK)
        fail_msg("%s", err->text);
}

static void place_open(struct place *p, enum outbox_sync sync, size_t payload)
{
    struct sl_err err = { 0 };
    *p = (struct place){ .folder = "/tmp/test-written-XXXXXX", .next = 1 };
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof p->path, "%s/queue.db", p->folder);
    p->power = powercut_new(1);
    assert_non_null(p->power);
    p->m = message(payload);
    struct db_options options = { .path = p->path, .max_bytes = 64 << 20, .sync = sync };
    must(db_open(&p->db, &options, &p->open, &err), &err);
    memcpy(p->commit.lane, p->open.lane, sizeof p->commit.lane);
}

static void place_close(struct place *p)
{
    char command[128];
    db_close(p->db);
    sl_msg_unref(p->m);
    powercut_free(p->power);
    (void)snprintf(command, sizeof command, "rm -rf %s", p->folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
}

/* So many rows come, and as many that came first leave. */
static void one_commit(struct place *p, size_t rows, bool leave)
{
    struct sl_err err = { 0 };
    struct disk_range gone = { p->next - rows, p->next - 1, OUTBOX_TELEMETRY };
    for (size_t i = 0; i < rows; i++)
        p->rows[i] = (struct disk_append){
            .msg = p->m, .number = p->next++, .wall_ms = p->m->wall_ms, .lane = OUTBOX_TELEMETRY
        };
    p->commit.rows = p->rows;
    p->commit.row_count = rows;
    p->commit.gone = &gone;
    p->commit.gone_count = leave ? 1 : 0;
    p->commit.lane[OUTBOX_TELEMETRY].last = p->next - 1;
    p->commit.lane[OUTBOX_TELEMETRY].rows += leave ? 0 : rows;
    p->commit.lane[OUTBOX_TELEMETRY].delivered += leave ? rows : 0;
    must(db_commit(p->db, &p->commit, &err), &err);
    db_upkeep(p->db);
}

static const struct written_case {
    const char *name;
    enum outbox_sync sync;
    size_t rows, payload;
    unsigned commits;
    bool leave;
} cases[] = {
    { "one row a commit", OUTBOX_SYNC_FULL, 1, 120, 3000, false },
    { "a hundred", OUTBOX_SYNC_FULL, 100, 120, 300, false },
    { "rows come and go", OUTBOX_SYNC_FULL, 20, 120, 1000, true },
    { "large rows", OUTBOX_SYNC_FULL, 5, 9000, 500, false },
    { "a log that never grows", OUTBOX_SYNC_FULL, 1, 120, 10, false },
    { "not synced at each commit", OUTBOX_SYNC_NORMAL, 10, 120, 2000, false },
    { "never synced", OUTBOX_SYNC_OFF, 10, 120, 2000, false },
};

static void counts_what_is_written(void **state)
{
    const struct written_case *c = *state;
    struct place p;
    place_open(&p, c->sync, c->payload);
    uint64_t syncs = p.open.syncs, bytes = p.open.bytes_written;
    struct powercut_counts before = powercut_counts(p.power);
    for (unsigned i = 0; i < c->commits; i++)
        one_commit(&p, c->rows, c->leave && i > 0);
    one_commit(&p, 1, false); /* the last one tells what upkeep did before it */
    struct powercut_counts after = powercut_counts(p.power);
    syncs = p.commit.syncs - syncs;
    bytes = p.commit.bytes_written - bytes;
    assert_int_equal(syncs, after.syncs - before.syncs);
    /* A page that is in the log twice moves once, and may be counted twice: too much rather than
     * too little. */
    uint64_t written = after.bytes - before.bytes;
    if (bytes < written / 100 * 97 || bytes > written / 100 * 135 + 4096)
        fail_msg("%llu bytes counted, %llu written", (unsigned long long)bytes,
                 (unsigned long long)written);
    assert_true(c->sync != OUTBOX_SYNC_OFF || syncs == 0);
    place_close(&p);
}

/* Reserving numbers is a commit as well: it is not for nothing. */
static void opening_is_counted(void **state)
{
    (void)state;
    struct place p;
    place_open(&p, OUTBOX_SYNC_FULL, 1);
    assert_true(p.open.bytes_written > 0);
    assert_int_equal(p.open.syncs, 2);
    place_close(&p);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + 1] = { cmocka_unit_test(opening_is_counted) };
    for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++)
        tests[i + 1] = (struct CMUnitTest){ .name = cases[i].name,
                                            .test_func = counts_what_is_written,
                                            .initial_state = (void *)(uintptr_t)&cases[i] };
    return _cmocka_run_group_tests("written", tests, SL_ARRAY_LEN(tests), NULL, NULL);
}
