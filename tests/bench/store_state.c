/* store_state.c - how fast the state's database takes deliveries, and what that writes to the disk.
 *
 * Usage: store_state FOLDER [sealed]. With a key in the second case. For each line of the table:
 * rows come, so many a commit, turn by turn for so many sessions; where `kept` is not 0 each goes
 * again once that many more have come. Then the database is opened and read; then what is left of
 * each session goes, a range a commit. One thread, full sync. CPU time is the process's; bytes are
 * those it handed to write calls. */
#include "state_batch.h"
#include "state_db.h"

#include "base/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct load {
    unsigned rows, per_commit, sessions, kept;
};

static const struct load loads[] = {
    { 100000, 100, 1, 0 },    { 100000, 100, 100, 0 },  { 100000, 100, 1000, 0 },
    { 100000, 1000, 100, 0 }, { 100000, 100, 100, 50 }, { 100000, 100, 100, 1000 },
    { 5000, 1, 1, 0 },        { 5000, 1, 1, 1 },
};

static const uint8_t bench_key[SEAL_KEY_BYTES] = "a key to measure with";

struct measure {
    double wall, cpu;
    uint64_t bytes;
};

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t bytes_written(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *f = fopen("/proc/self/io", "re");
    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "wchar: %llu", &bytes);
    if (f)
        (void)fclose(f);
    return bytes;
}

static struct measure measure_now(void)
{
    return (struct measure){ seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID),
                             bytes_written() };
}

static void report(const char *what, const struct measure *from, unsigned rows)
{
    struct measure to = measure_now();
    double wall = to.wall - from->wall, n = rows;
    printf("  %-6s %8.0f a second, %5.2f us of CPU, %5.0f bytes each\n", what, n / wall,
           (to.cpu - from->cpu) / n * 1e6, (double)(to.bytes - from->bytes) / n);
}

static void give_up(const struct sl_err *err)
{
    (void)fprintf(stderr, "store_state: %s\n", err ? err->text : "out of memory");
    exit(1);
}

static void key_of(unsigned session, unsigned number, uint8_t key[16])
{
    memset(key, 0, 16);
    for (int i = 0; i < 4; i++) {
        key[7 - i] = (uint8_t)(session >> (8 * i));
        key[15 - i] = (uint8_t)(number >> (8 * i));
    }
}

static void add(struct state_batch *b, const struct load *l, unsigned i)
{
    static const uint8_t value[120];
    uint8_t key[16];
    key_of(i % l->sessions, i / l->sessions, key);
    if (!state_batch_put(b, STATE_DELIVERY, sl_bytes(key, 16), sl_bytes(value, 20),
                         sl_bytes(value + 20, 100), UINT64_MAX))
        give_up(NULL);
}

static void drop(struct state_batch *b, unsigned session, unsigned from, unsigned to)
{
    uint8_t low[16], high[16];
    key_of(session, from, low);
    key_of(session, to, high);
    if (!state_batch_remove_range(b, STATE_DELIVERY, sl_bytes(low, 16), sl_bytes(high, 16),
                                  UINT64_MAX))
        give_up(NULL);
}

static void commit(struct state_db *db, struct state_batch *b)
{
    struct state_ops ops = { 0 };
    struct sl_err err;
    if (!state_batch_list(b, &ops))
        give_up(NULL);
    if (state_db_commit(db, &ops, false, &err) != SL_OK)
        give_up(&err);
    state_db_upkeep(db);
    state_ops_free(&ops);
    state_batch_reset(b);
}

static void rows_come(struct state_db *db, struct state_batch *b, const struct load *l)
{
    for (unsigned i = 0; i < l->rows; i++) {
        add(b, l, i);
        if (l->kept > 0 && i >= l->kept) {
            unsigned old = i - l->kept;
            drop(b, old % l->sessions, old / l->sessions, old / l->sessions + 1);
        }
        if (i % l->per_commit == l->per_commit - 1)
            commit(db, b);
    }
}

static void rows_go(struct state_db *db, struct state_batch *b, const struct load *l)
{
    unsigned each = l->rows / l->sessions;
    for (unsigned session = 0; session < l->sessions; session++)
        for (unsigned from = 0; from < each; from += l->per_commit) {
            drop(b, session, from, from + l->per_commit);
            commit(db, b);
        }
}

static void see(void *ctx, struct sl_slice key, struct sl_slice value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)ctx;
}

static void bad_row(void *ctx, enum state_kind kind, struct sl_slice key)
{
    (void)ctx;
    (void)kind;
    (void)key;
}

static struct state_db *open_and_read(const char *path, const uint8_t *seal_key, unsigned *rows)
{
    struct state_db *db = NULL;
    struct state_db_open open = { .seal_key = seal_key };
    struct state_db_damage damage = { .bad_row = bad_row };
    struct sl_err err;
    if (state_db_open(&db, path, OUTBOX_SYNC_FULL, &open, &err) != SL_OK)
        give_up(&err);
    *rows = 0;
    if (state_db_load(db, STATE_DELIVERY, see, rows, &damage, &err) != SL_OK)
        give_up(&err);
    return db;
}

static void run(const char *path, const uint8_t *seal_key, const struct load *l)
{
    unsigned rows;
    struct state_batch *b = state_batch_new();
    struct state_db *db = open_and_read(path, seal_key, &rows);
    printf("%u rows, %u a commit, %u sessions", l->rows, l->per_commit, l->sessions);
    printf(l->kept > 0 ? ", %u kept\n" : "\n", l->kept);
    struct measure m = measure_now();
    rows_come(db, b, l);
    report("come", &m, l->rows);
    state_db_close(db);
    m = measure_now();
    db = open_and_read(path, seal_key, &rows);
    printf("  read   %8.1f ms for %u\n", (seconds(CLOCK_MONOTONIC) - m.wall) * 1e3, rows);
    if (l->kept == 0) {
        m = measure_now();
        rows_go(db, b, l);
        report("go", &m, l->rows);
    }
    state_db_close(db);
    state_batch_free(b);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    char path[512];
    bool sealed = argc == 3 && strcmp(argv[2], "sealed") == 0;
    if ((argc != 2 && !sealed) ||
        snprintf(path, sizeof path, "%s/state.db", argv[1]) >= (int)sizeof path) {
        (void)fprintf(stderr, "usage: store_state FOLDER [sealed]\n");
        return 2;
    }
    for (size_t i = 0; i < SL_ARRAY_LEN(loads); i++)
        run(path, sealed ? bench_key : NULL, &loads[i]);
    return 0;
}
