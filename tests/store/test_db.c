/* test_db.c - the outbox's database by itself: sealed rows, keys, older versions, and the walk that
 * thins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db.h"

#include "base/file.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST 1000 /* the first row's number */

struct place {
    char folder[64], path[96];
    struct db_options options;
    struct disk_open open;
    struct db *db;
    struct disk_row row[DISK_READ_ROWS_MAX];
};

static void begin(struct place *p, uint8_t key)
{
    *p = (struct place){ .folder = "/tmp/test-db-XXXXXX" };
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof p->path, "%s/queue.db", p->folder);
    p->options = (struct db_options){
        .path = p->path, .max_bytes = 1u << 24, .boot = 1, .sealed = key != 0
    };
    memset(p->options.seal_key, key, sizeof p->options.seal_key);
}

static void end(struct place *p)
{
    db_close(p->db);
    DIR *d = opendir(p->folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", p->folder, e->d_name);
        if (e->d_name[0] != '.')
            (void)unlink(path);
    }
    (void)closedir(d);
    assert_int_equal(rmdir(p->folder), 0);
}

static enum sl_code try_open(struct place *p, struct sl_err *err)
{
    db_close(p->db);
    p->db = NULL;
    p->open = (struct disk_open){ .mono_ms = 1000, .wall_ms = 1800000000000 };
    return db_open(&p->db, &p->options, &p->open, err);
}

static void must_open(struct place *p)
{
    struct sl_err err = { 0 };
    if (try_open(p, &err) != SL_OK)
        fail_msg("%s", err.text);
}

static struct sl_msg *message(const char *topic, const char *props, const char *payload)
{
    struct sl_msg *m = sl_msg_new(&(struct sl_msg_parts){ .topic = sl_str(topic),
                                                          .props = sl_str(props),
                                                          .payload = sl_str(payload),
                                                          .expiry_s = 60,
                                                          .qos = 1,
                                                          .retain = true,
                                                          .batch = 7,
                                                          .mono_ms = 500,
                                                          .wall_ms = 1799999999500 });
    assert_non_null(m);
    return m;
}

static void add(struct place *p, uint64_t number, const char *topic, const char *payload,
                const char *reason)
{
    struct sl_err err = { 0 };
    struct sl_msg *m = message(topic, "prop-secret", payload);
    struct disk_append row = {
        .msg = m, .number = number, .wall_ms = m->wall_ms, .lane = OUTBOX_TELEMETRY
    };
    struct disk_letter letter = { m, m->wall_ms, reason, number, OUTBOX_TELEMETRY };
    struct disk_commit commit = { .rows = &row,
                                  .row_count = reason ? 0 : 1,
                                  .letters = &letter,
                                  .letter_count = reason ? 1 : 0 };
    memcpy(commit.lane, p->open.lane, sizeof commit.lane);
    assert_int_equal(db_commit(p->db, &commit, &err), SL_OK);
    sl_msg_unref(m);
}

/* Rows of telemetry, or the letters; they stay in p->row until drop(). */
static size_t read_all(struct place *p, bool dead)
{
    struct sl_err err = { 0 };
    struct disk_read read = { .lane = OUTBOX_TELEMETRY,
                              .dead = dead,
                              .rows_max = DISK_READ_ROWS_MAX,
                              .bytes_max = DISK_READ_BYTES_MAX,
                              .row = p->row };
    if (db_read(p->db, &read, &err) != SL_OK)
        fail_msg("%s", err.text);
    assert_true(read.end);
    return read.row_count;
}

static void drop(struct place *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sl_msg_unref(p->row[i].msg);
        free(p->row[i].reason);
    }
}

static void check_row(const struct disk_row *row, uint64_t number, const char *payload)
{
    assert_int_equal(row->number, number);
    assert_non_null(row->msg);
    const struct sl_msg *m = row->msg;
    assert_true(sl_slice_eq(sl_msg_topic(m), sl_str("topic-secret")));
    assert_true(sl_slice_eq(sl_msg_props(m), sl_str("prop-secret")));
    assert_true(sl_slice_eq(sl_msg_payload(m), sl_str(payload)));
    assert_int_equal(m->expiry_s, 60);
    assert_int_equal(m->qos, 1);
    assert_true(m->retain);
    assert_int_equal(m->batch, 7);
    assert_int_equal(m->mono_ms, 500);
    assert_int_equal(m->wall_ms, 1799999999500);
    assert_int_equal(row->bytes, disk_row_bytes(m));
}

