/* store_fill.c - a queue of millions, made quickly: by the store's own code, without the syncs.
 *
 * Usage: store_fill FILE ROWS. Rows of 120 bytes for the telemetry lane, of ten topics. */
#include "base/text.h"
#include "db.h"

#include <stdio.h>
#include <stdlib.h>

enum { GROUP = 4096, PAYLOAD = 120 };

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "store_fill: %s\n", what);
    exit(1);
}

static struct sl_msg *message(uint64_t number, const struct sl_clock *clock)
{
    char topic[32], payload[PAYLOAD + 1];
    int n = snprintf(topic, sizeof topic, "up/bench/sensor/%04u", (unsigned)(number % 10));
    (void)snprintf(payload, sizeof payload, "%0*llu", PAYLOAD, (unsigned long long)number);
    struct sl_msg_parts parts = { .topic = sl_bytes(topic, (size_t)n),
                                  .payload = sl_bytes(payload, PAYLOAD),
                                  .qos = 1,
                                  .expiry_s = SL_MSG_NO_EXPIRY,
                                  .mono_ms = sl_mono_ms(clock),
                                  .wall_ms = sl_wall_ms(clock) };
    return sl_msg_new(&parts);
}

/* What the job's maker keeps between jobs. */
struct filling {
    struct db *db;
    struct db_options options;
    struct disk_lane lane[OUTBOX_LANES];
    struct disk_append row[GROUP];
    uint64_t next;
};

static void start(struct filling *f, const struct sl_clock *clock)
{
    static struct disk_job job;
    job.op = DISK_OPEN;
    job.open.mono_ms = sl_mono_ms(clock);
    job.open.wall_ms = sl_wall_ms(clock);
    if (db_do_job(&f->db, &f->options, &job) != SL_OK)
        die(job.err.text);
    for (int i = 0; i < OUTBOX_LANES; i++)
        f->lane[i] = job.open.lane[i];
    f->next = job.open.free_from[OUTBOX_TELEMETRY] + 1;
}

static void commit(struct filling *f, size_t rows)
{
    static struct disk_job job;
    struct disk_lane *lane = &f->lane[OUTBOX_TELEMETRY];
    for (size_t i = 0; i < rows; i++) {
        lane->rows++;
        lane->bytes += disk_row_bytes(f->row[i].msg);
        lane->last = f->row[i].number;
    }
    if (lane->reserved <= lane->last)
        lane->reserved = lane->last + DISK_NUMBERS_AT_ONCE;
    job = (struct disk_job){ .op = DISK_COMMIT };
    job.commit.rows = f->row;
    job.commit.row_count = rows;
    memcpy(job.commit.lane, f->lane, sizeof f->lane);
    if (db_do_job(&f->db, &f->options, &job) != SL_OK)
        die(job.err.text);
    db_upkeep(f->db);
    for (size_t i = 0; i < rows; i++)
        sl_msg_unref(f->row[i].msg);
}

int main(int argc, char **argv)
{
    static struct filling f;
    uint64_t rows = 0;
    if (argc != 3 || !sl_u64_parse(sl_str(argv[2]), &rows))
        die("store_fill FILE ROWS");
    const struct sl_clock *clock = &sl_clock_system;
    f.options = (struct db_options){ .path = argv[1],
                                     .max_bytes = UINT64_C(1) << 40,
                                     .sync = OUTBOX_SYNC_OFF };
    start(&f, clock);
    for (uint64_t done = 0; done < rows;) {
        size_t n = 0;
        for (; n < GROUP && done < rows; n++, done++) {
            struct sl_msg *m = message(done, clock);
            if (!m)
                die("out of memory");
            f.row[n] = (struct disk_append){
                .msg = m, .number = f.next++, .wall_ms = m->wall_ms, .lane = OUTBOX_TELEMETRY
            };
        }
        commit(&f, n);
    }
    static struct disk_job close_job = { .op = DISK_CLOSE };
    (void)db_do_job(&f.db, &f.options, &close_job); /* moves the log's pages */
    return 0;
}
