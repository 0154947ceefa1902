/* finish.c - names, addresses and choices that follow from others. Asks the system for the host's
 * name, nothing else. */
#include "finish.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAYLOAD_MAX (256u * 1024 * 1024) /* of MQTT; nothing larger gets into the gateway */

bool config_address(const char *text, uint8_t ret[16])
{
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(ret, 0, 10);
        memset(ret + 10, 0xFF, 2);
        memcpy(ret + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, text, ret) == 1;
}

bool config_is_loopback(const char *text)
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    static const uint8_t one[16] = { [15] = 1 };
    uint8_t address[16];
    if (!text || !config_address(text, address))
        return false;
    if (memcmp(address, mapped, sizeof mapped) == 0)
        return address[12] == 127;
    return memcmp(address, one, sizeof one) == 0;
}

bool config_listener_is_open(const struct config_listener *l)
{
    return l->bind && !config_is_loopback(l->bind) && l->client_cert != CONFIG_CERT_REQUIRED;
}

static void set_default(struct config_reader *r, char **field, const char *text)
{
    if (!*field && text)
        *field = config_copy(r, sl_str(text));
}

/* The host's name, with what an id cannot hold replaced. */
static void finish_gateway(struct config_reader *r)
{
    char name[129] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !name[0])
        (void)snprintf(name, sizeof name, "sluice"); /* fits */
    for (char *c = name; *c; c++)
        if (!((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') && !(*c >= '0' && *c <= '9') && *c != '.' &&
            *c != '_' && *c != ':')
            *c = '-';
    set_default(r, &r->config->gateway.id, name);
}

/* ---- listeners and access ---- */

static const char *protocol_name(enum config_protocol p, uint16_t *ret_port)
{
    switch (p) {
    case CONFIG_MQTT: *ret_port = 1883; return "mqtt";
    case CONFIG_MQTTS: *ret_port = 8883; return "mqtts";
    case CONFIG_WS: *ret_port = 8083; return "ws";
    case CONFIG_WSS: *ret_port = 8084; return "wss";
    }
    return "";
}

static bool is_bad(const struct jsonc *node, const char *key)
{
    const struct jsonc *value = jsonc_get(node, key);
    return value && value->type == JSONC_BAD;
}

/* node may be NULL. */
static void finish_listener(struct config_reader *r, struct config_listener *l, size_t index,
                            const struct jsonc *node)
{
    uint16_t port = 0;
    char name[32];
    (void)snprintf(name, sizeof name, "%s-%zu", protocol_name(l->protocol, &port),
                   index + 1); /* fits */
    set_default(r, &l->name, name);
    if (l->unix_path)
        return;
    set_default(r, &l->bind, "127.0.0.1");
    if (l->port == 0 && !is_bad(node, "port") && !is_bad(node, "protocol"))
        l->port = port; /* else it stays 0: what it was meant to be is not known */
}

static bool is_ipv4_mapped(const uint8_t a[16])
{
    static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    return memcmp(a, mapped, sizeof mapped) == 0;
}

/* "::" takes IPv4 along, unless another listener says who has that. */
static void finish_any_address(struct config *c, struct config_listener *l)
{
    static const uint8_t any[16] = { 0 };
    uint8_t a[16];
    if (!l->bind || !config_address(l->bind, a) || memcmp(a, any, sizeof a) != 0)
        return;
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *other = &c->listeners[i];
        if (other->bind && other->port == l->port && config_address(other->bind, a) &&
            is_ipv4_mapped(a))
            l->ipv6_only = true;
    }
}

/* Without "listeners" there is one that only this machine reaches. */
static void finish_listeners(struct config_reader *r)
{
    struct config *c = r->config;
    if (!config_has(r->doc.root, "listeners") && !c->listeners) {
        c->listeners = calloc(1, sizeof *c->listeners);
        if (!c->listeners) {
            r->nomem = true;
            return;
        }
        c->listener_count = 1;
        c->listeners[0].protocol = CONFIG_MQTT;
        c->listeners[0].tls_min_version = 12;
        set_default(r, &c->listeners[0].path, "/mqtt");
    }
    const struct jsonc *list = jsonc_get(r->doc.root, "listeners");
    const struct jsonc *node = list ? list->child : NULL;
    for (size_t i = 0; i < c->listener_count; i++) {
        finish_listener(r, &c->listeners[i], i, node);
        node = node ? node->next : NULL;
    }
    for (size_t i = 0; i < c->listener_count; i++)
        finish_any_address(c, &c->listeners[i]);
}

/* Nobody chose: without users, and with nothing open to the network, clients need no name. With
 * something open validate.c demands the choice. */
static void finish_access(struct config_reader *r)
{
    struct config *c = r->config;
    bool open = false;
    for (size_t i = 0; i < c->listener_count; i++)
        open = open || config_listener_is_open(&c->listeners[i]);
    if (!c->access.anonymous_set)
        c->access.anonymous = !open && !c->access.users_file;
    if (!c->web.anonymous_set)
        c->web.anonymous = config_is_loopback(c->web.bind) && !c->web.users_file ? CONFIG_WEB_READ
                                                                                 : CONFIG_WEB_NONE;
}

static void finish_broker(struct config_reader *r)
{
    struct config *c = r->config;
    if (c->broker.max_connections_per_address == 0)
        c->broker.max_connections_per_address = c->broker.max_connections;
}

