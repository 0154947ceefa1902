/* durable_rig.c - stopping, crashing and starting again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

/* rig_open() hands no context to its function. */
static const struct broker_persistence *face;

static void adjust(struct broker_options *o)
{
    o->persistence = face;
    o->spill_ms = RIG_SPILL_MS;
    o->max_queued_messages = 1000;
    o->max_queued_bytes = 10000000;
}

void durable_open(struct durable_rig *d)
{
    *d = (struct durable_rig){ 0 };
    store_open(&d->store);
    face = &d->store.face;
    rig_open(&d->r, adjust);
    broker_restored(d->r.broker);
}

static void drop_peers(struct durable_rig *d)
{
    for (size_t i = 0; i < RIG_PEERS; i++)
        if (d->peers[i].open)
            client_eof(&d->peers[i].client);
    rig_turn(&d->r);
    for (size_t i = 0; i < RIG_PEERS; i++)
        sl_buf_free(&d->peers[i].received);
}

static void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed = true;
}

static void end_broker(struct durable_rig *d, bool crashed)
{
    drop_peers(d);
    broker_close(d->r.broker, on_closed, &d->r);
    for (int i = 0; i < 100 && !d->r.closed; i++) {
        if (crashed)
            store_bury(&d->store);
        else
            store_commit(&d->store);
        (void)uv_run(&d->r.loop, UV_RUN_NOWAIT);
    }
    if (crashed)
        store_bury(&d->store);
    else
        store_commit(&d->store);
    assert_true(d->r.closed);
    assert_int_equal(uv_loop_close(&d->r.loop), 0);
}

void durable_stop(struct durable_rig *d)
{
    end_broker(d, false);
}

void durable_crash(struct durable_rig *d, size_t ops)
{
    store_crash(&d->store, ops);
    end_broker(d, true);
}

void durable_start(struct durable_rig *d, int64_t away_ms)
{
    int64_t wall_ms = d->r.wall_ms + away_ms;
    face = &d->store.face;
    rig_open(&d->r, adjust);
    d->r.wall_ms = wall_ms;
    d->r.mono_ms = 5000; /* the machine, too, has just started */
    memset(d->peers, 0, sizeof d->peers);
    store_restore(&d->store, d->r.broker);
}

void durable_close(struct durable_rig *d)
{
    durable_stop(d);
    store_free(&d->store);
}

void durable_spill(struct durable_rig *d)
{
    struct persist *p = d->r.broker->persist;
    d->r.mono_ms += RIG_SPILL_MS;
    d->r.wall_ms += RIG_SPILL_MS;
    d->r.broker->now_ms = 0;
    if (uv_is_active((uv_handle_t *)&p->spill)) {
        (void)uv_timer_stop(&p->spill); /* always 0 */
        p->spill.timer_cb(&p->spill);
    }
    rig_turn(&d->r);
}

void durable_commit(struct durable_rig *d)
{
    rig_turn(&d->r);
    store_commit(&d->store);
    rig_turn(&d->r);
}

bool durable_online(struct durable_rig *d, unsigned peer, enum mqtt_version v, const char *id)
{
    struct peer *p = &d->peers[peer];
    struct mqtt_connack ack;
    peer_open(p, &d->r, v);
    peer_connect(p, id, false, 500);
    struct mqtt_frame f = peer_next(p, MQTT_CONNACK);
    assert_int_equal(mqtt_decode_connack(&f, v, &ack, NULL), MQTT_RC_SUCCESS);
    assert_int_equal(ack.reason, 0);
    return ack.session_present;
}

void durable_subscribe(struct durable_rig *d, unsigned peer, const char *filter, uint8_t qos)
{
    struct sl_buf b = { 0 };
    struct mqtt_sub_entry e = { .filter = sl_str(filter), .qos = qos };
    mqtt_encode_subscribe(&b, d->peers[peer].version, 77, NULL, &e, 1);
    peer_send(&d->peers[peer], &b);
    sl_buf_free(&b);
    durable_commit(d);
    (void)peer_next(&d->peers[peer], MQTT_SUBACK);
}

void open_pair(struct durable_rig *d, uint8_t qos)
{
    durable_open(d);
    (void)durable_online(d, PUB, MQTT_V5, "pub");
    (void)durable_online(d, SUB, MQTT_V5, "sub");
    durable_subscribe(d, SUB, "t", qos);
}

void reopen_pair(struct durable_rig *d, int64_t away_ms)
{
    durable_start(d, away_ms);
    assert_true(durable_online(d, PUB, MQTT_V5, "pub"));
    assert_true(durable_online(d, SUB, MQTT_V5, "sub"));
}

void assert_next(struct peer *p, const char *text, uint8_t qos, bool dup, uint16_t *ret_id)
{
    struct mqtt_publish m = peer_next_publish(p);
    assert_text(m.payload, text);
    assert_int_equal(m.qos, qos);
    assert_int_equal(m.dup, dup);
    if (ret_id)
        *ret_id = m.packet_id;
}

void assert_acked(struct peer *p, enum mqtt_type type, uint16_t id)
{
    uint8_t reason;
    assert_int_equal(peer_next_ack(p, type, &reason), id);
    assert_true(reason < 0x80);
}

void assert_refused(struct peer *p, enum mqtt_type type, uint16_t id)
{
    uint8_t reason;
    assert_int_equal(peer_next_ack(p, type, &reason), id);
    assert_int_equal(reason, MQTT_RC_QUOTA_EXCEEDED);
}
