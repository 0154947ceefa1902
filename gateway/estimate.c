/* estimate.c - see estimate.h. */
#include "estimate.h"

#include <math.h>

/* Row: number, times, boot, flags, checksum, and what SQLite keeps of each. */
#define ROW_BYTES 45
#define ROW_COUNTED                                                                                \
    64 /* DISK_ROW_OVERHEAD: what a row counts against max_bytes beside its bytes                  \
        */
#define PAGE_BYTES     4096
#define PAGE_USED      4000 /* of a page by rows */
#define PAGE_OVERFLOW  4092 /* ... or by a row that is larger than one */
#define LOG_PAGE_BYTES 4120
#define COMMIT_PAGES   2 /* in the log: of the rows, begun or not full, and of the counters */
#define SYNC_S         0.01 /* a commit to a card, about; messages that come meanwhile share the next */
#define UNSYNCED_S     0.001
#define PROPERTY_BYTES 90 /* sluice-id and sluice-ts as MQTT 5 user properties */
#define ELEMENT_BYTES  80 /* the same two in an element of a batch, and its comma */
#define FIXED_BYTES    12 /* of a PUBLISH: header, lengths, packet id */

const char *estimate_bound_name(enum estimate_bound bound)
{
    switch (bound) {
    case ESTIMATE_BOUND_NONE: return "none";
    case ESTIMATE_BOUND_MAX_BYTES: return "store.max_bytes";
    case ESTIMATE_BOUND_MAX_AGE: return "store.max_age";
    case ESTIMATE_BOUND_PUBLISHES: return "cloud.limits.publishes_per_second";
    case ESTIMATE_BOUND_BYTES: return "cloud.limits.bytes_per_second";
    case ESTIMATE_BOUND_IN_FLIGHT: return "cloud.limits.in_flight";
    }
    return "none";
}

/* ---- the flash ---- */

/* Bytes of pages for one row: whole rows stand in a page, or pages are for one row alone. */
static double page_share(uint64_t row_bytes)
{
    if (row_bytes > PAGE_USED)
        return ceil((double)row_bytes / PAGE_OVERFLOW) * PAGE_BYTES;
    return (double)PAGE_BYTES / (double)(PAGE_USED / row_bytes);
}

/* Each commit writes its last page and the counters anew; pages it fills go to the log and then to
 * the database; a new page has its entry in an inner one. Rows that leave together free whole
 * pages, which small rows write once more. */
double estimate_flash_bytes(uint64_t stored_bytes, double rows_per_commit)
{
    double share = page_share(stored_bytes + ROW_BYTES);
    double pages = rows_per_commit * share / PAGE_BYTES;
    double commit = COMMIT_PAGES * LOG_PAGE_BYTES + fmin(1, pages) * LOG_PAGE_BYTES;
    double leave = stored_bytes + ROW_BYTES > PAGE_USED ? 0 : share;
    return commit / rows_per_commit + 2 * share + leave;
}

static void estimate_flash(const struct estimate_input *in, struct estimate_output *out)
{
    double sync = in->full_sync ? SYNC_S : UNSYNCED_S;
    out->rows_per_commit = fmax(1, out->per_second * sync);
    out->bytes_per_message =
        estimate_flash_bytes(in->payload_bytes + in->topic_bytes, out->rows_per_commit);
    out->outage_bytes = (out->backlog + out->lost) * out->bytes_per_message;
    out->outages = out->outage_bytes > 0 ? (double)in->endurance_bytes / out->outage_bytes : -1;
}

/* ---- the store ---- */

static void estimate_store(const struct estimate_input *in, struct estimate_output *out)
{
    out->row_bytes = ROW_COUNTED + in->payload_bytes + in->topic_bytes;
    out->capacity = floor((double)in->max_bytes / (double)out->row_bytes);
    double full_s = out->capacity / out->per_second, age_s = (double)in->max_age_ms / 1000;
    out->lasts_s = fmin(full_s, age_s);
    out->bound = full_s <= age_s ? ESTIMATE_BOUND_MAX_BYTES : ESTIMATE_BOUND_MAX_AGE;
    double came = out->per_second * (double)in->offline_ms / 1000;
    out->backlog = floor(fmin(came, out->per_second * out->lasts_s));
    out->lost = fmax(0, floor(came) - out->backlog);
}

