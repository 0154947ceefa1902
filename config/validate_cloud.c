/* validate_cloud.c - the cloud and the store before it. */
#include "schema.h"
#include "validate.h"

#include "base/topic.h"

#include <stdio.h>

/* AWS IoT Core's own limits for one connection. */
#define AWS_KEEP_ALIVE_MS_MAX ((int64_t)1200 * 1000)
#define AWS_PAYLOAD_MAX       (128 * 1024)
#define AWS_PUBLISHES_MAX     100
#define AWS_BYTES_MAX         (512 * 1024)
#define AWS_IN_FLIGHT_MAX     100
#define AWS_SLASHES_MAX       7

static void check_endpoint(struct config_reader *r, const struct jsonc *cloud)
{
    const char *endpoint = r->config->cloud.endpoint;
    if (!validate_needs(r, cloud, "endpoint", "the cloud's host name") || !endpoint)
        return;
    if (strstr(endpoint, "://") || strpbrk(endpoint, "/ \t"))
        config_complain(r, false, cloud, "endpoint",
                        "expected a host name alone, without a scheme or path");
    else if (strchr(endpoint, ':') && strchr(endpoint, ':') == strrchr(endpoint, ':'))
        config_complain(r, false, cloud, "endpoint",
                        "expected a host name alone; the port stands in cloud.port");
}

static void check_identity(struct config_reader *r, const struct jsonc *cloud)
{
    const struct config *c = r->config;
    validate_file(r, cloud, "ca", c->cloud.ca);
    validate_file(r, cloud, "cert", c->cloud.cert);
    validate_key_file(r, cloud, "key", c->cloud.key);
    if (c->cloud.aws) {
        (void)validate_needs(r, cloud, "ca", "AmazonRootCA1.pem, which the server is checked by");
        (void)validate_needs(r, cloud, "cert", "AWS IoT knows the gateway by its certificate");
        (void)validate_needs(r, cloud, "key", "the certificate's private key");
        if (c->cloud.username || c->cloud.password)
            config_complain(r, false, cloud, c->cloud.username ? "username" : "password",
                            "only with type \"mqtt\": AWS IoT takes certificates");
        return;
    }
    if (jsonc_get(cloud, "cert") && !config_has(cloud, "key"))
        (void)validate_needs(r, cloud, "key", "the certificate's private key");
    if (jsonc_get(cloud, "key") && !config_has(cloud, "cert"))
        (void)validate_needs(r, cloud, "cert", "the key's certificate");
    if (jsonc_get(cloud, "cert") && !config_has(cloud, "ca"))
        (void)validate_needs(r, cloud, "ca", "without it there is no TLS");
    if (jsonc_get(cloud, "password") && !config_has(cloud, "username"))
        (void)validate_needs(r, cloud, "username", "a password goes with it");
    if (jsonc_get(cloud, "password") && !config_has(cloud, "ca"))
        config_complain(r, true, cloud, "password",
                        "goes over the network in the clear: without "
                        "ca there is no TLS");
}

static void check_aws_limits(struct config_reader *r, const struct jsonc *cloud)
{
    const struct config *c = r->config;
    const struct jsonc *limits = jsonc_get(cloud, "limits");
    if (c->cloud.keep_alive_ms > AWS_KEEP_ALIVE_MS_MAX)
        config_complain(r, true, cloud, "keep_alive", "AWS IoT uses at most 20m");
    if (c->cloud.publishes_per_second > AWS_PUBLISHES_MAX || c->cloud.publishes_per_second == 0)
        config_complain(r, true, limits, "publishes_per_second",
                        "AWS IoT allows %d a second on one connection", AWS_PUBLISHES_MAX);
    if (c->cloud.bytes_per_second > AWS_BYTES_MAX || c->cloud.bytes_per_second == 0)
        config_complain(r, true, limits, "bytes_per_second",
                        "AWS IoT allows 512KiB a second on one connection");
    if (c->cloud.in_flight > AWS_IN_FLIGHT_MAX)
        config_complain(r, true, limits, "in_flight",
                        "AWS IoT allows %d unacknowledged messages on one connection",
                        AWS_IN_FLIGHT_MAX);
    if (c->cloud.max_payload > AWS_PAYLOAD_MAX)
        config_complain(r, false, limits, "max_payload", "AWS IoT takes at most 128KiB");
}

static size_t count_byte(const char *text, char c)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