/* In any file of the folder. */
static bool files_have(struct place *p, const char *text)
{
    bool found = false;
    DIR *d = opendir(p->folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[400];
        struct sl_buf all = { 0 };
        (void)snprintf(path, sizeof path, "%s/%s", p->folder, e->d_name);
        if (e->d_name[0] != '.' && sl_file_read(path, 1u << 24, &all, NULL) == SL_OK)
            found = found || memmem(all.ptr, all.len, text, strlen(text));
        sl_buf_free(&all);
    }
    (void)closedir(d);
    return found;
}

/* ---- sealed ---- */

static void rows_are_sealed(void **state)
{
    (void)state;
    struct place p;
    for (uint8_t key = 0; key < 2; key++) {
        begin(&p, key);
        must_open(&p);
        add(&p, FIRST, "topic-secret", "payload-secret", NULL);
        add(&p, FIRST + 1, "topic-secret", "", NULL);
        add(&p, FIRST + 2, "topic-secret", "letter-secret", "too deep");
        for (int again = 0; again < 2; again++) {
            assert_int_equal(read_all(&p, false), 2);
            check_row(&p.row[0], FIRST, "payload-secret");
            check_row(&p.row[1], FIRST + 1, "");
            drop(&p, 2);
            assert_int_equal(read_all(&p, true), 1);
            assert_true(sl_slice_eq(sl_msg_payload(p.row[0].msg), sl_str("letter-secret")));
            assert_true(sl_slice_eq(sl_msg_topic(p.row[0].msg), sl_str("topic-secret")));
            assert_string_equal(p.row[0].reason, "too deep");
            drop(&p, 1);
            assert_int_equal(files_have(&p, "payload-secret"), !key);
            assert_int_equal(files_have(&p, "topic-secret"), !key);
            assert_int_equal(files_have(&p, "prop-secret"), !key);
            assert_int_equal(files_have(&p, "letter-secret"), !key);
            assert_false(files_have(&p, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"));
            must_open(&p);
        }
        end(&p);
    }
}

static void a_plain_database_is_taken_on(void **state)
{
    (void)state;
    struct place p;
    begin(&p, 0);
    must_open(&p);
    add(&p, FIRST, "topic-secret", "plain", NULL);
    p.options.sealed = true;
    must_open(&p);
    add(&p, FIRST + 1, "topic-secret", "sealed-one", NULL);
    must_open(&p);
    assert_int_equal(read_all(&p, false), 2);
    check_row(&p.row[0], FIRST, "plain");
    check_row(&p.row[1], FIRST + 1, "sealed-one");
    drop(&p, 2);
    assert_false(files_have(&p, "sealed-one"));
    end(&p);
}

static const struct key_case {
    const char *name;
    uint8_t made_with, opened_with;
    enum sl_code want;
    const char *says;
} keys[] = {
    { "the same", 1, 1, SL_OK, "" },
    { "none at all", 0, 0, SL_OK, "" },
    { "one for a plain one", 0, 1, SL_OK, "" },
    { "another", 1, 2, SL_INVALID, "sealed with another key" },
    { "missing", 1, 0, SL_INVALID, "store.encryption_key is needed" },
};

/* Looking at the file alone tells, with the log still beside it and without; and the file stays. */
static void key_is_checked(void **state)
{
    const struct key_case *c = *state;
    struct place p;
    struct sl_err err = { 0 };
    struct sl_buf before = { 0 }, after = { 0 };
    begin(&p, c->made_with);
    assert_int_equal(db_check_key(&p.options, &err), SL_OK); /* no file yet */
    must_open(&p);
    add(&p, FIRST, "topic-secret", "x", NULL);
    struct db_options other = p.options;
    other.sealed = c->opened_with != 0;
    memset(other.seal_key, c->opened_with, sizeof other.seal_key);
    assert_int_equal(db_check_key(&other, &err), c->want); /* while it is open, too */
    db_close(p.db);
    p.db = NULL;
    assert_int_equal(sl_file_read(p.path, 1u << 24, &before, &err), SL_OK);
    assert_int_equal(db_check_key(&other, &err), c->want);
    p.options = other;
    if (c->want != SL_OK) {
        assert_non_null(strstr(err.text, c->says));
        err = (struct sl_err){ 0 };
        assert_int_equal(try_open(&p, &err), c->want);
        assert_non_null(strstr(err.text, c->says));
        assert_false(p.open.moved);
        assert_int_equal(sl_file_read(p.path, 1u << 24, &after, &err), SL_OK);
        assert_true(sl_slice_eq(sl_buf_slice(&before), sl_buf_slice(&after)));
    } else {
        must_open(&p);
        assert_int_equal(read_all(&p, false), 1);
        check_row(&p.row[0], FIRST, "x");
        drop(&p, 1);
    }
    sl_buf_free(&before);
    sl_buf_free(&after);
    end(&p);
}

static void exec(struct place *p, const char *sql)
{
    sqlite3 *s = NULL;
    char *text = NULL;
    db_close(p->db);
    p->db = NULL;
    assert_int_equal(sqlite3_open(p->path, &s), SQLITE_OK);
    if (sqlite3_exec(s, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s", text);
    (void)sqlite3_close(s);
}

static void a_row_that_was_changed_does_not_count(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "UPDATE telemetry SET payload=zeroblob(length(payload)) WHERE number=1000",
        "UPDATE telemetry SET flags=flags&255 WHERE number=1000",
        "UPDATE telemetry SET flags=flags|1024 WHERE number=1000",
        "UPDATE telemetry SET payload=substr(payload,1,45) WHERE number=1000",
        "UPDATE telemetry SET payload=x'' WHERE number=1000",
        "UPDATE telemetry SET wall_ms=wall_ms+1 WHERE number=1000",
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(changes); i++) {
        struct place p;
        begin(&p, 1);
        must_open(&p);
        add(&p, FIRST, "topic-secret", "first", NULL);
        add(&p, FIRST + 1, "topic-secret", "other", NULL);
        exec(&p, changes[i]);
        must_open(&p);
        assert_int_equal(read_all(&p, false), 2);
        assert_null(p.row[0].msg);
        check_row(&p.row[1], FIRST + 1, "other");
        drop(&p, 2);
        end(&p);
    }
}

/* ---- older versions ---- */

static void copy_old(struct place *p)
{
    struct sl_buf all = { 0 };
    struct sl_err err;
    assert_int_equal(sl_file_read(SLUICE_OLD_DATABASES "/queue-v1.db", 1u << 20, &all, &err),
                     SL_OK);
    assert_int_equal(sl_file_replace(p->path, sl_buf_slice(&all), 0600, &err), SL_OK);
    sl_buf_free(&all);
}

static void check_old(struct place *p)
{
    const struct disk_lane *l = p->open.lane;
    assert_false(p->open.moved);
    assert_false(p->open.fresh);
    assert_int_equal(l[OUTBOX_ALERT].rows, 3);
    assert_int_equal(l[OUTBOX_ALERT].delivered, 5);
    assert_int_equal(l[OUTBOX_NORMAL].rows, 3);
    assert_int_equal(l[OUTBOX_TELEMETRY].rows, 20);
    assert_int_equal(l[OUTBOX_TELEMETRY].loss[OUTBOX_LOST_DEAD].count, 1);
    assert_int_equal(p->open.dead_rows, 1);
    assert_int_equal(read_all(p, false), 20);
    for (size_t i = 0; i < 20; i++) {
        char want[40];
        (void)snprintf(want, sizeof want, "{\"n\":%zu,\"s\":\"secret\"}", i + 1);
        assert_non_null(p->row[i].msg);
        assert_true(sl_slice_eq(sl_msg_payload(p->row[i].msg), sl_str(want)));
        assert_true(p->row[i].msg->retain);
    }
    drop(p, 20);
    assert_int_equal(read_all(p, true), 1);
    assert_true(sl_slice_eq(sl_msg_payload(p->row[0].msg), sl_str("{}")));
    assert_string_equal(p->row[0].reason, "topic too deep");
    drop(p, 1);
}

static void version_1_goes_on(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < 2; key++) {
        struct place p;
        begin(&p, key);
        copy_old(&p);
        for (int again = 0; again < 3; again++) {
            must_open(&p);
            check_old(&p);
        }
        add(&p, UINT64_C(1) << 50, "topic-secret", "new", NULL);
        must_open(&p);
        assert_int_equal(read_all(&p, false), 21);
        check_row(&p.row[20], UINT64_C(1) << 50, "new");
        drop(&p, 21);
        end(&p);
    }
}

static void version_1_is_not_changed_by_looking(void **state)
{
    (void)state;
    struct place p;
    struct sl_err err = { 0 };
    begin(&p, 1);
    copy_old(&p);
    assert_int_equal(db_check_key(&p.options, &err), SL_OK);
    assert_int_equal(db_open_to_read(&p.db, &p.options, &err), SL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "older version"));
    must_open(&p);
    check_old(&p);
    end(&p);
}

/* ---- boots ---- */

static void add_doubtful(struct place *p, uint64_t number, bool unsure, const int64_t *offset_ms)
{
    struct sl_err err = { 0 };
    struct sl_msg *m = message("topic-secret", "prop-secret", "x");
    struct disk_append row = {
        .msg = m, .number = number, .wall_ms = 7000, .lane = OUTBOX_TELEMETRY, .unsure = unsure
    };
    struct disk_commit commit = { .rows = &row,
                                  .row_count = 1,
                                  .clock_set = offset_ms != NULL,
                                  .clock_offset_ms = offset_ms ? *offset_ms : 0 };
    memcpy(commit.lane, p->open.lane, sizeof commit.lane);
    assert_int_equal(db_commit(p->db, &commit, &err), SL_OK);
    sl_msg_unref(m);
}

static void check_times(struct place *p, int64_t wall, bool unsure, int64_t wall_2, bool unsure_2)
{
    assert_int_equal(read_all(p, false), 2);
    assert_int_equal(p->row[0].msg->wall_ms, wall);
    assert_int_equal(p->row[0].unsure, unsure);
    assert_int_equal(p->row[1].msg->wall_ms, wall_2);
    assert_int_equal(p->row[1].unsure, unsure_2);
    drop(p, 2);
}

/* The message is of 500 ms after the boot. The time becomes known in boot 1; in boot 2 it never
 * does. */
static void stamps_are_put_right_in_later_boots(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < 2; key++) {
        struct place p;
        const int64_t offset = 1790000000000;
        begin(&p, key);
        must_open(&p);
        add_doubtful(&p, FIRST, true, NULL);
        add_doubtful(&p, FIRST + 1, true, NULL);
        check_times(&p, 7000, true, 7000, true);
        add_doubtful(&p, FIRST + 1, false, &offset);
        check_times(&p, offset + 500, false, 7000, false);
        p.options.boot = 2;
        must_open(&p);
        add_doubtful(&p, FIRST + 1, true, NULL);
        check_times(&p, offset + 500, false, 7000, true);
        p.options.boot = 3;
        must_open(&p);
        check_times(&p, offset + 500, false, 7000, false);
        end(&p);
    }
}

