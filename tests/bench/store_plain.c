/* store_plain.c - what plain SQLite manages: rows into one table, so many a transaction, WAL with
 * full sync.
 *
 * Usage: store_plain FILE ROWS GROUP PAYLOAD. One thread that does nothing else; the log's pages
 * are moved when SQLite thinks fit. One JSON line: rows a second, the time of a transaction,
 * bytes that went to the disk for each row. */
#include "base/text.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 65536 };

struct plain {
    sqlite3 *db;
    sqlite3_stmt *begin, *add, *commit;
    uint64_t rows, group, payload;
    double *took; /* by each transaction, in seconds */
    uint8_t bytes[PAYLOAD_MAX];
};

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "store_plain: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t bytes_to_disk(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *f = fopen("/proc/self/io", "re");
    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "write_bytes: %llu", &bytes);
    if (f)
        (void)fclose(f);
    return bytes;
}

static void check(struct plain *p, int rc, int wanted)
{
    if (rc != wanted)
        die(sqlite3_errmsg(p->db));
}

static sqlite3_stmt *prepare(struct plain *p, const char *text)
{
    sqlite3_stmt *s = NULL;
    check(p, sqlite3_prepare_v2(p->db, text, -1, &s, NULL), SQLITE_OK);
    return s;
}

static void run(struct plain *p, sqlite3_stmt *s)
{
    check(p, sqlite3_step(s), SQLITE_DONE);
    (void)sqlite3_reset(s);
}

static void open_db(struct plain *p, const char *path)
{
    check(p, sqlite3_open(path, &p->db), SQLITE_OK);
    check(p,
          sqlite3_exec(p->db,
                       "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;CREATE TABLE outbox(number "
                       "INTEGER PRIMARY KEY,ts INTEGER,topic TEXT,payload BLOB)",
                       NULL, NULL, NULL),
          SQLITE_OK);
    p->begin = prepare(p, "BEGIN IMMEDIATE");
    p->add = prepare(p, "INSERT INTO outbox(number,ts,topic,payload) VALUES(?1,?2,?3,?4)");
    p->commit = prepare(p, "COMMIT");
}

static void add_row(struct plain *p, uint64_t number)
{
    char topic[32];
    int n = snprintf(topic, sizeof topic, "up/bench/sensor/%04u", (unsigned)(number % 10));
    (void)sqlite3_bind_int64(p->add, 1, (sqlite3_int64)number);
    (void)sqlite3_bind_int64(p->add, 2, (sqlite3_int64)number);
    (void)sqlite3_bind_text(p->add, 3, topic, n, SQLITE_STATIC);
    (void)sqlite3_bind_blob(p->add, 4, p->bytes, (int)p->payload, SQLITE_STATIC);
    run(p, p->add);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct plain *p)
{
    uint64_t number = 0, groups = 0, written = bytes_to_disk();
    double began = now();
    while (number < p->rows) {
        double group_began = now();
        run(p, p->begin);
        for (uint64_t i = 0; i < p->group && number < p->rows; i++)
            add_row(p, ++number);
        run(p, p->commit);
        p->took[groups++] = now() - group_began;
    }
    double seconds = now() - began;
    qsort(p->took, groups, sizeof *p->took, by_size);
    printf("{\"per_second\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"bytes_each\":%.0f}\n",
           (double)p->rows / seconds, p->took[groups / 2] * 1e6,
           p->took[(groups - 1) * 99 / 100] * 1e6,
           (double)(bytes_to_disk() - written) / (double)p->rows);
}

int main(int argc, char **argv)
{
    static struct plain p;
    if (argc != 5 || !sl_u64_parse(sl_str(argv[2]), &p.rows) ||
        !sl_u64_parse(sl_str(argv[3]), &p.group) || !sl_u64_parse(sl_str(argv[4]), &p.payload) ||
        p.rows == 0 || p.group == 0 || p.payload > PAYLOAD_MAX)
        die("store_plain FILE ROWS GROUP PAYLOAD");
    p.took = calloc(p.rows / p.group + 1, sizeof *p.took);
    if (!p.took)
        die("out of memory");
    open_db(&p, argv[1]);
    measure(&p);
    (void)sqlite3_finalize(p.begin);
    (void)sqlite3_finalize(p.add);
    (void)sqlite3_finalize(p.commit);
    (void)sqlite3_close(p.db);
    free(p.took);
    return 0;
}
