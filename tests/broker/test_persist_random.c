/* test_persist_random.c - publishers and subscribers that remember what the standard makes them
 * remember, a broker that crashes at random moments, and a store that commits, or fails, when it
 * likes. Whatever was acknowledged comes, and at QoS 2 once.
 *
 *   SLUICE_SEED=N test_persist_random      that run alone */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "durable_rig.h"

enum { SEEDS = 200, STEPS = 400, SERIALS = 2000, FLIGHT = 3, BOUNDARIES = 4096, UNANSWERED = 64 };
enum { PUB_A, PUB_B, SUB_1, SUB_2, DEVICES };

struct flight {
    uint16_t id, serial;
    uint8_t qos; /* 0: free */
    bool recorded;
};

struct answer {
    uint8_t type;
    uint16_t id;
};

struct device {
    const char *name;
    enum mqtt_version version;
    struct flight flight[FLIGHT]; /* a publisher's, oldest first */
    uint16_t known[65536];        /* serial + 1 of the QoS 2 message with this id */
    uint8_t count[SERIALS];
    struct answer owed[UNANSWERED]; /* on this connection */
    unsigned owed_count;
};

struct sim {
    struct durable_rig d;
    struct device devices[DEVICES];
    uint64_t random;
    unsigned seed;
    uint16_t serials;
    uint8_t qos[SERIALS];
    bool acknowledged[SERIALS];
    size_t boundaries[BOUNDARIES]; /* where a commit may end */
    size_t boundary_count;
    unsigned crashes;
};

static uint32_t roll(struct sim *s, uint32_t below)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % below);
}

#define must(s, holds)                                                                             \
    do {                                                                                           \
        if (!(holds))                                                                              \
            fail_msg("SLUICE_SEED=%u: %s (line %d)", (s)->seed, #holds, __LINE__);                 \
    } while (0)

static struct peer *peer_at(struct sim *s, unsigned i)
{
    return &s->d.peers[i];
}

static bool is_up(struct sim *s, unsigned i)
{
    struct peer *p = peer_at(s, i);
    return p->open && !p->close_wanted;
}

static void mark(struct sim *s)
{
    if (s->boundary_count < BOUNDARIES)
        s->boundaries[s->boundary_count++] = s->d.store.op_count;
}

/* ---- what devices say ---- */

static void send_bytes(struct sim *s, unsigned i, struct sl_buf *b)
{
    if (is_up(s, i)) {
        client_receive(&peer_at(s, i)->client, sl_buf_slice(b));
        mark(s); /* the store may commit before the turn ends */
    }
    sl_buf_free(b);
}

static void send_flight(struct sim *s, unsigned i, const struct flight *f, bool dup)
{
    struct sl_buf b = { 0 };
    char text[8];
    (void)snprintf(text, sizeof text, "%u", f->serial);
    struct mqtt_publish m = {
        .dup = dup, .qos = f->qos, .packet_id = f->id, .topic = sl_str("t"), .payload = sl_str(text)
    };
    if (f->recorded)
        mqtt_encode_ack(&b, s->devices[i].version, MQTT_PUBREL,
                        &(struct mqtt_ack){ .packet_id = f->id });
    else
        mqtt_encode_publish(&b, s->devices[i].version, &m);
    send_bytes(s, i, &b);
}

static void send_answer(struct sim *s, unsigned i, struct answer a)
{
    struct sl_buf b = { 0 };
    mqtt_encode_ack(&b, s->devices[i].version, (enum mqtt_type)a.type,
                    &(struct mqtt_ack){ .packet_id = a.id });
    send_bytes(s, i, &b);
}

static void owe(struct sim *s, unsigned i, uint8_t type, uint16_t id)
{
    struct device *v = &s->devices[i];
    must(s, v->owed_count < UNANSWERED);
    v->owed[v->owed_count++] = (struct answer){ type, id };
}

/* ---- what devices hear ---- */

static struct flight *find_flight(struct device *v, uint16_t id)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (v->flight[i].qos && v->flight[i].id == id)
            return &v->flight[i];
    return NULL;
}

static void land_flight(struct device *v, struct flight *f)
{
    while (f + 1 < v->flight + FLIGHT) {
        f[0] = f[1];
        f++;
    }
    *f = (struct flight){ 0 };
}

