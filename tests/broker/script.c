/* script.c - plays the conversations of script.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

#include "codec_bytes.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct play {
    struct rig rig;
    struct peer peers[SCRIPT_PEERS];
    bool used[SCRIPT_PEERS];
    const char *name;
    char line[1024]; /* the step, for messages */
};

static void hex(const struct sl_buf *b, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len && n + 4 < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%02x ", b->ptr[i]);
    out[n] = 0;
}

static _Noreturn void wrong(const struct play *p, const struct peer *peer, const char *why)
{
    char text[400] = "";
    if (peer)
        hex(&peer->received, text, sizeof text);
    fail_msg("%s: \"%s\": %s; there is: %s", p->name, p->line, why, text);
    abort();
}

/* ---- connecting ---- */

static bool option(const char *at, const char *key, unsigned *ret)
{
    char pattern[16];
    (void)snprintf(pattern, sizeof pattern, " %s=", key);
    const char *found = strstr(at, pattern);
    if (found)
        *ret = (unsigned)strtoul(found + strlen(pattern), NULL, 10);
    return found != NULL;
}

static void will_of(const char *at, struct mqtt_connect *c)
{
    const char *found = strstr(at, " will=");
    unsigned n;
    if (!found)
        return;
    c->has_will = true;
    c->will.topic = sl_bytes(found + 6, strcspn(found + 6, " "));
    c->will.payload = sl_str("gone");
    c->will.qos = option(at, "wq", &n) ? (uint8_t)n : 0;
    c->will.retain = option(at, "wr", &n) && n;
    if (option(at, "wd", &n)) {
        mqtt_set(&c->will.props, MQTT_P_WILL_DELAY);
        c->will.props.will_delay = n;
    }
}

static void props_of(const char *at, struct mqtt_props *props)
{
    unsigned n;
    if (option(at, "exp", &n)) {
        mqtt_set(props, MQTT_P_SESSION_EXPIRY);
        props->session_expiry = n;
    }
    if (option(at, "rm", &n)) {
        mqtt_set(props, MQTT_P_RECEIVE_MAXIMUM);
        props->receive_max = (uint16_t)n;
    }
    if (option(at, "max", &n)) {
        mqtt_set(props, MQTT_P_MAXIMUM_PACKET_SIZE);
        props->max_packet_size = n;
    }
    if (option(at, "alias", &n)) {
        mqtt_set(props, MQTT_P_TOPIC_ALIAS_MAXIMUM);
        props->topic_alias_max = (uint16_t)n;
    }
    if (option(at, "info", &n)) {
        mqtt_set(props, MQTT_P_REQUEST_PROBLEM_INFO);
        props->request_problem_info = (uint8_t)n;
    }
}

static void do_connect(struct play *p, struct peer *peer, const char *at)
{
    unsigned n;
    struct mqtt_connack ack;
    struct mqtt_connect c = { .version = (enum mqtt_version)(at[0] - '0'), .clean_start = true };
    const char *id = at + 2;
    c.client_id = sl_bytes(id, strcspn(id, " "));
    c.clean_start = !option(at, "clean", &n) || n;
    c.keep_alive_s = option(at, "keep", &n) ? (uint16_t)n : 0;
    will_of(at, &c);
    props_of(at, &c.props);
    peer_open(peer, &p->rig, c.version);
    peer_send_connect(peer, &c);
    if (peer->received.len == 0)
        wrong(p, peer, "no CONNACK");
    struct mqtt_frame f = peer_next(peer, MQTT_CONNACK);
    if (mqtt_decode_connack(&f, c.version, &ack, NULL) != MQTT_RC_SUCCESS || ack.reason != 0)
        wrong(p, peer, "CONNACK does not let it in");
    if (option(at, "sp", &n) && ack.session_present != (n != 0))
        wrong(p, peer, "session present");
}

/* ---- what came ---- */

static struct sl_slice first_packet(const struct play *p, const struct peer *peer)
{
    struct mqtt_frame f;
    struct sl_cursor in = sl_cursor(sl_buf_slice(&peer->received));
    if (mqtt_frame_next(&in, UINT32_MAX, &f, NULL) != MQTT_FRAME_OK)
        wrong(p, peer, "no packet");
    return sl_bytes(peer->received.ptr, f.size);
}

static void expect_exactly(const struct play *p, struct peer *peer, const char *at)
{
    struct sl_buf want = { 0 };
    put_bytes(&want, at);
    struct sl_slice got = first_packet(p, peer);
    bool same = sl_slice_eq(got, sl_buf_slice(&want));
    sl_buf_free(&want);
    if (!same)
        wrong(p, peer, "another packet");
    sl_buf_consume(&peer->received, got.len);
}