/* ---- thinning ---- */

static void the_walk_finds_pairs(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < 2; key++) {
        struct place p;
        begin(&p, 0);
        must_open(&p);
        struct thin_topics topics = { 0 };
        struct thin_row gone[4];
        struct sl_err err = { 0 };
        for (uint64_t i = 0; i < 10; i++) {
            if (i == 4 && key) {
                p.options.sealed = true; /* halfway: pairs of both kinds */
                must_open(&p);
            }
            add(&p, FIRST + i, i % 3 == 0 ? "a" : "b", "payload", NULL);
        }
        struct disk_thin thin = { .lane = OUTBOX_TELEMETRY,
                                  .topics = &topics,
                                  .to = FIRST + 8,
                                  .rows_max = 4,
                                  .gone = gone };
        uint64_t found = 0, seen = 0, bytes = 0;
        do {
            assert_int_equal(db_thin(p.db, &thin, &err), SL_OK);
            seen += thin.seen;
            for (size_t i = 0; i < thin.gone_count; i++) {
                found |= 1u << (gone[i].number - FIRST);
                bytes += gone[i].bytes;
            }
        } while (!thin.end);
        /* a: 0 3 6, b: 1 2 4 5 7 8 */
        assert_int_equal(seen, 9);
        assert_int_equal(found, 1u << 0 | 1u << 1 | 1u << 4 | 1u << 7);
        assert_int_equal(bytes, 4 * (DISK_ROW_OVERHEAD + 1 +
                                     strlen("prop-secret"
                                            "payload")));
        thin_topics_free(&topics);
        end(&p);
    }
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(keys) + 8];
    size_t n = 0;
    for (; n < SL_ARRAY_LEN(keys); n++)
        tests[n] = (struct CMUnitTest){ .name = keys[n].name,
                                        .test_func = key_is_checked,
                                        .initial_state = (void *)(uintptr_t)&keys[n] };
    static const struct CMUnitTest more[] = {
        cmocka_unit_test(rows_are_sealed),
        cmocka_unit_test(a_plain_database_is_taken_on),
        cmocka_unit_test(a_row_that_was_changed_does_not_count),
        cmocka_unit_test(version_1_goes_on),
        cmocka_unit_test(version_1_is_not_changed_by_looking),
        cmocka_unit_test(stamps_are_put_right_in_later_boots),
        cmocka_unit_test(the_walk_finds_pairs),
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(more); i++)
        tests[n++] = more[i];
    return _cmocka_run_group_tests("db", tests, n, NULL, NULL);
}