static void hear_publish(struct sim *s, unsigned i, const struct mqtt_frame *f)
{
    struct device *v = &s->devices[i];
    struct mqtt_publish m;
    char text[8] = "";
    assert_int_equal(mqtt_decode_publish(f, v->version, &m, NULL), MQTT_RC_SUCCESS);
    must(s, m.payload.len < sizeof text);
    memcpy(text, m.payload.ptr, m.payload.len);
    uint16_t serial = (uint16_t)strtoul(text, NULL, 10);
    must(s, serial < s->serials && m.qos > 0);
    if (m.qos == 1) {
        v->count[serial] = 1;
        owe(s, i, MQTT_PUBACK, m.packet_id);
        return;
    }
    must(s, v->known[m.packet_id] == 0 || v->known[m.packet_id] == serial + 1);
    if (v->known[m.packet_id] == 0)
        v->count[serial]++;
    must(s, v->count[serial] == 1); /* never twice */
    v->known[m.packet_id] = (uint16_t)(serial + 1);
    owe(s, i, MQTT_PUBREC, m.packet_id);
}

static void hear_ack(struct sim *s, unsigned i, const struct mqtt_frame *f)
{
    struct device *v = &s->devices[i];
    struct mqtt_ack a;
    assert_int_equal(mqtt_decode_ack(f, v->version, &a, NULL), MQTT_RC_SUCCESS);
    if (f->type == MQTT_PUBREL) {
        v->known[a.packet_id] = 0;
        owe(s, i, MQTT_PUBCOMP, a.packet_id);
        return;
    }
    struct flight *flight = find_flight(v, a.packet_id);
    if (!flight || (f->type == MQTT_PUBACK) != (flight->qos == 1))
        return;
    if (f->type == MQTT_PUBCOMP) {
        must(s, flight->recorded);
        land_flight(v, flight);
    } else if (a.reason >= 0x80 || f->type == MQTT_PUBACK) {
        s->acknowledged[flight->serial] |= a.reason < 0x80;
        land_flight(v, flight);
    } else if (!flight->recorded) {
        s->acknowledged[flight->serial] = true;
        flight->recorded = true;
        send_flight(s, i, flight, false);
    }
}

static void hear(struct sim *s, unsigned i)
{
    struct peer *p = peer_at(s, i);
    struct mqtt_frame f;
    struct sl_buf bytes = p->received;
    struct sl_cursor in = sl_cursor(sl_buf_slice(&bytes));
    p->received = (struct sl_buf){ 0 };
    while (in.left > 0) {
        assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
        if (f.type == MQTT_PUBLISH)
            hear_publish(s, i, &f);
        else if (f.type >= MQTT_PUBACK && f.type <= MQTT_PUBCOMP)
            hear_ack(s, i, &f);
    }
    sl_buf_free(&bytes);
}

static void turn(struct sim *s)
{
    rig_turn(&s->d.r);
    mark(s);
    for (unsigned i = 0; i < DEVICES; i++)
        hear(s, i);
}

/* ---- what happens ---- */

static void connect_device(struct sim *s, unsigned i)
{
    struct device *v = &s->devices[i];
    if (peer_at(s, i)->open)
        return;
    v->owed_count = 0;
    must(s, durable_online(&s->d, i, v->version, v->name)); /* there is a session, always */
    for (unsigned k = 0; k < FLIGHT && v->flight[k].qos; k++)
        send_flight(s, i, &v->flight[k], true);
    turn(s);
}

static void drop_device(struct sim *s, unsigned i)
{
    if (!is_up(s, i))
        return;
    client_eof(&peer_at(s, i)->client);
    turn(s);
}

static void publish_one(struct sim *s, unsigned i)
{
    struct device *v = &s->devices[i];
    unsigned k = 0;
    while (k < FLIGHT && v->flight[k].qos)
        k++;
    if (k == FLIGHT || !is_up(s, i) || s->serials == SERIALS)
        return;
    uint16_t id = 1;
    while (find_flight(v, id))
        id++;
    uint16_t serial = s->serials++;
    uint8_t qos = (uint8_t)(1 + roll(s, 2));
    s->qos[serial] = qos;
    v->flight[k] = (struct flight){ .id = id, .serial = serial, .qos = qos };
    send_flight(s, i, &v->flight[k], false);
}

static void answer_some(struct sim *s, unsigned i)
{
    struct device *v = &s->devices[i];
    struct answer owed[UNANSWERED];
    unsigned count = v->owed_count;
    memcpy(owed, v->owed, sizeof owed);
    v->owed_count = 0;
    for (unsigned k = 0; k < count; k++)
        send_answer(s, i, owed[k]);
}

static void commit(struct sim *s)
{
    if (s->d.store.broken)
        return;
    store_commit(&s->d.store);
    s->boundary_count = 0;
    turn(s);
}

