/* sim.c - one run from a seed: what happens, what goes wrong, and what must hold all the same.
 *
 * Usage: simulate [FIRST_SEED [COUNT]]. After every step accepted = delivered + waiting + lost in
 * every lane. At the end everything works again and all is sent: whatever was acknowledged to a
 * sensor has arrived by each lane that it had to, or is counted as lost. A run that fails prints
 * its seed, which does the same again. */
#include "sim.h"

#include "testing.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEPS = 150, DRAIN_MS_MAX = 4 * 3600 * 1000 };

static struct sim *current;

struct sim *sim_current(void)
{
    return current;
}

void sim_fail(const char *file, int line, const char *fmt, ...)
{
    const char *base = strrchr(file, '/');
    va_list args;
    fprintf(stderr,
            "\nseed %llu, at %lld ms: %s:%d: ", (unsigned long long)(current ? current->seed : 0),
            (long long)(current ? current->loop.now_ms : 0), base ? base + 1 : file, line);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- chance ---- */

uint64_t sim_random(struct sim *s)
{
    return testing_random(&s->random);
}

uint64_t sim_below(struct sim *s, uint64_t bound)
{
    return (sim_random(s) >> 11) % bound;
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return per_mille > 0 && sim_below(s, 1000) < per_mille;
}

/* In the place of crypto_random_below(): back-off and client ids follow from the seed as well. */
uint64_t __wrap_crypto_random_below(uint64_t bound);
uint64_t __wrap_crypto_random_below(uint64_t bound)
{
    return sim_below(current, bound);
}

/* ---- the clock ---- */

static int64_t mono_of(void *ctx)
{
    return ((struct sim *)ctx)->loop.now_ms;
}

static int64_t wall_of(void *ctx)
{
    const struct sim *s = ctx;
    return s->loop.now_ms + s->wall_offset_ms;
}

/* ---- the process ---- */

/* %s: the options of a batch, or none. */
static const char rules[] =
    "\"rules\":["
    "{\"name\":\"a\",\"sql\":\"SELECT * FROM 'in/alert'\","
    "\"to\":[{\"cloud\":\"up/alert\",\"lane\":\"alert\"}]},"
    "{\"name\":\"n\",\"sql\":\"SELECT * FROM 'in/normal'\","
    "\"to\":[{\"cloud\":\"up/normal\",\"lane\":\"normal\"%s}]},"
    "{\"name\":\"t\",\"sql\":\"SELECT id, v FROM 'in/telemetry'\","
    "\"to\":[{\"cloud\":\"up/telemetry\"%s}]},"
    "{\"name\":\"b\",\"sql\":\"SELECT * FROM 'in/both'\",\"to\":["
    "{\"cloud\":\"up/alert\",\"lane\":\"alert\"},{\"cloud\":\"up/telemetry\"%s}]},"
    "{\"name\":\"h\",\"sql\":\"SELECT * FROM 'in/hot' WHERE v > 50\","
    "\"to\":[{\"cloud\":\"up/normal\",\"lane\":\"normal\"}]},"
    "{\"name\":\"k\",\"sql\":\"SELECT * FROM 'cmd/#'\","
    "\"to\":[{\"cloud\":\"up/normal\",\"lane\":\"normal\"}]},"
    "{\"name\":\"c\",\"sql\":\"SELECT * FROM 'in/chain'\",\"to\":[{\"local\":\"on/chain\"}]},"
    "{\"name\":\"d\",\"sql\":\"SELECT * FROM 'on/chain'\",\"to\":[{\"cloud\":\"up/telemetry\"}]}]";

/* What is on disk may find other limits after a restart: none of them is above the run's. */
static void batch_options(struct sim *s, char *to, size_t size)
{
    static const unsigned ages_ms[] = { 10, 200, 1000, 3000, 30000 };
    to[0] = '\0';
    if (s->batch_count == 0 || sim_chance(s, 300))
        return;
    (void)snprintf(to, size, ",\"batch\":{\"max_count\":%u,\"max_bytes\":%u,\"max_age\":\"%ums\"}",
                   1 + (unsigned)sim_below(s, s->batch_count),
                   64 + (unsigned)sim_below(s, s->batch_bytes - 63),
                   ages_ms[sim_below(s, SL_ARRAY_LEN(ages_ms))]);
}

static struct config *make_config(struct sim *s)
{
    static const char *const when_full[] = { "drop-oldest", "drop-newest", "refuse", "thin" };
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    struct sl_buf text = { 0 };
    s->window = 1 + (unsigned)(sim_chance(s, 200) ? 0 : sim_below(s, 60));
    sl_buf_printf(&text,
                  "{\"gateway\":{\"id\":\"gw\",\"data_dir\":\"%s\"},\"listeners\":[],"
                  "\"access\":{\"anonymous\":true},\"broker\":{\"sys_interval\":\"1h\"},"
                  "\"store\":{\"max_bytes\":%llu,\"when_full\":\"%s\"},"
                  "\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"cloud\",\"port\":1883,"
                  "\"keep_alive\":\"30s\",\"reconnect\":{\"max\":\"20s\"},"
                  "\"report_topic\":\"" SIM_REPORT_TOPIC "\",\"report_after\":\"%us\","
                  "\"subscribe\":[{\"cloud\":\"cmd/#\",\"local\":\"cmd/#\"}],"
                  "\"batch\":{\"max_bytes\":%u},"
                  "\"limits\":{\"publishes_per_second\":%u,\"in_flight\":%u}},",
                  s->folder, (unsigned long long)s->bytes_max,
                  when_full[s->bounded ? sim_below(s, SL_ARRAY_LEN(when_full)) : 0],
                  s->report_after_s, s->batch_bytes, sim_chance(s, 500) ? 20 : 1000, s->window);
    char batch[3][96];
    for (int i = 0; i < 3; i++)
        batch_options(s, batch[i], sizeof batch[i]);
    sl_buf_printf(&text, rules, batch[0], batch[1], batch[2]);
    sl_buf_put_str(&text, "}");
    enum sl_code rc = config_parse(sl_buf_slice(&text), "sim", s->folder, &c, &problems);
    must_say(rc == SL_OK, "%s: %s", problems.list[0].path, problems.list[0].text);
    config_problems_free(&problems);
    sl_buf_free(&text);
    return c;
}

/* Of the gateway's every second, the part that belongs here. */
static void on_second(uv_timer_t *t)
{
    struct gateway *g = t->data;
    struct outbox_stats o;
    outbox_get_stats(g->outbox, &o);
    gateway_gap_tick(g, &o);
}

static void start(struct sim *s)
{
    struct sl_err err = { 0 };
    struct gateway *g = calloc(1, sizeof *g);
    must(g);
    s->gateway = g;
    s->lives++;
    s->bridge_gone = s->outbox_gone = s->broker_gone = false;
    g->loop.data = &s->loop;
    g->clock = &s->clock;
    g->started = sl_moment_now(g->clock);
    g->lock_fd = -1;
    g->config = make_config(s);
    must_say(gateway_open_outbox(g, &err) == SL_OK && gateway_open_broker(g, &err) == SL_OK &&
                 gateway_open_engine(g, &err) == SL_OK && gateway_open_bridge(g, &err) == SL_OK,
             "%s", err.text);
    (void)uv_timer_init(&g->loop, &g->second); /* always 0 */
    g->second.data = g;
    (void)uv_timer_start(&g->second, on_second, 1000, 1000);
}

/* Each call of these comes from the loop; the order is the gateway's own. */
static void on_broker_closed(void *ctx)
{
    ((struct sim *)ctx)->broker_gone = true;
}

static void on_outbox_closed(void *ctx)
{
    struct sim *s = ctx;
    s->outbox_gone = true;
    s->gateway->outbox = NULL;
    engine_close(s->gateway->engine);
    s->gateway->engine = NULL;
    broker_close(s->gateway->broker, on_broker_closed, s);
}

static void on_bridge_closed(void *ctx)
{
    struct sim *s = ctx;
    s->bridge_gone = true;
    s->gateway->bridge = NULL;
    outbox_close(s->gateway->outbox, on_outbox_closed, s);
}

static void turn(struct sim *s)
{
    loop_turn(&s->loop);
    sensors_read(s);
    loop_turn(&s->loop);
    sensors_read(s);
}

static void pass(struct sim *s, int64_t ms)
{
    int64_t until = s->loop.now_ms + ms;
    for (;;) {
        turn(s);
        int64_t next = loop_next(&s->loop);
        if (next > until)
            break;
        s->loop.now_ms = next;
    }
    s->loop.now_ms = until;
    turn(s);
}

static bool is_down(const struct sim *s)
{
    for (unsigned i = 0; i < SIM_SENSORS; i++)
        if (s->sensor[i].open)
            return false;
    return s->bridge_gone && s->outbox_gone && s->broker_gone && !s->links && !s->loop.calls &&
           !s->loop.closing;
}

static void wait_until_down(struct sim *s)
{
    for (int64_t begin = s->loop.now_ms; !is_down(s); pass(s, 10))
        must_say(s->loop.now_ms - begin < 120000, "it does not end");
    config_free(s->gateway->config);
    free(s->gateway);
    s->gateway = NULL;
    loop_free(&s->loop);
}

/* SIGTERM. */
/* What was dropped, and is not deleted when the process ends, is there again in its next life: it
 * comes behind what has been sent meanwhile. */
static void note_undeleted(struct sim *s)
{
    struct outbox_stats o;
    uint64_t lost = 0;
    outbox_get_stats(s->gateway->outbox, &o);
    for (int i = 0; i < OUTBOX_LANES; i++)
        lost += o.lane[i].lost;
    for (int i = 0; i < OUTBOX_LANES && lost > o.lost_written; i++)
        s->cloud.back_to[i] = s->cloud.last[i];
}

static void stop(struct sim *s)
{
    note_undeleted(s);
    s->gateway->stopping = true;
    uv_close((uv_handle_t *)&s->gateway->second, NULL);
    broker_pause(s->gateway->broker);
    bridge_close(s->gateway->bridge, 1000, on_bridge_closed, s);
    wait_until_down(s);
}

/* kill -9, or the power fails: nothing leaves the process any more, and nothing reaches the disk.
 * It still has to be taken apart, so that its memory is found again. */
static void crash(struct sim *s)
{
    s->crashes++;
    s->muted = true;
    for (unsigned i = 0; i < SIM_SENSORS; i++)
        sl_buf_free(&s->sensor[i].received); /* on its way: lost */
    disk_power_off(s);
    net_forget(s);
    stop(s);
    s->muted = false;
}

/* ---- what must hold ---- */

/* On the disk always. In all, from the moment on at which what is on the disk is known: above the
 * bound is only what came before that, and it does not grow. */
static void check_bounds(struct sim *s, const struct outbox_stats *o)
{
    uint64_t bytes = 0;
    must_say(s->power || fake_disk_bytes(&s->fake) <= s->bytes_max, "%llu bytes on the disk",
             (unsigned long long)fake_disk_bytes(&s->fake));
    for (int i = 0; i < OUTBOX_LANES; i++)
        bytes += o->lane[i].waiting_bytes;
    if (o->opening)
        return;
    if (s->opened_in != s->lives)
        s->above = bytes;
    s->opened_in = s->lives;
    must_say(bytes <= s->bytes_max || bytes <= s->above, "%llu bytes wait, the bound is %llu",
             (unsigned long long)bytes, (unsigned long long)s->bytes_max);
    if (bytes < s->above)
        s->above = bytes;
}

static uint64_t check_ledger(struct sim *s)
{
    struct outbox_stats o;
    uint64_t waiting = 0;
    outbox_get_stats(s->gateway->outbox, &o);
    for (int i = 0; i < OUTBOX_LANES; i++) {
        const struct outbox_lane_stats *l = &o.lane[i];
        must_say(l->accepted == l->delivered + l->waiting + l->lost,
                 "%s: accepted %llu, delivered %llu, waiting %llu, lost %llu",
                 outbox_lane_name((enum outbox_lane)i), (unsigned long long)l->accepted,
                 (unsigned long long)l->delivered, (unsigned long long)l->waiting,
                 (unsigned long long)l->lost);
        uint64_t dead = l->loss[OUTBOX_LOST_DEAD].count, purged = l->loss[OUTBOX_LOST_PURGED].count;
        must(s->bounded || l->lost == dead + purged);
        must(s->fake.size > 0 || l->loss[OUTBOX_LOST_NO_ROOM].count == 0);
        s->no_room = s->no_room || l->loss[OUTBOX_LOST_NO_ROOM].count > 0;
        must(s->purges > 0 || purged == 0);
        waiting += l->waiting;
    }
    must(o.set_aside[0] == '\0');
    check_bounds(s, &o);
    waiting += o.opening; /* what is on the disk is not counted yet */
    return waiting;
}

static void check_end(struct sim *s)
{
    struct outbox_stats o;
    uint64_t missing[OUTBOX_LANES] = { 0 };
    outbox_get_stats(s->gateway->outbox, &o);
    for (uint32_t id = 1; id <= s->message_count; id++) {
        const struct sim_message *m = &s->message[id];
        for (int lane = 0; lane < OUTBOX_LANES; lane++) {
            unsigned bit = 1u << lane;
            bool owed = m->acked && (m->wanted & bit) && !((m->arrived | m->buried) & bit);
            must_say(!owed || s->bounded || s->purges > 0,
                     "message %u was acknowledged, and never left by lane %s", id,
                     outbox_lane_name((enum outbox_lane)lane));
            missing[lane] += owed;
        }
    }
    for (int lane = 0; lane < OUTBOX_LANES; lane++)
        must_say(missing[lane] <= o.lane[lane].lost, "%s: %llu are missing, %llu counted as lost",
                 outbox_lane_name((enum outbox_lane)lane), (unsigned long long)missing[lane],
                 (unsigned long long)o.lane[lane].lost);
}

/* ---- a run ---- */

static unsigned some(struct sim *s, unsigned percent, unsigned most)
{
    return sim_below(s, 100) < percent ? 1 + (unsigned)sim_below(s, most) : 0;
}

static void choose_faults(struct sim *s)
{
    s->faults = (struct sim_faults){
        .connect = some(s, 40, 600),
        .hole = some(s, 30, 300),
        .drop = some(s, 60, 60),
        .ack_lost = some(s, 30, 60),
        .ack_late = some(s, 40, 200),
        .refused = some(s, 20, 100),
        .never = some(s, 20, 30),
        .kick = some(s, 30, 50),
        .connack = some(s, 30, 500),
        .disk = some(s, 30, 150),
        .crash = some(s, 60, 20),
        .stop = some(s, 30, 10),
        .clock = some(s, 30, 30),
        .purge = some(s, 20, 10),
    };
    s->batch_count = sim_below(s, 100) < 60 ? 1 + (unsigned)sim_below(s, 200) : 0;
    s->batch_bytes = 64 + (unsigned)sim_below(s, 5000);
    s->bounded = sim_below(s, 100) < 25;
    s->bytes_max = s->bounded ? 65536 + sim_below(s, 20000) : 1u << 30;
    s->report_after_s = 1 + (unsigned)sim_below(s, 20);
    if (s->bounded && sim_chance(s, 400)) {
        s->faults.others = 1 + (unsigned)sim_below(s, 60);
        s->fake.size = 20000 + sim_below(s, 100000);
    }
    s->old_cloud = sim_below(s, 100) < 10;
    s->late_clock = sim_below(s, 100) < 15;
    if (s->late_clock) {
        s->wall_offset_ms = (int64_t)sim_below(s, 1000000);
        s->faults.clock = 0;
        s->clock_set_ms = INT64_MAX / 2;
    }
}

/* By hand, in the middle of everything; refused while another is under way. */
static void purge(struct sim *s)
{
    struct outbox_purge_request request = { .lanes = 1 + (unsigned)sim_below(s, OUTBOX_ALL_LANES),
                                            .dead = sim_chance(s, 100),
                                            .limit = sim_chance(s, 300) ? sim_below(s, 50)
                                                                        : UINT64_MAX };
    if (outbox_purge(s->gateway->outbox, &request) == SL_OK)
        s->purges++;
}

/* Mostly all of it; now and then not even the log has a byte. */
static void fill_disk(struct sim *s)
{
    s->fake.log_is_stuck = sim_chance(s, 150);
    s->fake.others = sim_chance(s, 300) ? 0 : sim_below(s, s->fake.size * 3 / 2);
}

static void set_clock(struct sim *s)
{
    s->clock_was_set = true;
    s->clock_set_ms = s->loop.now_ms;
    s->wall_offset_ms = SIM_WALL_OFFSET_MS;
}

/* Seldom enough for most runs to live; rather when a report of losses is on its way to the disk. */
static bool crashes(struct sim *s)
{
    const struct gateway *g = s->gateway;
    bool telling = g->gap.waiting || g->gap.note || g->gap_noting;
    return sim_chance(s, telling ? 10 * s->faults.crash : s->faults.crash);
}

static void one_step(struct sim *s)
{
    if (!s->gateway)
        start(s);
    sensor_step(&s->sensor[sim_below(s, SIM_SENSORS)]);
    if (sim_chance(s, 200))
        cloud_step(s);
    if (sim_chance(s, s->faults.drop))
        net_cut(s);
    if (sim_chance(s, 5))
        sensor_cut(&s->sensor[sim_below(s, SIM_SENSORS)]);
    if (s->late_clock && !s->clock_was_set && sim_chance(s, 15))
        set_clock(s);
    if (sim_chance(s, s->faults.clock)) { /* hours, or years */
        s->jumped = true;
        s->wall_offset_ms += (int64_t)sim_below(s, 7200000) - 3600000 +
                             (sim_chance(s, 100) ? (int64_t)365 * 86400000 : 0);
    }
    if (sim_chance(s, s->faults.purge))
        purge(s);
    if (sim_chance(s, s->faults.others))
        fill_disk(s);
    pass(s, (int64_t)sim_below(s, sim_chance(s, 50) ? 20000 : 150));
    (void)check_ledger(s);
    if (crashes(s))
        crash(s);
    else if (sim_chance(s, s->faults.stop))
        stop(s);
}

static void drain(struct sim *s)
{
    int64_t begin = s->loop.now_ms;
    s->faults = (struct sim_faults){ 0 };
    s->draining = true;
    s->fake.others = 0;
    s->fake.log_is_stuck = false;
    if (s->late_clock && !s->clock_was_set)
        set_clock(s);
    if (!s->gateway)
        start(s);
    net_cut(s);
    while (!sensors_are_done(s) || !cloud_is_done(s) || check_ledger(s) > 0) {
        must_say(s->loop.now_ms - begin < DRAIN_MS_MAX, "something is never sent");
        for (unsigned i = 0; i < SIM_SENSORS;
             i++) /* who is refused by a full store waits a while */
            if (!s->bounded || sim_chance(s, 50))
                sensor_step(&s->sensor[i]);
        if (s->cloud.version != MQTT_V5 && !cloud_is_done(s) && sim_chance(s, 10))
            net_cut(s); /* a refused command comes again on the next connection only */
        pass(s, 500);
    }
}

/* The link was back, and nothing happens any more: all losses are told. When the cloud has refused
 * a report only the next start makes others. */
static void tell_losses(struct sim *s)
{
    if (s->gateway->gap.off) {
        stop(s);
        start(s);
    }
    net_cut(s);
    int64_t begin = s->loop.now_ms;
    while (!reports_are_done(s) || check_ledger(s) > 0) {
        must_say(s->loop.now_ms - begin < DRAIN_MS_MAX, "losses are never told");
        pass(s, 500);
    }
    reports_check_end(s);
}

static void open_world(struct sim *s, uint64_t seed, bool real_disk)
{
    s->seed = seed;
    s->random = testing_seed(seed);
    (void)sim_random(s);
    s->wall_offset_ms = SIM_WALL_OFFSET_MS;
    s->clock = (struct sl_clock){ mono_of, wall_of, s };
    fake_disk_init(&s->fake);
    (void)snprintf(s->folder, sizeof s->folder, "/tmp");
    if (real_disk) {
        (void)snprintf(s->folder, sizeof s->folder, "/tmp/sluice-sim-XXXXXX");
        must(mkdtemp(s->folder));
        s->power = powercut_new(seed);
    }
    (void)snprintf(s->path, sizeof s->path, "%s/queue.db", s->folder);
    for (unsigned i = 0; i < SIM_SENSORS; i++) {
        struct sensor *n = &s->sensor[i];
        n->sim = s;
        n->version = i % 2 ? MQTT_V5 : MQTT_V311;
        n->next_id = 1;
        (void)snprintf(n->name, sizeof n->name, "s%u", i);
    }
}

struct totals {
    uint64_t messages, publishes, repeats, commands, batches, batched, crashes, lives, reports;
    uint64_t no_room;
};

static void one_run(uint64_t seed, struct totals *t)
{
    struct sim *s = calloc(1, sizeof *s);
    uv_loop_t unused;
    must(s);
    current = s;
    loop_init(&s->loop, &unused, 1000);
    open_world(s, seed, seed % 20 == 0);
    choose_faults(s);
    for (int i = 0; i < STEPS; i++)
        one_step(s);
    drain(s);
    check_end(s);
    tell_losses(s);
    stop(s);
    t->messages += s->message_count;
    t->publishes += s->cloud.publishes;
    t->repeats += s->cloud.repeats;
    t->commands += s->cloud.commands_taken;
    t->batches += s->cloud.batches;
    t->batched += s->cloud.batched;
    t->crashes += s->crashes;
    t->lives += s->lives;
    t->reports += s->reports.count;
    t->no_room += s->no_room;
    sl_buf_free(&s->cloud.in);
    fake_disk_free(&s->fake);
    if (s->power) {
        powercut_free(s->power);
        must(testing_remove_folder(s->folder));
    }
    current = NULL;
    free(s);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : 1000;
    struct totals t = { 0 };
    if (count > 1) /* a single seed tells its story */
        sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    for (uint64_t seed = first; seed < first + count; seed++)
        one_run(seed, &t);
    printf(
        "%llu runs, %llu lives, %llu crashes; %llu messages, %llu arrivals, %llu of them repeats; "
        "%llu batches of %llu, %llu commands, %llu reports; %llu runs lost something on a full "
        "disk\n",
        (unsigned long long)count, (unsigned long long)t.lives, (unsigned long long)t.crashes,
        (unsigned long long)t.messages, (unsigned long long)t.publishes,
        (unsigned long long)t.repeats, (unsigned long long)t.batches, (unsigned long long)t.batched,
        (unsigned long long)t.commands, (unsigned long long)t.reports,
        (unsigned long long)t.no_room);
    return 0;
}
