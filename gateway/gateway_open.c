/* gateway_open.c - store, broker, rules and bridge: opened with what the configuration says, and
 * what they report. */
#include "gateway.h"

#include "access_config.h"
#include "batch_config.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the bridge's callbacks ---- */

/* Said once, not at every attempt: an outage may take a month. */
static void log_cloud(struct gateway *g, const struct bridge_status *s)
{
    char line[sizeof g->cloud_line];
    const char *word = bridge_state_word(s->state);
    if (s->state >= BRIDGE_RESOLVING && s->state <= BRIDGE_SUBSCRIBING)
        return; /* an attempt: what comes of it is said */
    (void)snprintf(line, sizeof line, s->error[0] ? "%s (%s): %s" : "%s", word, s->cause, s->error);
    if (strcmp(line, g->cloud_line) == 0)
        return;
    memcpy(g->cloud_line, line, sizeof line);
    sl_log(s->error[0] ? SL_WARN : SL_INFO, "cloud", NULL, "%s", line);
}

static void on_cloud_state(void *ctx, const struct bridge_status *s)
{
    struct gateway *g = ctx;
    log_cloud(g, s);
    gateway_gap_follow(g, s);
    gateway_say_cloud(g);
}

static void on_command_safe(void *ctx, uint64_t token, uint8_t reason)
{
    struct gateway *g = ctx;
    if (g->bridge)
        bridge_message_done(g->bridge, token, reason);
}

/* The cloud's acknowledgement waits until every session that gets the message has it safe. */
static enum bridge_take on_cloud_message(void *ctx, struct sl_msg *m, uint64_t token)
{
    struct gateway *g = ctx;
    if (m->qos == 0)
        return broker_publish(g->broker, m) ? BRIDGE_TAKEN : BRIDGE_NO_ROOM;
    switch (broker_publish_safe(g->broker, m, on_command_safe, g, token)) {
    case SL_OK: return BRIDGE_TAKES_LATER;
    case SL_INVALID: return BRIDGE_INVALID;
    default: return BRIDGE_NO_ROOM; /* of the many codes, those two are special */
    }
}

static void on_cloud_dead(void *ctx, const struct sl_msg *m, const char *reason)
{
    gateway_gap_refused(ctx, m, reason);
}

/* ---- opening ---- */

enum sl_code gateway_open_outbox(struct gateway *g, struct sl_err *err)
{
    static const enum outbox_when_full when_full[] = {
        [CONFIG_THIN] = OUTBOX_THIN,
        [CONFIG_DROP_OLDEST] = OUTBOX_DROP_OLDEST,
        [CONFIG_DROP_NEWEST] = OUTBOX_DROP_NEWEST,
        [CONFIG_REFUSE] = OUTBOX_REFUSE,
    };
    const struct config *c = g->config;
    char path[PATH_MAX];
    uint8_t key[SEAL_KEY_BYTES];
    enum sl_code rc = gateway_path_of(g, "queue.db", path, err);
    if (rc != SL_OK)
        return rc;
    struct outbox_options o = {
        .loop = &g->loop,
        .clock = g->clock,
        .clock_is_set = g->clock == &sl_clock_system ? sl_clock_is_set : NULL,
        .path = path,
        .seal_key = gateway_seal_key(g, key),
        .max_bytes = c->store.max_bytes,
        .max_age_ms = c->store.max_age_ms,
        .when_full = when_full[c->store.when_full],
        .spill_after_ms = c->store.spill_after_ms,
        .commit_interval_ms = c->store.commit_interval_ms,
        .sync = (enum outbox_sync)c->store.sync,
    };
    rc = outbox_open(&g->outbox, &o, err);
    crypto_wipe(key, sizeof key);
    return rc;
}

static void authenticate(void *ctx, struct broker_auth *auth, struct sl_slice user,
                         struct sl_slice password)
{
    struct gateway *g = ctx;
    if (g->logins)
        logins_check(g->logins, auth, user, password);
    else if (g->anonymous)
        broker_auth_nameless(auth); /* a name means nothing without a users file */
    else
        broker_auth_done(auth, false);
}