static void crash(struct sim *s)
{
    size_t ops = 0;
    if (s->boundary_count > 0 && !s->d.store.broken)
        ops = s->boundaries[roll(s, (uint32_t)s->boundary_count)];
    durable_crash(&s->d, roll(s, 3) ? ops : 0);
    durable_start(&s->d, roll(s, 10000));
    s->boundary_count = 0;
    s->crashes++;
    mark(s);
}

static void step(struct sim *s)
{
    unsigned i = roll(s, DEVICES);
    switch (roll(s, 16)) {
    case 0: connect_device(s, i); break;
    case 1: connect_device(s, i); break;
    case 2: drop_device(s, i); break;
    case 3:
    case 4:
    case 5:
    case 6: publish_one(s, roll(s, 2)); break;
    case 7:
    case 8:
    case 9: answer_some(s, SUB_1 + roll(s, 2)); break;
    case 10: durable_spill(&s->d); break;
    case 11:
    case 12: commit(s); break;
    case 13:
        if (roll(s, 4) == 0)
            crash(s);
        break;
    case 14:
        if (roll(s, 8) == 0 && !s->d.store.broken) {
            store_break(&s->d.store);
            s->boundary_count = 0;
        } else if (s->d.store.broken && roll(s, 3) == 0) {
            store_repair(&s->d.store, s->d.r.broker);
            s->boundary_count = 0;
        }
        break;
    default: rig_seconds(&s->d.r, 1); break;
    }
    turn(s);
}

/* Everybody comes back, everything works: then nothing may be missing. */
static void settle_all(struct sim *s)
{
    if (s->d.store.broken)
        store_repair(&s->d.store, s->d.r.broker);
    for (unsigned n = 0; n < 3000; n++) {
        for (unsigned i = 0; i < DEVICES; i++)
            connect_device(s, i);
        answer_some(s, SUB_1);
        answer_some(s, SUB_2);
        durable_spill(&s->d);
        turn(s);
        commit(s);
    }
    for (unsigned i = 0; i < 2; i++)
        must(s, s->devices[i].flight[0].qos == 0);
    for (unsigned i = SUB_1; i <= SUB_2; i++)
        for (uint16_t n = 0; n < s->serials; n++)
            must(s, !s->acknowledged[n] || s->devices[i].count[n] > 0);
    rig_seconds(&s->d.r, 1);
    commit(s);
    must(s, store_rows(&s->d.store, BROKER_ROW_DELIVERY) == 0);
    must(s, store_rows(&s->d.store, BROKER_ROW_RECEIVED) == 0);
    must(s, store_rows(&s->d.store, BROKER_ROW_SESSION) == DEVICES);
}

static void open_sim(struct sim *s, unsigned seed)
{
    static const char *const names[DEVICES] = { "pub-a", "pub-b", "sub-1", "sub-2" };
    static const enum mqtt_version versions[DEVICES] = { MQTT_V5, MQTT_V311, MQTT_V5, MQTT_V311 };
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->random = seed;
    durable_open(&s->d);
    for (unsigned i = 0; i < DEVICES; i++) {
        s->devices[i].name = names[i];
        s->devices[i].version = versions[i];
        (void)durable_online(&s->d, i, versions[i], names[i]);
    }
    durable_subscribe(&s->d, SUB_1, "t", 1);
    durable_subscribe(&s->d, SUB_2, "t", 2);
    durable_commit(&s->d);
}

static void run_seed(struct sim *s, unsigned seed)
{
    open_sim(s, seed);
    for (unsigned n = 0; n < STEPS; n++)
        step(s);
    settle_all(s);
    durable_close(&s->d);
}

static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    const char *only = getenv("SLUICE_SEED"), *many = getenv("SLUICE_SEEDS");
    unsigned first = only ? (unsigned)strtoul(only, NULL, 10) : 1;
    unsigned count = only ? 1 : many ? (unsigned)strtoul(many, NULL, 10) : SEEDS;
    unsigned long acknowledged = 0, crashes = 0;
    struct sim *s = malloc(sizeof *s);
    assert_non_null(s);
    for (unsigned seed = first; seed < first + count; seed++) {
        run_seed(s, seed);
        for (uint16_t n = 0; n < s->serials; n++)
            acknowledged += s->acknowledged[n];
        crashes += s->crashes;
    }
    free(s);
    print_message("%lu messages acknowledged, %lu crashes\n", acknowledged, crashes);
    assert_true(acknowledged > 10 * count && crashes > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_acknowledged_is_lost) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