/* ---- the link ---- */

/* A batch beside its elements: topic, its property, brackets. */
static double batch_beside(const struct estimate_input *in)
{
    return (double)in->topic_bytes + (in->mqtt5 ? BRIDGE_BATCH_PROPERTY_BYTES : 0) + 2;
}

static double packet_bytes(const struct estimate_input *in, double batch)
{
    if (batch > 1)
        return batch_beside(in) + batch * (double)(in->payload_bytes + ELEMENT_BYTES);
    return (double)(in->topic_bytes + in->payload_bytes) + (in->mqtt5 ? PROPERTY_BYTES : 0);
}

/* Of a backlog, where there is always enough for a whole one. */
static double full_batch(const struct estimate_input *in, uint64_t max_bytes)
{
    return fmax(1, floor(((double)max_bytes - batch_beside(in)) /
                         (double)(in->payload_bytes + ELEMENT_BYTES)));
}

static void take_bound(struct estimate_drain *d, double packets, enum estimate_bound bound)
{
    if (d->bound != ESTIMATE_BOUND_NONE && packets * d->batch >= d->per_second)
        return;
    d->per_second = packets * d->batch;
    d->bound = bound;
}

static void estimate_drain(const struct estimate_input *in, const struct estimate_output *out,
                           double batch, struct estimate_drain *ret)
{
    struct estimate_drain d = { .batch = batch };
    double bytes = packet_bytes(in, batch) + FIXED_BYTES;
    take_bound(&d, in->in_flight * 1000.0 / (double)in->round_trip_ms, ESTIMATE_BOUND_IN_FLIGHT);
    if (in->publishes_per_second > 0)
        take_bound(&d, in->publishes_per_second, ESTIMATE_BOUND_PUBLISHES);
    if (in->bytes_per_second > 0)
        take_bound(&d, (double)in->bytes_per_second / bytes, ESTIMATE_BOUND_BYTES);
    double ahead = d.per_second - out->per_second;
    d.seconds = out->backlog == 0 ? 0 : ahead > 0 ? out->backlog / ahead : -1;
    *ret = d;
}

/* ---- the bill ---- */

static void estimate_cost(const struct estimate_input *in, double per_second, double batch,
                          struct estimate_cost *ret)
{
    struct estimate_cost c = { .batch = batch };
    c.packets = per_second * ESTIMATE_MONTH_S / batch;
    c.metered = c.packets * (double)bridge_metered((uint64_t)ceil(packet_bytes(in, batch)));
    c.messages_usd = c.metered / 1e6 * in->prices.messages;
    c.connection_usd = ESTIMATE_MONTH_S / 60.0 / 1e6 * in->prices.connection;
    *ret = c;
}

/* Metered steps for each message of a full batch. */
static double steps_each(const struct estimate_input *in, uint64_t max_bytes)
{
    double full = full_batch(in, max_bytes);
    return (double)bridge_metered((uint64_t)ceil(packet_bytes(in, full))) / full;
}

/* The last step is paid for as a whole, but not used when max_bytes ends within it. */
static uint64_t better_batch(const struct estimate_input *in)
{
    uint64_t whole = in->batch_max_bytes / BRIDGE_METER_BYTES * BRIDGE_METER_BYTES;
    if (whole == 0 || steps_each(in, whole) >= steps_each(in, in->batch_max_bytes))
        return 0;
    return whole;
}

void estimate_make(const struct estimate_input *in, struct estimate_output *ret)
{
    struct estimate_output out = { 0 };
    double full = full_batch(in, in->batch_max_bytes);
    out.per_second = (double)in->sensors * in->keep * 1000 / (double)in->interval_ms;
    estimate_store(in, &out);
    estimate_drain(in, &out, 1, &out.drain);
    estimate_drain(in, &out, full, &out.drain_batched);
    /* Online a batch goes when its time is up, full or not. */
    double live = fmax(1, floor(out.per_second * (double)in->batch_max_age_ms / 1000));
    estimate_cost(in, out.per_second, 1, &out.cost);
    estimate_cost(in, out.per_second, fmin(full, live), &out.cost_batched);
    out.batch_bytes_better = better_batch(in);
    estimate_flash(in, &out);
    *ret = out;
}