enum sl_code gateway_open_broker(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    g->anonymous = c->access.anonymous;
    if (c->access.users_file) {
        enum sl_code rc =
            logins_open(&g->logins, &g->loop, g->clock, &g->throttle, c->access.users_file, err);
        if (rc != SL_OK)
            return rc;
    }
    struct broker_persistence persistence = gateway_persistence(g);
    struct broker_options o = {
        .loop = &g->loop,
        .clock = g->clock,
        .persistence = g->state ? &persistence : NULL,
        .spill_ms = c->store.spill_after_ms,
        .hooks = { .ctx = g, .authenticate = authenticate },
        .version = SLUICE_VERSION,
        .anonymous = c->access.anonymous,
        .max_connections = c->broker.max_connections,
        .max_per_address = c->broker.max_connections_per_address,
        .max_unfinished = c->broker.max_unfinished_connections,
        .max_packet_size = (uint32_t)c->broker.max_packet_size, /* validated: at most 256 MiB */
        .max_inflight = c->broker.max_inflight,
        .receive_maximum = c->broker.receive_maximum,
        .max_queued_messages = c->broker.max_queued_messages,
        .max_queued_bytes = c->broker.max_queued_bytes,
        .max_queued_total = c->broker.max_queued_bytes_total,
        .max_retained_bytes = c->broker.max_retained_bytes,
        .topic_alias_max = c->broker.topic_alias_max,
        .max_qos = (uint8_t)c->broker.max_qos,
        .retain = c->broker.retain,
        .max_keep_alive_s = (uint32_t)(c->broker.max_keep_alive_ms / 1000),
        .session_expiry_max_s = (uint32_t)(c->broker.session_expiry_max_ms / 1000),
        .connect_timeout_ms = c->broker.connect_timeout_ms,
        .connect_rate = c->broker.connect_rate,
        .sys_interval_ms = c->broker.sys_interval_ms,
    };
    struct acl *acl = NULL;
    enum sl_code rc = access_list(c, &acl, err);
    if (rc == SL_OK)
        rc = broker_open(&g->broker, &o, err);
    if (rc == SL_OK)
        broker_set_acl(g->broker, acl);
    if (rc == SL_OK)
        gateway_restore(g);
    acl_unref(acl);
    return rc;
}

enum sl_code gateway_open_engine(struct gateway *g, struct sl_err *err)
{
    struct engine_options o = {
        .clock = g->clock,
        .broker = g->broker,
        .outbox = g->outbox,
        .gateway_id = g->config->gateway.id,
        .thing_name =
            g->config->cloud.present ? g->config->cloud.thing_name : g->config->gateway.id,
    };
    return engine_open(&g->engine, &o, g->config, err);
}

static void fill_bridge_options(struct gateway *g, struct bridge_options *o)
{
    const struct config *c = g->config;
    *o = (struct bridge_options){
        .loop = &g->loop,
        .clock = g->clock,
        .outbox = g->outbox,
        .gateway_id = c->gateway.id,
        .host = c->cloud.endpoint,
        .port = c->cloud.port,
        .client_id = c->cloud.client_id,
        .ca_path = c->cloud.ca,
        .cert_path = c->cloud.cert,
        .key_path = c->cloud.key,
        /* On 443 AWS tells MQTT from HTTPS by this name alone. */
        .alpn = c->cloud.aws && c->cloud.port == 443 ? "x-amzn-mqtt-ca" : NULL,
        .username = c->cloud.username,
        .password = c->cloud.password,
        .protocol_version = c->cloud.protocol_version,
        .keep_alive_ms = c->cloud.keep_alive_ms,
        .connect_timeout_ms = c->cloud.connect_timeout_ms,
        .reconnect_min_ms = c->cloud.reconnect_min_ms,
        .reconnect_max_ms = c->cloud.reconnect_max_ms,
        .in_flight_max = c->cloud.in_flight,
        .publishes_per_second = c->cloud.publishes_per_second,
        .bytes_per_second = c->cloud.bytes_per_second,
        .payload_max = c->cloud.max_payload,
        .aws_limits = c->cloud.aws,
        .origin = BROKER_ORIGIN_OUTSIDE,
        .batch_standard = batch_standard(c),
    };
}

enum sl_code gateway_open_bridge(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (!c->cloud.present)
        return SL_OK;
    size_t count = c->cloud.subscribe_count;
    struct bridge_subscription *subs = calloc(count ? count : 1, sizeof *subs);
    if (!subs)
        return sl_fail(err, SL_NOMEM, "cloud: out of memory");
    for (size_t i = 0; i < count; i++)
        subs[i] =
            (struct bridge_subscription){ c->cloud.subscribe[i].cloud, c->cloud.subscribe[i].local,
                                          c->cloud.subscribe[i].qos };
    struct bridge_options o;
    fill_bridge_options(g, &o);
    struct bridge_batch *batches;
    if (!batch_table(c, &batches, &o.batch_count)) {
        free(subs);
        return sl_fail(err, SL_NOMEM, "cloud: out of memory");
    }
    o.batches = batches;
    o.subscriptions = subs;
    o.subscription_count = count;
    struct bridge_callbacks callbacks = { .ctx = g,
                                          .on_state = on_cloud_state,
                                          .on_message = on_cloud_message,
                                          .on_dead = on_cloud_dead };
    gateway_gap_open(g);
    enum sl_code rc = bridge_open(&g->bridge, &o, &callbacks, err);
    free(batches);
    free(subs);
    return rc;
}
