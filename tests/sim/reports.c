/* reports.c - what the cloud is told of outages and losses: the file in which the gateway remembers
 * it (gap_note.h), the reports as they arrive, and whether they add up to the ledger. */
#include "sim.h"

#include "gap_note.h"

#include "base/text.h"

#include <stdlib.h>

/* ---- the file: whole or as it was, also when the power fails ---- */

struct note {
    struct sim *sim;
    struct gap_lost told;
    bool lands, fails;
    void (*done)(void *ctx, const char *error);
    void *ctx;
};

void gap_note_read(const char *data_dir, struct gap_lost *ret)
{
    (void)data_dir;
    *ret = sim_current()->reports.noted;
}

static void on_note(void *ctx)
{
    struct note *n = ctx;
    if (n->sim->muted ? n->lands : !n->fails)
        n->sim->reports.noted = n->told;
    n->done(n->ctx, n->fails ? "the disk fails" : NULL);
    free(n);
}

bool gap_note_write(uv_loop_t *loop, const char *data_dir, const struct gap_lost *told,
                    void (*done)(void *ctx, const char *error), void *ctx)
{
    struct sim *s = sim_current();
    struct note *n = calloc(1, sizeof *n);
    (void)loop;
    (void)data_dir;
    must(n);
    *n = (struct note){ .sim = s,
                        .told = *told,
                        .lands = sim_chance(s, 500),
                        .fails = sim_chance(s, s->faults.disk),
                        .done = done,
                        .ctx = ctx };
    loop_later(&s->loop, (int64_t)sim_below(s, 50), on_note, n);
    return true;
}

/* ---- in the cloud ---- */

static uint64_t sum_of(const struct gap_lost *l, int lane)
{
    uint64_t sum = 0;
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            sum += lane == OUTBOX_LANES || lane == i ? l->count[i][why] : 0;
    return sum;
}

static int64_t number_behind(struct sl_slice text, const char *name)
{
    uint64_t n;
    must(sl_u64_parse(sim_between(text, name, ","), &n));
    return (int64_t)n;
}

/* By the true time, as soon as the gateway knew it. */
static void check_times(const struct sim *s, struct sl_slice text)
{
    int64_t from = number_behind(text, "\"from\":"), to = number_behind(text, "\"to\":");
    if (s->jumped)
        return;
    must(from <= to);
    if (to >= SL_WALL_PLAUSIBLE_MS)
        must(from >= SIM_WALL_OFFSET_MS && to <= SIM_WALL_OFFSET_MS + s->loop.now_ms);
}

static void read_report(struct sim *s, struct sl_slice text, struct sim_report *ret)
{
    struct sl_slice rest = sim_between(text, "\"lost_ever\":", "}}");
    must(sl_slice_starts(text, sl_str("{\"gateway\":\"gw\",\"from\":")));
    check_times(s, text);
    gap_lost_read(&ret->lost, sim_between(text, "\"lost\":", ",\"lost_ever\":"));
    gap_lost_read(&ret->ever, sl_bytes(rest.ptr, (size_t)(text.ptr + text.len - rest.ptr - 1)));
    ret->arrived = true;
}

/* By number; without one (0) in the order of arrival. */
static struct sim_report *place(struct sim *s, uint64_t number)
{
    struct sim_reports *r = &s->reports;
    size_t at = r->count;
    while (at > 0 && number > 0 && r->list[at - 1].number >= number)
        at--;
    if (at < r->count && r->list[at].number == number && number > 0)
        return &r->list[at];
    must(r->count < SIM_REPORTS);
    memmove(&r->list[at + 1], &r->list[at], (r->count++ - at) * sizeof *r->list);
    r->list[at] = (struct sim_report){ .number = number, .never = sim_chance(s, s->faults.never) };
    return &r->list[at];
}

/* 0: taken; else why it never will be. number 0: it has none. */
uint8_t report_arrives(struct sim *s, struct sl_slice text, uint64_t number)
{
    struct sim_report *r = place(s, number);
    if (r->never && number > 0) {
        s->reports.refused = true;
        return MQTT_RC_TOPIC_NAME_INVALID;
    }
    if (!r->arrived)
        read_report(s, text, r);
    return 0;
}

bool report_has_number(const struct sim *s, uint64_t number)
{
    for (size_t i = 0; i < s->reports.count; i++)
        if (s->reports.list[i].number == number)
            return true;
    return false;
}

/* ---- at the end ---- */

static struct gap_lost ledger(struct sim *s)
{
    struct outbox_stats o;
    struct gap_lost l = { 0 };
    outbox_get_stats(s->gateway->outbox, &o);
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            l.count[lane][why] = o.lane[lane].loss[why].count;
    return l;
}

static bool has_all(const struct gap_lost *told, const struct gap_lost *l, bool exactly)
{
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            if (told->count[lane][why] < l->count[lane][why] ||
                (exactly && told->count[lane][why] != l->count[lane][why]))
                return false;
    return true;
}

/* What all of them together tell. */
struct told {
    struct gap_lost last, most, sum;
};

/* What one says was lost begins where an earlier one ended, or before it after a crash. */
static void check_begin(const struct told *t, const struct sim_report *r, int lane, int why)
{
    uint64_t from = r->ever.count[lane][why] - r->lost.count[lane][why];
    must_say(from <= t->most.count[lane][why], "%s, %s: %llu to %llu were never told",
             outbox_lane_name((enum outbox_lane)lane), outbox_loss_name((enum outbox_loss)why),
             (unsigned long long)t->most.count[lane][why], (unsigned long long)from);
}

static void follow(struct told *t, const struct sim_report *r, bool whole)
{
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        for (int why = 0; why < OUTBOX_LOSSES; why++) {
            uint64_t n = r->lost.count[lane][why], all = r->ever.count[lane][why];
            uint64_t *most = &t->most.count[lane][why];
            must(n <= all);
            if (whole)
                check_begin(t, r, lane, why);
            *most = all > *most ? all : *most;
            t->sum.count[lane][why] += n;
        }
    t->last = r->ever;
}

/* whole: none is still on its way, or was itself lost. */
static struct told all_told(const struct sim *s, bool whole)
{
    struct told t = { 0 };
    for (size_t i = 0; i < s->reports.count; i++)
        if (s->reports.list[i].arrived)
            follow(&t, &s->reports.list[i], whole);
    return t;
}

bool reports_are_done(struct sim *s)
{
    struct gap_lost l = ledger(s);
    struct told t = all_told(s, false);
    return has_all(&t.last, &l, false);
}

void reports_check_end(struct sim *s)
{
    struct gap_lost l = ledger(s);
    bool whole = !s->reports.refused && sum_of(&l, OUTBOX_ALERT) == 0;
    struct told t = all_told(s, whole);
    /* A crash may take ledger entries of its last second along that were told. */
    must_say(has_all(&t.last, &l, s->crashes == 0), "%llu losses were told, the ledger has %llu",
             (unsigned long long)sum_of(&t.last, OUTBOX_LANES),
             (unsigned long long)sum_of(&l, OUTBOX_LANES));
    bool once = s->lives == 1 && !s->old_cloud; /* else some may have been told twice */
    must_say(!whole || has_all(&t.sum, &l, once),
             "%llu losses were told one after the other, the ledger has %llu",
             (unsigned long long)sum_of(&t.sum, OUTBOX_LANES),
             (unsigned long long)sum_of(&l, OUTBOX_LANES));
}