/* ---- rules ---- */

static void finish_output(struct config_output *o, const struct jsonc *node, const struct config *c)
{
    if (jsonc_get(node, "local"))
        o->kind = CONFIG_TO_LOCAL;
    else if (jsonc_get(node, "gpio"))
        o->kind = CONFIG_TO_GPIO;
    else
        o->kind = CONFIG_TO_CLOUD;
    if (o->kind == CONFIG_TO_CLOUD && !jsonc_get(node, "qos"))
        o->qos = 1;
    if (o->batch_max_bytes == 0)
        o->batch_max_bytes = c->cloud.batch_max_bytes;
    if (o->batch_max_age_ms == 0)
        o->batch_max_age_ms = c->cloud.batch_max_age_ms;
}

static void finish_outputs(struct config_output *list, size_t count, const struct jsonc *nodes,
                           const struct config *c)
{
    const struct jsonc *node = nodes ? nodes->child : NULL;
    for (size_t i = 0; i < count && node; i++, node = node->next)
        finish_output(&list[i], node, c);
}

static void finish_rules(struct config_reader *r)
{
    struct config *c = r->config;
    const struct jsonc *list = jsonc_get(r->doc.root, "rules");
    const struct jsonc *node = list ? list->child : NULL;
    for (size_t i = 0; i < c->rule_count && node; i++, node = node->next) {
        struct config_rule *rule = &c->rules[i];
        finish_outputs(rule->to, rule->to_count, jsonc_get(node, "to"), c);
        finish_outputs(rule->on_error, rule->on_error_count, jsonc_get(node, "on_error"), c);
    }
}

/* ---- cloud, gpio ---- */

static void put_names(const struct config *c, struct sl_slice text, struct sl_buf *out)
{
    static const char gateway[] = "${gateway}", thing[] = "${thing_name}";
    for (size_t at = 0; at < text.len;) {
        struct sl_slice rest = { text.ptr + at, text.len - at };
        if (sl_slice_starts(rest, sl_str(gateway))) {
            sl_buf_put_str(out, c->gateway.id);
            at += sizeof gateway - 1;
        } else if (sl_slice_starts(rest, sl_str(thing))) {
            sl_buf_put_str(out, c->cloud.thing_name);
            at += sizeof thing - 1;
        } else {
            sl_buf_put_u8(out, text.ptr[at++]);
        }
    }
}

/* ${gateway} and ${thing_name} in a subscription's filter or a topic. */
static void resolve(struct config_reader *r, char **field)
{
    if (!*field || !strchr(*field, '$') || r->nomem)
        return;
    struct sl_buf text = { 0 };
    put_names(r->config, sl_str(*field), &text);
    char *resolved = text.failed ? NULL : config_copy(r, sl_buf_slice(&text));
    sl_buf_free(&text);
    if (!resolved) {
        r->nomem = true;
        return;
    }
    free(*field);
    *field = resolved;
}

/* The limits' defaults are AWS IoT's. Another broker has none of its own: what is not written does
 * not slow it down. */
static void finish_limits(struct config_reader *r)
{
    struct config *c = r->config;
    const struct jsonc *cloud = jsonc_get(r->doc.root, "cloud");
    const struct jsonc *limits = cloud ? jsonc_get(cloud, "limits") : NULL;
    if (!c->cloud.present || c->cloud.aws)
        return;
    if (!limits || !jsonc_get(limits, "publishes_per_second"))
        c->cloud.publishes_per_second = 0;
    if (!limits || !jsonc_get(limits, "bytes_per_second"))
        c->cloud.bytes_per_second = 0;
    if (!limits || !jsonc_get(limits, "max_payload"))
        c->cloud.max_payload = PAYLOAD_MAX;
}

static void finish_cloud(struct config_reader *r)
{
    struct config *c = r->config;
    finish_limits(r);
    set_default(r, &c->cloud.thing_name, c->gateway.id);
    set_default(r, &c->cloud.client_id, c->cloud.thing_name);
    /* Over 3.1.1 AWS answers a topic that a policy does not allow by hanging up: only on request. */
    bool hangs_up = c->cloud.aws && c->cloud.protocol_version == 4;
    set_default(r, &c->cloud.report_topic, hangs_up ? "" : "sluice/${gateway}/gap");
    resolve(r, &c->cloud.report_topic);
    for (size_t i = 0; i < c->cloud.subscribe_count; i++) {
        resolve(r, &c->cloud.subscribe[i].cloud);
        resolve(r, &c->cloud.subscribe[i].local);
    }
}

static void finish_gpio(struct config_reader *r)
{
    for (size_t i = 0; i < r->config->gpio_count; i++) {
        struct config_gpio *g = &r->config->gpio[i];
        if (g->topic || !g->name)
            continue;
        char topic[80];
        (void)snprintf(topic, sizeof topic, "gpio/%s", g->name); /* fits: names have 64 bytes */
        set_default(r, &g->topic, topic);
    }
}

void config_finish(struct config_reader *r)
{
    finish_gateway(r);
    finish_cloud(r); /* needs the gateway's id */
    finish_listeners(r);
    finish_access(r); /* needs the listeners' addresses */
    finish_broker(r);
    finish_rules(r);
    finish_gpio(r);
}
