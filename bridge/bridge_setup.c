/* bridge_setup.c - what a bridge is made of before it runs: copies of its options, the topic map,
 * the client core. */
#include "bridge_internal.h"

#include "base/crypto.h"

#include <stdlib.h>
#include <string.h>

#define ACK_TIMEOUT_MS       10000 /* PUBACK or SUBACK overdue */
#define ASK_AFTER_MS         2000  /* a publish waits in silence */
#define GATEWAY_ID_MAX       256
#define AWS_KEEP_ALIVE_MIN_S 30
#define AWS_KEEP_ALIVE_MAX_S 1200

static uint64_t random_below(void *ctx, uint64_t bound)
{
    (void)ctx;
    return crypto_random_below(bound);
}

/* Copies every string; NULL stays NULL. */
static bool copy_strings(struct bridge_options *o)
{
    const char **strings[] = { &o->gateway_id, &o->host,      &o->client_id,
                               &o->ca_path,    &o->cert_path, &o->key_path,
                               &o->username,   &o->password,  &o->alpn };
    bool ok = true;
    for (size_t i = 0; i < SL_ARRAY_LEN(strings); i++) {
        if (!*strings[i])
            continue;
        *strings[i] = strdup(*strings[i]);
        ok &= *strings[i] != NULL;
    }
    return ok;
}

static uint16_t keep_alive_s(const struct bridge_options *o)
{
    int64_t s = o->keep_alive_ms / 1000;
    if (o->aws_limits && s < AWS_KEEP_ALIVE_MIN_S)
        s = AWS_KEEP_ALIVE_MIN_S;
    if (o->aws_limits && s > AWS_KEEP_ALIVE_MAX_S)
        s = AWS_KEEP_ALIVE_MAX_S;
    return s > UINT16_MAX ? UINT16_MAX : s < 0 ? 0 : (uint16_t)s;
}

static enum sl_code make_client(struct bridge *b, struct sl_err *err)
{
    const struct bridge_options *o = &b->options;
    struct client_options options = { .gateway_id = o->gateway_id,
                                      .client_id = o->client_id,
                                      .username = o->username,
                                      .password = o->password,
                                      .subscriptions = &b->topics,
                                      .keep_alive_s = keep_alive_s(o),
                                      .ask_after_ms = ASK_AFTER_MS,
                                      .ack_timeout_ms = ACK_TIMEOUT_MS,
                                      .in_flight_max = o->in_flight_max,
                                      .payload_max = o->payload_max,
                                      .publishes_per_second = o->publishes_per_second,
                                      .bytes_per_second = o->bytes_per_second,
                                      .aws = o->aws_limits };
    struct client_events events = bridge_client_events(b);
    return client_new(&b->client, &options, &events, bridge_now(b), err);
}

enum sl_code bridge_fill(struct bridge *b, const struct bridge_options *options, struct sl_err *err)
{
    b->options = *options;
    if (!copy_strings(&b->options))
        return sl_fail(err, SL_NOMEM, "memory is out");
    if (!options->gateway_id || strlen(options->gateway_id) > GATEWAY_ID_MAX)
        return sl_fail(err, SL_INVALID, "the gateway's id is missing or above %d bytes",
                       GATEWAY_ID_MAX);
    for (size_t i = 0; i < options->subscription_count; i++) {
        const struct bridge_subscription *s = &options->subscriptions[i];
        enum sl_code code = topicmap_add(&b->topics, s->cloud, s->local, s->qos, err);
        if (code != SL_OK)
            return code;
    }
    batches_init(&b->batches, b->options.gateway_id, &options->batch_standard);
    if (!batches_set_rules(&b->batches, options->batches, options->batch_count))
        return sl_fail(err, SL_NOMEM, "memory is out");
    b->options.subscriptions = NULL; /* the map has its copies */
    b->options.batches = NULL;
    b->peer = (struct explain_peer){ .host = b->options.host,
                                     .client_id = b->options.client_id,
                                     .port = b->options.port,
                                     .connect_timeout_ms = b->options.connect_timeout_ms,
                                     .aws = b->options.aws_limits };
    b->alpn[0] = b->options.alpn;
    b->version = options->protocol_version == 5 ? MQTT_V5 : MQTT_V311;
    b->topic.max = UINT16_MAX;
    backoff_init(&b->backoff, options->reconnect_min_ms, options->reconnect_max_ms, random_below,
                 NULL);
    return make_client(b, err);
}

void bridge_clear(struct bridge *b)
{
    struct bridge_options *o = &b->options;
    const char *strings[] = { o->gateway_id, o->host,     o->client_id, o->ca_path, o->cert_path,
                              o->key_path,   o->username, o->password,  o->alpn };
    for (size_t i = 0; i < SL_ARRAY_LEN(strings); i++)
        free((void *)(uintptr_t)strings[i]); /* our copies; const only for the rest of us */
    client_free(b->client);
    batches_free(&b->batches);
    topicmap_free(&b->topics);
    sl_buf_free(&b->topic);
    sl_buf_free(&b->props);
}

bool bridge_set_batches(struct bridge *b, const struct bridge_batch *batches, size_t count)
{
    return batches_set_rules(&b->batches, batches, count);
}

enum sl_code bridge_check_subscription(const struct bridge_subscription *s, struct sl_err *err)
{
    return topicmap_check(sl_str(s->cloud), sl_str(s->local), err);
}