static void expect_inside(const struct play *p, struct peer *peer, const char *at, bool want)
{
    struct sl_buf part = { 0 };
    bool first = *at == '^', found = false;
    put_bytes(&part, first ? at + 1 : at);
    struct sl_slice got = first_packet(p, peer);
    for (size_t i = 0; i + part.len <= got.len && !found && !(first && i > 0); i++)
        found = memcmp(got.ptr + i, part.ptr, part.len) == 0;
    sl_buf_free(&part);
    if (found != want)
        wrong(p, peer, want ? "those bytes are missing" : "those bytes are there");
    sl_buf_consume(&peer->received, got.len);
}

static void expect_types(const struct play *p, struct peer *peer, const char *at)
{
    while (*at) {
        unsigned type = (unsigned)strtoul(at, (char **)&at, 16);
        struct sl_slice got = first_packet(p, peer);
        if (got.ptr[0] >> 4 != type >> 4)
            wrong(p, peer, "another type");
        sl_buf_consume(&peer->received, got.len);
        at += strspn(at, " ");
    }
}

static void expect_closed(const struct play *p, struct peer *peer, const char *at)
{
    if (peer->open)
        wrong(p, peer, "still open");
    if (*at && peer->version == MQTT_V5) {
        struct sl_slice got = first_packet(p, peer);
        if (got.ptr[0] != MQTT_DISCONNECT << 4 || got.len < 3 ||
            got.ptr[2] != strtoul(at, NULL, 16))
            wrong(p, peer, "another DISCONNECT");
        sl_buf_consume(&peer->received, got.len);
    }
    if (peer->received.len > 0)
        wrong(p, peer, "more than that");
}

static void do_send(struct play *p, struct peer *peer, const char *at)
{
    struct sl_buf bytes = { 0 };
    if (!peer->open)
        wrong(p, peer, "it is closed");
    put_bytes(&bytes, at);
    peer_send(peer, &bytes);
    sl_buf_free(&bytes);
}

/* ---- steps ---- */

static void do_step(struct play *p, const char *at)
{
    if (*at == '+') {
        rig_seconds(&p->rig, atoi(at + 1));
        return;
    }
    unsigned which = (unsigned)(at[0] - 'a');
    if (which >= SCRIPT_PEERS || !at[1])
        wrong(p, NULL, "no such step");
    struct peer *peer = &p->peers[which];
    const char *rest = at + 2 + strspn(at + 2, " ");
    bool opens = at[1] == ':' || at[1] == '~';
    if (opens && p->used[which]) {
        if (peer->open)
            wrong(p, peer, "open already");
        sl_buf_free(&peer->received);
    }
    p->used[which] |= opens;
    switch (at[1]) {
    case ':': do_connect(p, peer, rest); break;
    case '~': peer_open(peer, &p->rig, (enum mqtt_version)(rest[0] - '0')); break;
    case '>': do_send(p, peer, rest); break;
    case '<': expect_exactly(p, peer, rest); break;
    case '*': expect_inside(p, peer, rest, true); break;
    case '^': expect_inside(p, peer, rest, false); break;
    case '?': expect_types(p, peer, rest); break;
    case '!': expect_closed(p, peer, rest); break;
    case '-': peer_drop(peer); break;
    case '.':
        if (!peer->open || peer->received.len > 0)
            wrong(p, peer, peer->open ? "more has come" : "it is closed");
        break;
    default: wrong(p, peer, "no such step");
    }
}

void script_play(const struct script *s)
{
    static struct play p; /* one at a time */
    p = (struct play){ .name = s->name };
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    rig_open(&p.rig, s->adjust);
    for (const char *at = s->text; *at;) {
        size_t len = strcspn(at, "\n");
        assert_true(len < sizeof p.line);
        memcpy(p.line, at, len);
        p.line[len] = 0;
        const char *step = p.line + strspn(p.line, " ");
        if (*step)
            do_step(&p, step);
        at += len + (at[len] == '\n');
    }
    rig_close(&p.rig);
    for (unsigned i = 0; i < SCRIPT_PEERS; i++)
        sl_buf_free(&p.peers[i].received);
}

static void play_one(void **state)
{
    script_play(*state);
}

void script_tests(struct CMUnitTest *tests, const struct script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){ scripts[i].name, play_one, NULL, NULL,
                                        (void *)(uintptr_t)&scripts[i] };
}