/* The wildcards of `local` take over, in order, what those of `cloud` matched. */
static void check_subscription(struct config_reader *r, const struct jsonc *node,
                               const struct config_subscribe *s)
{
    (void)validate_needs(r, node, "cloud", "the topic filter in the cloud");
    (void)validate_needs(r, node, "local", "the topic here");
    bool cloud_ok = s->cloud && sl_filter_valid(sl_str(s->cloud));
    bool local_ok = s->local && sl_filter_valid(sl_str(s->local));
    if (s->cloud && !cloud_ok)
        config_complain(r, false, node, "cloud",
                        "not a topic filter ('+' stands for one whole level, '#' only at the end)");
    if (s->local && !local_ok)
        config_complain(r, false, node, "local",
                        "not a topic ('+' stands for one whole level, '#' only at the end)");
    if (cloud_ok && r->config->cloud.aws && count_byte(s->cloud, '/') > AWS_SLASHES_MAX)
        config_complain(r, false, node, "cloud", "AWS IoT takes topics with at most %d slashes",
                        AWS_SLASHES_MAX);
    if (!cloud_ok || !local_ok)
        return;
    if (count_byte(s->local, '+') > count_byte(s->cloud, '+') ||
        count_byte(s->local, '#') > count_byte(s->cloud, '#'))
        config_complain(r, false, node, "local",
                        "has wildcards that cloud has not: each takes over what one of cloud's "
                        "matched");
}

static void check_report(struct config_reader *r, const struct jsonc *cloud)
{
    const char *topic = r->config->cloud.report_topic;
    if (!topic || !topic[0] || !jsonc_get(cloud, "report_topic"))
        return;
    if (!sl_topic_valid(sl_str(topic)))
        config_complain(r, false, cloud, "report_topic", "not a topic (no '+', no '#')");
    else if (r->config->cloud.aws && count_byte(topic, '/') > AWS_SLASHES_MAX)
        config_complain(r, false, cloud, "report_topic",
                        "AWS IoT takes topics with at most %d slashes", AWS_SLASHES_MAX);
}

static void check_reconnect(struct config_reader *r, const struct jsonc *cloud)
{
    const struct config *c = r->config;
    char low[32], high[32];
    if (c->cloud.reconnect_min_ms <= c->cloud.reconnect_max_ms)
        return;
    const struct jsonc *reconnect = jsonc_get(cloud, "reconnect");
    const char *key = jsonc_get(reconnect, "min") ? "min" : "max";
    config_complain(r, false, reconnect, key, "min (%s) is above max (%s)",
                    config_duration_text(c->cloud.reconnect_min_ms, low, sizeof low),
                    config_duration_text(c->cloud.reconnect_max_ms, high, sizeof high));
}

static void check_batch(struct config_reader *r, const struct jsonc *cloud)
{
    const struct config *c = r->config;
    const struct jsonc *batch = jsonc_get(cloud, "batch");
    if (jsonc_get(batch, "max_bytes") && c->cloud.batch_max_bytes > c->cloud.max_payload)
        config_complain(r, false, batch, "max_bytes", "above cloud.limits.max_payload (%u)",
                        c->cloud.max_payload);
}

static void check_provisioning(struct config_reader *r, const struct jsonc *cloud)
{
    const struct jsonc *p = jsonc_get(cloud, "provisioning");
    if (!p || p->type != JSONC_OBJECT)
        return;
    (void)validate_needs(r, p, "template", "the fleet provisioning template's name");
    (void)validate_needs(r, p, "claim_cert", "the claim's certificate");
    (void)validate_needs(r, p, "claim_key", "the claim's private key");
}

void validate_cloud(struct config_reader *r)
{
    const struct config *c = r->config;
    const struct jsonc *cloud = jsonc_get(r->doc.root, "cloud"), *node;
    if (!cloud || cloud->type != JSONC_OBJECT)
        return;
    check_endpoint(r, cloud);
    if (jsonc_get(cloud, "thing_name"))
        validate_name(r, cloud, "thing_name", c->cloud.thing_name, ":");
    check_identity(r, cloud);
    check_reconnect(r, cloud);
    check_batch(r, cloud);
    check_provisioning(r, cloud);
    check_report(r, cloud);
    if (c->cloud.aws)
        check_aws_limits(r, cloud);
    struct validate_walk w = validate_walk(jsonc_get(cloud, "subscribe"));
    for (size_t i; validate_next(&w, c->cloud.subscribe_count, &node, &i);)
        check_subscription(r, node, &c->cloud.subscribe[i]);
}
