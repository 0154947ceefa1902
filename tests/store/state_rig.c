/* state_rig.c - see state_rig.h. */
#include "state_rig.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>

static void on_resync(void *ctx)
{
    struct state_place *p = ctx;
    if (p->put_all)
        p->put_all(p);
}

static bool sealed;

void place_arguments(int argc, char **argv)
{
    sealed = argc > 1 && strcmp(argv[1], "sealed") == 0;
}

void place_init(struct state_place *p)
{
    static const uint8_t key[32] = "a key for everything in a place";
    *p = (struct state_place){ .folder = "/tmp/test-state-XXXXXX" };
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->db, sizeof p->db, "%s/state.db", p->folder);
    p->options = (struct state_options){
        .clock = &sl_clock_system, .path = p->db, .resync = on_resync, .ctx = p
    };
    p->options.seal_key = sealed ? key : NULL;
}

void place_release(struct state_place *p)
{
    assert_true(testing_remove_folder(p->folder));
}

static void on_beat(uv_timer_t *beat)
{
    (void)beat;
}

struct loading {
    struct state_place *place;
    enum state_kind kind;
    uint8_t last[256]; /* keys must ascend */
    size_t last_len;
};

static void on_row(void *ctx, struct sl_slice key, struct sl_slice value)
{
    struct loading *l = ctx;
    char *seen = l->place->seen[l->kind];
    size_t at = strlen(seen);
    assert_true(key.len <= sizeof l->last);
    bool ordered =
        !l->place->options.seal_key || (l->kind != STATE_RETAINED && l->kind != STATE_SUBSCRIPTION);
    if (l->place->rows[l->kind]++ > 0 && ordered) {
        size_t n = key.len < l->last_len ? key.len : l->last_len;
        int c = n > 0 ? memcmp(l->last, key.ptr, n) : 0;
        assert_true(c < 0 || (c == 0 && l->last_len < key.len));
    }
    if (key.len > 0)
        memcpy(l->last, key.ptr, key.len);
    l->last_len = key.len;
    (void)snprintf(seen + at, sizeof l->place->seen[0] - at, "%.*s=%.*s ", SL_FMT(key),
                   SL_FMT(value));
}

static void load_all(struct state_place *p)
{
    struct sl_err err;
    memset(p->seen, 0, sizeof p->seen);
    memset(p->rows, 0, sizeof p->rows);
    for (int kind = 0; kind < STATE_KINDS; kind++) {
        struct loading l = { .place = p, .kind = (enum state_kind)kind };
        enum sl_code code = state_load(p->state, (enum state_kind)kind, on_row, &l, &err);
        assert_true(code == SL_OK || stats_of(p).bad_places > 0);
    }
}

void place_open(struct state_place *p)
{
    struct sl_err err;
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(uv_timer_init(&p->loop, &p->beat), 0);
    assert_int_equal(uv_timer_start(&p->beat, on_beat, 1, 1), 0);
    p->options.loop = &p->loop;
    p->closed = false;
    assert_int_equal(state_open(&p->state, &p->options, &err), SL_OK);
    load_all(p);
}

static void on_closed(void *ctx)
{
    ((struct state_place *)ctx)->closed = true;
}

void place_close(struct state_place *p)
{
    state_close(p->state, on_closed, p);
    uv_close((uv_handle_t *)&p->beat, NULL);
    assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
    assert_true(p->closed);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

struct state_stats stats_of(struct state_place *p)
{
    struct state_stats s;
    state_get_stats(p->state, &s);
    assert_int_equal(s.disk_ok, s.disk_error[0] == '\0');
    return s;
}

void wait_for(struct state_place *p, bool (*cond)(struct state_place *, uint64_t), uint64_t arg)
{
    int64_t until = sl_mono_ms(&sl_clock_system) + WAIT_MS_MAX;
    while (!cond(p, arg)) {
        assert_true(sl_mono_ms(&sl_clock_system) < until);
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    }
}

bool told_is(struct state_place *p, uint64_t count)
{
    return p->safe + p->unsafe >= count;
}

bool disk_ok_is(struct state_place *p, uint64_t ok)
{
    return stats_of(p).disk_ok == (ok != 0);
}

void put(struct state_place *p, enum state_kind kind, const char *key, const char *value)
{
    size_t half = strlen(value) / 2;
    assert_true(
        state_put(p->state, kind, sl_str(key), sl_bytes(value, half), sl_str(value + half)));
}

void take(struct state_place *p, enum state_kind kind, const char *key)
{
    assert_true(state_remove(p->state, kind, sl_str(key)));
}

void take_range(struct state_place *p, enum state_kind kind, const char *from, const char *to)
{
    assert_true(state_remove_range(p->state, kind, sl_str(from), sl_str(to)));
}

static void on_safe(void *ctx, enum sl_code result)
{
    struct state_place *p = ctx;
    p->last_code = result;
    if (result == SL_OK)
        p->safe++;
    else
        p->unsafe++;
}

void when_safe(struct state_place *p)
{
    unsigned before = p->safe + p->unsafe;
    assert_true(state_when_safe(p->state, on_safe, p));
    assert_int_equal(p->safe + p->unsafe, before); /* never inside the call */
}

void sync_now(struct state_place *p)
{
    unsigned before = p->safe + p->unsafe;
    when_safe(p);
    wait_for(p, told_is, before + 1);
    assert_int_equal(p->last_code, SL_OK);
}

void fill(struct state_place *p, int rows)
{
    char key[16], value[120];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "%06d", i);
        put(p, STATE_DELIVERY, key, value);
    }
}

void fill_tables(struct state_place *p, int rows)
{
    place_open(p);
    fill(p, rows);
    put(p, STATE_META, "m", "1");
    sync_now(p);
    assert_int_equal(stats_of(p).log_bytes, 0);
    place_close(p);
}
