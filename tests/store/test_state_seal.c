/* test_state_seal.c - the state sealed at rest: what shows, what opens, what cannot be moved, and a
 * database that was begun without a key. */
#include "harm.h"
#include "state_rig.h"

#include "base/file.h"
#include "state_batch.h"
#include "state_db_private.h"
#include "testing.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t first_key[SEAL_KEY_BYTES] = "the first key";
static const uint8_t other_key[SEAL_KEY_BYTES] = "another key";

#define SUB_A "session1rooms/MARK-filter/#" /* a subscription's key: a session, a filter */
#define SUB_B "session2rooms/MARK-filter/#"

/* ---- what shows ---- */

static unsigned count_in_file(const char *path, const char *word)
{
    struct sl_buf all = { 0 };
    struct sl_err err;
    unsigned n = 0;
    size_t len = strlen(word);
    assert_int_equal(sl_file_read(path, 1u << 28, &all, &err), SL_OK);
    for (size_t i = 0; i + len <= all.len; i++)
        n += memcmp(all.ptr + i, word, len) == 0;
    sl_buf_free(&all);
    return n;
}

/* In all files of the folder. */
static unsigned count_in_clear(const struct state_place *p, const char *word)
{
    char all[96];
    glob_t found;
    unsigned n = 0;
    (void)snprintf(all, sizeof all, "%s/*", p->folder);
    assert_int_equal(glob(all, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        n += count_in_file(found.gl_pathv[i], word);
    globfree(&found);
    return n;
}

/* Of every kind; some of it goes into the tables, some stays in the log. */
static void put_something(struct state_place *p)
{
    static char big[STATE_LOG_ROW_MAX];
    memset(big, 'b', sizeof big - 1);
    memcpy(big, "MARK-big", 8);
    put(p, STATE_SESSION, "session1", "MARK-client MARK-will");
    put(p, STATE_SUBSCRIPTION, SUB_A, "1");
    put(p, STATE_SUBSCRIPTION, SUB_B, "2");
    put(p, STATE_DELIVERY, "session1delivery", "MARK-topic MARK-payload");
    put(p, STATE_RETAINED, "rooms/MARK-1", "MARK-retained");
    put(p, STATE_META, "big", big);
    sync_now(p);
    assert_int_equal(stats_of(p).log_bytes, 0);
    put(p, STATE_RETAINED, "rooms/MARK-2", "MARK-later");
    put(p, STATE_RETAINED, "rooms/MARK-3", "MARK-gone");
    put(p, STATE_RECEIVED, "session1id", "");
    sync_now(p);
    take(p, STATE_RETAINED, "rooms/MARK-3");
    sync_now(p);
    assert_true(stats_of(p).log_bytes > 0);
}

static bool has(const struct state_place *p, enum state_kind kind, const char *row)
{
    return strstr(p->seen[kind], row) != NULL;
}

static void check_something(const struct state_place *p)
{
    static const unsigned rows[STATE_KINDS] = { 1, 1, 2, 1, 1, 2 };
    assert_memory_equal(p->rows, rows, sizeof rows);
    assert_string_equal(p->seen[STATE_SESSION], "session1=MARK-client MARK-will ");
    assert_true(has(p, STATE_SUBSCRIPTION, SUB_A "=1 ") && has(p, STATE_SUBSCRIPTION, SUB_B "=2 "));
    assert_string_equal(p->seen[STATE_DELIVERY], "session1delivery=MARK-topic MARK-payload ");
    assert_string_equal(p->seen[STATE_RECEIVED], "session1id= ");
    assert_true(has(p, STATE_RETAINED, "rooms/MARK-1=MARK-retained "));
    assert_true(has(p, STATE_RETAINED, "rooms/MARK-2=MARK-later "));
}

static void begin(struct state_place *p, const uint8_t *key)
{
    place_init(p);
    p->options.seal_key = key;
    place_open(p);
    put_something(p);
}

static void nothing_shows(void **state)
{
    (void)state;
    struct state_place p;
    begin(&p, first_key);
    assert_int_equal(count_in_clear(&p, "MARK"), 0); /* with the log beside it */
    place_close(&p);
    assert_int_equal(count_in_clear(&p, "MARK"), 0);
    place_open(&p);
    check_something(&p);
    place_close(&p);
    place_release(&p);
}

/* Else the test above would find nothing either. */
static void without_a_key_all_shows(void **state)
{
    (void)state;
    static const char *const words[] = { "MARK-client", "MARK-will",    "MARK-filter",
                                         "MARK-topic",  "MARK-payload", "rooms/MARK-1",
                                         "MARK-big",    "MARK-later" };
    struct state_place p;
    begin(&p, NULL);
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
        assert_true(count_in_clear(&p, words[i]) > 0);
    place_close(&p);
    place_release(&p);
}

/* A damaged one keeps what it has to itself, and so does the one that takes its place. */
static void what_is_set_aside_shows_nothing(void **state)
{
    (void)state;
    struct state_place p;
    begin(&p, first_key);
    place_close(&p);
    sql(p.db, "DROP TABLE received");
    place_open(&p);
    assert_true(strlen(stats_of(&p).set_aside) > 0);
    put_something(&p);
    place_close(&p);
    assert_int_equal(count_in_clear(&p, "MARK"), 0);
    place_open(&p);
    check_something(&p);
    place_close(&p);
    place_release(&p);
}

static int64_t number_of(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

/* What was drawn and counted comes first; the same twice would show what both rows hold. */
#define ALL_VALUES                                                                                 \
    "(SELECT value AS v FROM delivery UNION ALL SELECT value FROM meta UNION ALL"                  \
    " SELECT changes FROM log)"

static void no_nonce_comes_twice(void **state)
{
    enum { LIVES = 5 };
    (void)state;
    struct state_place p;
    char key[16];
    place_init(&p);
    p.options.seal_key = first_key;
    for (int life = 0; life < LIVES; life++) {
        place_open(&p);
        for (int i = 0; i < ROWS; i++) {
            (void)snprintf(key, sizeof key, "%d-%d", life, i);
            put(&p, STATE_DELIVERY, key, "always the same, and long enough for rows to be merged");
        }
        sync_now(&p);
        put(&p, STATE_META, "life", "the same");
        sync_now(&p);
        place_close(&p);
    }
    assert_int_equal(number_of(p.db, "SELECT count(*) FROM delivery"), LIVES * ROWS);
    int64_t all = number_of(p.db, "SELECT count(*) FROM " ALL_VALUES);
    assert_int_equal(number_of(p.db, "SELECT count(DISTINCT substr(v,1,24)) FROM " ALL_VALUES),
                     all);
    assert_int_equal(number_of(p.db, "SELECT count(DISTINCT substr(v,1,16)) FROM " ALL_VALUES),
                     LIVES);
    place_release(&p);
}

/* ---- the key ---- */

static const struct key_case {
    const char *name;
    const uint8_t *made_with, *opened_with;
    enum sl_code want;
    const char *says;
} key_cases[] = {
    { "the same", first_key, first_key, SL_OK, "" },
    { "none at all", NULL, NULL, SL_OK, "" },
    { "one for a plain one", NULL, first_key, SL_OK, "" },
    { "another", first_key, other_key, SL_INVALID, "sealed with another key" },
    { "missing", first_key, NULL, SL_INVALID, "store.encryption_key is needed" },
};

/* Looking at it tells, with the log beside it and without; and the file stays, even if it is opened
 * all the same. */
static void key_is_checked(void **state)
{
    const struct key_case *c = *state;
    struct state_place p;
    struct sl_err err = { 0 };
    struct sl_buf before = { 0 }, after = { 0 };
    place_init(&p);
    assert_int_equal(state_check_key(p.db, c->opened_with, &err), SL_OK); /* no file yet */
    place_release(&p);
    begin(&p, c->made_with);
    assert_int_equal(state_check_key(p.db, c->opened_with, &err), c->want);
    place_close(&p);
    assert_int_equal(state_check_key(p.db, c->opened_with, &err), c->want);
    if (c->want == SL_OK) {
        place_release(&p);
        return;
    }
    assert_non_null(strstr(err.text, c->says));
    struct state_sealed sealed;
    assert_int_equal(sl_file_read(p.db, 1u << 28, &before, &err), SL_OK);
    assert_int_not_equal(state_seal(p.db, c->opened_with, &sealed, &err),
                         c->opened_with ? SL_OK : -1);
    p.options.seal_key = c->opened_with;
    place_open(&p);
    struct state_stats s = stats_of(&p);
    assert_false(s.disk_ok);
    assert_non_null(strstr(s.disk_error, c->says));
    assert_string_equal(s.set_aside, "");
    place_close(&p);
    assert_int_equal(sl_file_read(p.db, 1u << 28, &after, &err), SL_OK);
    assert_true(sl_slice_eq(sl_buf_slice(&before), sl_buf_slice(&after)));
    sl_buf_free(&before);
    sl_buf_free(&after);
    p.options.seal_key = c->made_with;
    place_open(&p);
    check_something(&p);
    place_close(&p);
    place_release(&p);
}

/* ---- places ---- */

static uint32_t sum_of(sqlite3 *db, const char *key)
{
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT key,value FROM delivery WHERE key=CAST(?1 AS BLOB)",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    uint32_t sum = state_db_checksum(STATE_DELIVERY, state_column(s, 0), state_column(s, 1));
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    return sum;
}

/* Somebody who can write to the disk makes the checksums fit. */
static void mend_sum(const char *path, const char *key)
{
    sqlite3 *db = NULL;
    char text[160];
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)snprintf(text, sizeof text, "UPDATE delivery SET sum=%u WHERE key=CAST('%s' AS BLOB)",
                   sum_of(db, key), key);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void fill_places(struct state_place *p, const uint8_t *key)
{
    static char big[STATE_LOG_ROW_MAX];
    memset(big, 'b', sizeof big - 1);
    place_init(p);
    p->options.seal_key = key;
    place_open(p);
    put(p, STATE_META, "big", big);
    put(p, STATE_DELIVERY, "1", "one");
    put(p, STATE_DELIVERY, "2", "two");
    put(p, STATE_DELIVERY, "3", "three");
    sync_now(p);
    assert_int_equal(stats_of(p).log_bytes, 0);
    place_close(p);
}

#define SWAP                                                                                       \
    "CREATE TABLE t AS SELECT value FROM delivery WHERE key=CAST('1' AS BLOB);"                    \
    "UPDATE delivery SET value=(SELECT value FROM delivery WHERE key=CAST('2' AS BLOB))"           \
    " WHERE key=CAST('1' AS BLOB);"                                                                \
    "UPDATE delivery SET value=(SELECT value FROM t) WHERE key=CAST('2' AS BLOB)"

/* Without a key the swap goes through: that is what a key is for. */
static void values_cannot_change_places(void **state)
{
    const uint8_t *key = *state;
    struct state_place p;
    fill_places(&p, key);
    sql(p.db, SWAP);
    mend_sum(p.db, "1");
    mend_sum(p.db, "2");
    place_open(&p);
    assert_string_equal(p.seen[STATE_DELIVERY], key ? "3=three " : "1=two 2=one 3=three ");
    assert_int_equal(stats_of(&p).bad_rows, key ? 2 : 0);
    place_close(&p);
    place_open(&p); /* they were removed */
    assert_int_equal(stats_of(&p).bad_rows, 0);
    place_close(&p);
    place_release(&p);
}

static void a_value_of_another_database(void **state)
{
    (void)state;
    struct state_place p, q;
    char text[300];
    fill_places(&p, first_key);
    fill_places(&q, first_key);
    (void)snprintf(text, sizeof text,
                   "ATTACH '%s' AS q;UPDATE delivery SET (value,sum)=(SELECT value,sum FROM"
                   " q.delivery WHERE key=CAST('1' AS BLOB)) WHERE key=CAST('1' AS BLOB)",
                   q.db);
    sql(p.db, text);
    place_open(&p);
    assert_string_equal(p.seen[STATE_DELIVERY], "2=two 3=three ");
    place_close(&p);
    place_release(&p);
    place_release(&q);
}

static void rows_of_the_log_cannot_change_places(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    p.options.seal_key = first_key;
    place_open(&p);
    put(&p, STATE_META, "a", "1");
    sync_now(&p);
    put(&p, STATE_META, "a", "2");
    sync_now(&p);
    put(&p, STATE_META, "b", "3");
    sync_now(&p);
    place_close(&p);
    sql(p.db, "CREATE TABLE t AS SELECT changes,sum FROM log WHERE id=1;"
              "UPDATE log SET (changes,sum)=(SELECT changes,sum FROM log WHERE id=2) WHERE id=1;"
              "UPDATE log SET (changes,sum)=(SELECT changes,sum FROM t) WHERE id=2");
    place_open(&p);
    assert_string_equal(p.seen[STATE_META], "b=3 ");
    assert_int_equal(stats_of(&p).bad_rows, 2);
    place_close(&p);
    place_release(&p);
}

static bool was_written_anew(struct state_place *p, uint64_t count)
{
    return stats_of(p).resyncs >= count;
}

static void put_the_rest(struct state_place *p)
{
    put(p, STATE_RETAINED, "rooms/MARK-2", "from memory");
}

/* Nobody can say whose row it was: all is written anew. */
static void a_hidden_key_that_does_not_open(void **state)
{
    (void)state;
    struct state_place p;
    begin(&p, first_key);
    place_close(&p);
    sql(p.db, "UPDATE retained SET key=zeroblob(length(key))");
    p.put_all = put_the_rest;
    place_open(&p);
    assert_int_equal(p.rows[STATE_RETAINED], 1); /* the log's */
    assert_int_equal(stats_of(&p).bad_places, 1);
    wait_for(&p, was_written_anew, 1);
    sync_now(&p);
    place_close(&p);
    place_open(&p);
    assert_string_equal(p.seen[STATE_RETAINED], "rooms/MARK-2=from memory ");
    assert_int_equal(stats_of(&p).bad_places, 0);
    place_close(&p);
    place_release(&p);
}

static void a_subscription_without_its_session(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    p.options.seal_key = first_key;
    place_open(&p);
    static char big[STATE_LOG_ROW_MAX];
    memset(big, 'b', sizeof big - 1);
    put(&p, STATE_SUBSCRIPTION, "seven77", big);
    when_safe(&p);
    wait_for(&p, told_is, 1);
    assert_int_equal(p.last_code, SL_IO);
    assert_non_null(strstr(stats_of(&p).disk_error, "7 bytes"));
    place_close(&p);
    place_release(&p);
}

/* ---- rows whose keys are sealed are still found: against a model ---- */

enum { KEYS = 200, ROUNDS = 400 };

struct model {
    unsigned value[STATE_KINDS][KEYS]; /* 0: away */
    unsigned seen[STATE_KINDS][KEYS];
    unsigned next;
    enum state_kind kind;
};

static void model_key(enum state_kind kind, unsigned i, char key[32])
{
    const char *session = kind == STATE_SUBSCRIPTION ? "session" : "";
    (void)snprintf(key, 32, "%s%u/%02u", session, i / 50, i % 50); /* ascends with i */
}

static void see(void *ctx, struct sl_slice key, struct sl_slice value)
{
    struct model *m = ctx;
    char want[32], number[16] = "";
    unsigned i = 0;
    for (; i < KEYS; i++) {
        model_key(m->kind, i, want);
        if (sl_slice_eq(key, sl_str(want)))
            break;
    }
    assert_true(i < KEYS && m->seen[m->kind][i] == 0 && value.len >= 10);
    memcpy(number, value.ptr, 10);
    m->seen[m->kind][i] = (unsigned)strtoul(number, NULL, 10);
}

static unsigned rnd(uint64_t *random, unsigned below)
{
    return (unsigned)(testing_random(random) >> 20) % below;
}

static void change(struct model *m, struct state_batch *b, uint64_t *random)
{
    static char value[6000];
    enum state_kind kind = rnd(random, 3) > 0 ? STATE_RETAINED : STATE_SUBSCRIPTION;
    unsigned i = rnd(random, KEYS), end = i + rnd(random, 40);
    char key[32], to[32];
    model_key(kind, i, key);
    end = end < KEYS ? end : KEYS - 1;
    model_key(kind, end, to);
    switch (rnd(random, 8)) {
    case 0:
        assert_true(state_batch_remove_range(b, kind, sl_str(key), sl_str(to), UINT64_MAX));
        for (; i < end; i++)
            m->value[kind][i] = 0;
        break;
    case 1:
        assert_true(state_batch_remove(b, kind, sl_str(key), UINT64_MAX));
        m->value[kind][i] = 0;
        break;
    default:
        m->value[kind][i] = ++m->next;
        memset(value, 'v', sizeof value);
        (void)snprintf(value, sizeof value, "%010u", m->next);
        assert_true(state_batch_put(b, kind, sl_str(key), sl_bytes(value, 10 + rnd(random, 5900)),
                                    sl_str(""), UINT64_MAX));
        break;
    }
}

static void on_bad_row(void *ctx, enum state_kind kind, struct sl_slice key)
{
    (void)ctx;
    fail_msg("a bad row of kind %d: %.*s", (int)kind, SL_FMT(key));
}

static struct state_db *open_db(const char *path)
{
    struct state_db_open open = { .wall_ms = 1800000000000, .seal_key = first_key };
    struct state_db *db = NULL;
    struct sl_err err;
    assert_int_equal(state_db_open(&db, path, OUTBOX_SYNC_OFF, &open, &err), SL_OK);
    return db;
}

static void check_model(struct state_db *db, struct model *m)
{
    struct state_db_damage damage = { .bad_row = on_bad_row };
    struct sl_err err;
    memset(m->seen, 0, sizeof m->seen);
    for (int kind = 0; kind < STATE_KINDS; kind++) {
        m->kind = (enum state_kind)kind;
        assert_int_equal(state_db_load(db, m->kind, see, m, &damage, &err), SL_OK);
    }
    assert_memory_equal(m->seen, m->value, sizeof m->value);
}

static void hidden_keys_are_found(void **state)
{
    (void)state;
    struct state_place p;
    static struct model m;
    uint64_t random = 7, merges = 0;
    struct state_batch *b = state_batch_new();
    place_init(&p);
    struct state_db *db = open_db(p.db);
    check_model(db, &m);
    for (int round = 0; round < ROUNDS; round++) {
        struct state_ops ops = { 0 };
        struct state_db_stats before, after;
        struct sl_err err;
        for (unsigned n = 1 + rnd(&random, 20); n > 0; n--)
            change(&m, b, &random);
        state_db_get_stats(db, &before);
        assert_true(state_batch_list(b, &ops));
        assert_int_equal(state_db_commit(db, &ops, false, &err), SL_OK);
        state_db_get_stats(db, &after);
        merges += after.log_bytes < before.log_bytes;
        state_ops_free(&ops);
        state_batch_reset(b);
        if (rnd(&random, 8) == 0) {
            state_db_close(db);
            db = open_db(p.db);
            check_model(db, &m);
        }
    }
    assert_true(merges > 3);
    state_db_close(db);
    state_batch_free(b);
    place_release(&p);
}

/* ---- a database that was begun without a key ---- */

static void make_version_one(const char *path)
{
    sql(path, "DROP TABLE seal;PRAGMA user_version=1");
}

static void seal_it(struct state_place *p, bool want_done)
{
    struct state_sealed sealed = { .lost = 99 };
    struct sl_err err;
    assert_int_equal(state_check_key(p->db, first_key, &err), SL_OK);
    if (state_seal(p->db, first_key, &sealed, &err) != SL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(sealed.done, want_done);
    assert_int_equal(sealed.lost, 0);
}

static void a_plain_one_is_sealed(void **state)
{
    void (*make_old)(const char *path) = *state ? make_version_one : NULL;
    struct state_place p;
    begin(&p, NULL);
    place_close(&p);
    if (make_old)
        make_old(p.db);
    place_open(&p); /* without a key it goes on as it is */
    check_something(&p);
    put(&p, STATE_META, "more", "MARK-more");
    sync_now(&p);
    take(&p, STATE_META, "more");
    sync_now(&p);
    place_close(&p);
    assert_true(count_in_clear(&p, "MARK") > 0);
    seal_it(&p, true);
    assert_int_equal(count_in_clear(&p, "MARK"), 0);
    seal_it(&p, false);
    p.options.seal_key = first_key;
    place_open(&p);
    check_something(&p);
    assert_string_equal(stats_of(&p).set_aside, "");
    place_close(&p);
    place_release(&p);
}

/* state_seal() comes first; who leaves it out gets nothing, and changes nothing. */
static void a_plain_one_is_not_opened_with_a_key(void **state)
{
    (void)state;
    struct state_place p;
    begin(&p, NULL);
    place_close(&p);
    p.options.seal_key = first_key;
    place_open(&p);
    assert_non_null(strstr(stats_of(&p).disk_error, "was begun without"));
    assert_string_equal(stats_of(&p).set_aside, "");
    place_close(&p);
    p.options.seal_key = NULL;
    place_open(&p);
    check_something(&p);
    place_close(&p);
    place_release(&p);
}

static void none_is_made(void **state)
{
    (void)state;
    struct state_place p;
    place_init(&p);
    seal_it(&p, false);
    assert_int_not_equal(access(p.db, F_OK), 0);
    place_release(&p);
}

/* There is no room for a second one: it says so, and the first stays what it is. */
static void a_full_disk(void **state)
{
    (void)state;
    struct state_place p;
    struct state_sealed sealed;
    struct sl_err err = { 0 };
    place_init(&p);
    if (!mount_small(p.folder, "size=16m")) {
        place_release(&p);
        skip();
    }
    p.options.seal_key = NULL;
    place_open(&p);
    put_something(&p);
    place_close(&p);
    fill_up(p.folder);
    assert_int_equal(state_seal(p.db, first_key, &sealed, &err), SL_FULL);
    assert_non_null(strstr(err.text, "state.db: store.encryption_key is new"));
    assert_false(sealed.done);
    place_open(&p);
    check_something(&p);
    place_close(&p);
    char junk[96];
    (void)snprintf(junk, sizeof junk, "%s/junk", p.folder);
    assert_int_equal(unlink(junk), 0);
    seal_it(&p, true);
    assert_int_equal(count_in_clear(&p, "MARK"), 0);
    p.options.seal_key = first_key;
    place_open(&p);
    check_something(&p);
    place_close(&p);
    assert_int_equal(umount(p.folder), 0);
    place_release(&p);
}

/* What a damaged page hides is lost; the rest is sealed, and no old page stays. */
static void a_damaged_one(void **state)
{
    (void)state;
    struct state_place p;
    struct state_sealed sealed;
    struct sl_err err;
    static char value[400];
    memset(value, 'v', sizeof value - 1);
    memcpy(value, "MARK-value", 10);
    place_init(&p);
    p.options.seal_key = NULL;
    place_open(&p);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06d", i);
        put(&p, STATE_DELIVERY, key, value);
    }
    sync_now(&p);
    assert_int_equal(stats_of(&p).log_bytes, 0);
    place_close(&p);
    int64_t pages = number_of(p.db, "PRAGMA page_count");
    write_at(p.db, pages / 2 * 4096, 4096, 0x5a);
    assert_int_equal(state_seal(p.db, first_key, &sealed, &err), SL_OK);
    assert_true(sealed.done && sealed.lost > 0);
    assert_int_equal(count_in_clear(&p, "MARK"), 0);
    p.options.seal_key = first_key;
    place_open(&p);
    assert_in_range(p.rows[STATE_DELIVERY], 1700, 1999); /* an inner page hides leaves */
    assert_int_equal(stats_of(&p).bad_places, 0);
    place_close(&p);
    place_release(&p);
}

/* Whatever the moment, all of it is there: in the clear still, or sealed. */
static void kill_nine_while_it_is_sealed(void **state)
{
    (void)state;
    enum { TRIES = 40 };
    unsigned sealed = 0;
    for (unsigned n = 0; n < TRIES; n++) {
        struct state_place p;
        struct sl_err err;
        int status;
        begin(&p, NULL);
        place_close(&p);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct state_sealed ret;
            _exit(state_seal(p.db, first_key, &ret, &err) == SL_OK ? 0 : 1);
        }
        (void)usleep(n * 3000); /* the moment is what is tested */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        bool done = state_check_key(p.db, NULL, &err) == SL_INVALID;
        sealed += done;
        p.options.seal_key = done ? first_key : NULL;
        place_open(&p);
        check_something(&p);
        assert_string_equal(stats_of(&p).set_aside, "");
        place_close(&p);
        seal_it(&p, !done);
        assert_int_equal(count_in_clear(&p, "MARK"), 0);
        place_release(&p);
    }
    print_message("%u of %u were sealed in time\n", sealed, TRIES);
}

int main(void)
{
    static uint8_t yes;
    struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_shows),
        cmocka_unit_test(without_a_key_all_shows),
        cmocka_unit_test(what_is_set_aside_shows_nothing),
        cmocka_unit_test(no_nonce_comes_twice),
        { .name = "values cannot change places, with a key",
          .test_func = values_cannot_change_places,
          .initial_state = (void *)(uintptr_t)first_key },
        { .name = "values can change places without one",
          .test_func = values_cannot_change_places },
        cmocka_unit_test(a_value_of_another_database),
        cmocka_unit_test(rows_of_the_log_cannot_change_places),
        cmocka_unit_test(a_hidden_key_that_does_not_open),
        cmocka_unit_test(a_subscription_without_its_session),
        cmocka_unit_test(hidden_keys_are_found),
        { .name = "a plain one is sealed", .test_func = a_plain_one_is_sealed },
        { .name = "a plain one of version 1 is sealed",
          .test_func = a_plain_one_is_sealed,
          .initial_state = &yes },
        cmocka_unit_test(a_plain_one_is_not_opened_with_a_key),
        cmocka_unit_test(none_is_made),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(a_damaged_one),
        cmocka_unit_test(kill_nine_while_it_is_sealed),
    };
    struct CMUnitTest keys[SL_ARRAY_LEN(key_cases)] = { 0 };
    for (size_t i = 0; i < SL_ARRAY_LEN(key_cases); i++)
        keys[i] = (struct CMUnitTest){ .name = key_cases[i].name,
                                       .test_func = key_is_checked,
                                       .initial_state = (void *)(uintptr_t)&key_cases[i] };
    int failed = cmocka_run_group_tests_name("state sealed", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("the state's key", keys, NULL, NULL);
}
