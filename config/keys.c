/* keys.c - the tables: every key with its type, field, range and default.
 *
 * Change nothing here without config/sluice.schema.json and docs/configuration.md: the tests
 * compare all three. */
#include "schema.h"

#include "base/log.h"

#define FIELD(type, member)                                                                        \
    .field = offsetof(type, member) + 1, .width = sizeof(((type *)0)->member)
#define NOTE(type, member)  .note = offsetof(type, member) + 1
#define PLACE(type, member) .place = offsetof(type, member) + 1
#define KEYS(list)          .keys = (list), .key_count = SL_ARRAY_LEN(list)

enum { S = 1000, M = 60 * S, H = 60 * M };
#define DAY    ((int64_t)24 * H)
#define YEAR   (365 * DAY)
#define KIB    ((int64_t)1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define TIB    (1024 * GIB)
#define PACKET (256 * MIB) /* about what MQTT's length field can say */

/* ---- gateway, log ---- */

static const struct config_key gateway_keys[] = {
    { .name = "id", .kind = KEY_TEXT, FIELD(struct config, gateway.id), .min = 1, .max = 128 },
    { .name = "data_dir",
      .kind = KEY_PATH,
      FIELD(struct config, gateway.data_dir),
      .min = 1,
      .fallback = "/var/lib/sluice" },
};
static const struct config_table gateway_table = { KEYS(gateway_keys) };

static const struct config_word log_levels[] = {
    { "error", SL_ERROR }, { "warn", SL_WARN }, { "info", SL_INFO }, { "debug", SL_DEBUG }, { 0 }
};
static const struct config_word log_formats[] = { { "text", SL_LOG_TEXT },
                                                  { "json", SL_LOG_JSON },
                                                  { 0 } };
static const struct config_key log_keys[] = {
    { .name = "level",
      .kind = KEY_WORD,
      FIELD(struct config, log.level),
      .words = log_levels,
      .fallback = "info" },
    { .name = "format",
      .kind = KEY_WORD,
      FIELD(struct config, log.format),
      .words = log_formats,
      .fallback = "text" },
};
static const struct config_table log_table = { KEYS(log_keys) };

/* ---- listeners ---- */

static const struct config_word client_certs[] = { { "none", CONFIG_CERT_NONE },
                                                   { "optional", CONFIG_CERT_OPTIONAL },
                                                   { "required", CONFIG_CERT_REQUIRED },
                                                   { 0 } };
static const struct config_word tls_versions[] = { { "1.2", 12 }, { "1.3", 13 }, { 0 } };
static const struct config_key listener_tls_keys[] = {
    { .name = "cert", .kind = KEY_PATH, FIELD(struct config_listener, tls_cert), .min = 1 },
    { .name = "key", .kind = KEY_PATH, FIELD(struct config_listener, tls_key), .min = 1 },
    { .name = "ca", .kind = KEY_PATH, FIELD(struct config_listener, tls_ca), .min = 1 },
    { .name = "crl", .kind = KEY_PATH, FIELD(struct config_listener, tls_crl), .min = 1 },
    { .name = "client_cert",
      .kind = KEY_WORD,
      FIELD(struct config_listener, client_cert),
      .words = client_certs,
      .fallback = "none" },
    { .name = "username_from_cert",
      .kind = KEY_BOOL,
      FIELD(struct config_listener, username_from_cert),
      .fallback = "false" },
    { .name = "min_version",
      .kind = KEY_WORD,
      FIELD(struct config_listener, tls_min_version),
      .words = tls_versions,
      .fallback = "1.2" },
};
static const struct config_table listener_tls_table = { KEYS(listener_tls_keys),
                                                        PLACE(struct config_listener, tls_place) };

static const struct config_word protocols[] = { { "mqtt", CONFIG_MQTT },
                                                { "mqtts", CONFIG_MQTTS },
                                                { "ws", CONFIG_WS },
                                                { "wss", CONFIG_WSS },
                                                { 0 } };
static const struct config_key listener_keys[] = {
    { .name = "name", .kind = KEY_TEXT, FIELD(struct config_listener, name), .min = 1, .max = 64 },
    { .name = "protocol",
      .kind = KEY_WORD,
      FIELD(struct config_listener, protocol),
      .words = protocols,
      .fallback = "mqtt" },
    { .name = "bind", .kind = KEY_TEXT, FIELD(struct config_listener, bind), .min = 1, .max = 64 },
    { .name = "port",
      .kind = KEY_INTEGER,
      FIELD(struct config_listener, port),
      .min = 1,
      .max = 65535 },
    { .name = "unix", .kind = KEY_PATH, FIELD(struct config_listener, unix_path), .min = 1 },
    { .name = "path",
      .kind = KEY_TEXT,
      FIELD(struct config_listener, path),
      .min = 1,
      .max = 256,
      .fallback = "/mqtt" },
    { .name = "tls", .kind = KEY_SECTION, .table = &listener_tls_table },
};
static const struct config_table listener_table = { KEYS(listener_keys),
                                                    .size = sizeof(struct config_listener),
                                                    PLACE(struct config_listener, place),
                                                    .max = 64 };

/* ---- access ---- */

static const struct config_key acl_keys[] = {
    { .name = "user", .kind = KEY_TEXT, FIELD(struct config_acl, user), .min = 1, .max = 256 },
    { .name = "anonymous",
      .kind = KEY_BOOL,
      FIELD(struct config_acl, anonymous),
      .fallback = "false" },
    { .name = "deny", .kind = KEY_TEXTS, FIELD(struct config_acl, deny) },
    { .name = "publish", .kind = KEY_TEXTS, FIELD(struct config_acl, publish) },
    { .name = "subscribe", .kind = KEY_TEXTS, FIELD(struct config_acl, subscribe) },
};
static const struct config_table acl_table = { KEYS(acl_keys), .size = sizeof(struct config_acl),
                                               PLACE(struct config_acl, place), .max = 1000 };

static const struct config_key access_keys[] = {
    { .name = "anonymous",
      .kind = KEY_BOOL,
      FIELD(struct config, access.anonymous),
      NOTE(struct config, access.anonymous_set) },
    { .name = "users_file", .kind = KEY_PATH, FIELD(struct config, access.users_file), .min = 1 },
    { .name = "acl",
      .kind = KEY_LIST,
      FIELD(struct config, access.acl),
      NOTE(struct config, access.acl_set),
      .count = offsetof(struct config, access.acl_count) + 1,
      .table = &acl_table },
};
static const struct config_table access_table = { KEYS(access_keys),
                                                  PLACE(struct config, access.place) };

/* ---- broker ---- */

#define BROKER(key_name, key_kind, low, high, standard)                                            \
    {                                                                                              \
        .name = #key_name, .kind = (key_kind), FIELD(struct config, broker.key_name),              \
        .min = (low), .max = (high), .fallback = (standard)                                        \
    }
#define BROKER_MS(key_name, low, high, standard)                                                   \
    {                                                                                              \
        .name = #key_name, .kind = KEY_DURATION, FIELD(struct config, broker.key_name##_ms),       \
        .min = (low), .max = (high), .fallback = (standard)                                        \
    }
static const struct config_key broker_keys[] = {
    BROKER(max_connections, KEY_INTEGER, 1, 1000000, "10000"),
    BROKER(max_connections_per_address, KEY_INTEGER, 1, 1000000, NULL),
    BROKER(max_unfinished_connections, KEY_INTEGER, 2, 1000000, "4000"),
    BROKER(max_packet_size, KEY_SIZE, 128, PACKET, "256KiB"),
    BROKER(max_inflight, KEY_INTEGER, 1, 65535, "32"),
    BROKER(receive_maximum, KEY_INTEGER, 1, 65535, "64"),
    BROKER(max_queued_messages, KEY_INTEGER, 1, 1000000, "1000"),
    BROKER(max_queued_bytes, KEY_SIZE, KIB, GIB, "1MiB"),
    BROKER(max_queued_bytes_total, KEY_SIZE, MIB, TIB, "256MiB"),
    BROKER(max_retained_bytes, KEY_SIZE, KIB, TIB, "64MiB"),
    BROKER(max_qos, KEY_INTEGER, 0, 2, "2"),
    BROKER(retain, KEY_BOOL, 0, 0, "true"),
    BROKER_MS(max_keep_alive, S, (int64_t)65535 * S, "18h"),
    BROKER_MS(session_expiry_max, 0, 100 * YEAR, "7d"),
    BROKER(topic_alias_max, KEY_INTEGER, 0, 65535, "32"),
    BROKER(persistence, KEY_BOOL, 0, 0, "true"),
    BROKER_MS(connect_timeout, 100, 5 * M, "10s"),
    BROKER(connect_rate, KEY_INTEGER, 1, 100000, "200"),
    BROKER_MS(sys_interval, 0, DAY, "10s"),
};
static const struct config_table broker_table = { KEYS(broker_keys) };

/* ---- rules ---- */

static const struct config_key output_batch_keys[] = {
    { .name = "max_bytes",
      .kind = KEY_SIZE,
      FIELD(struct config_output, batch_max_bytes),
      .min = 64,
      .max = MIB },
    { .name = "max_age",
      .kind = KEY_DURATION,
      FIELD(struct config_output, batch_max_age_ms),
      .min = 10,
      .max = H },
    { .name = "max_count",
      .kind = KEY_INTEGER,
      FIELD(struct config_output, batch_max_count),
      .min = 1,
      .max = 10000,
      .fallback = "500" },
};
static const struct config_table output_batch_table = { KEYS(output_batch_keys) };

/* Which of the three was given: finish.c. */
#define TARGET(key_name)                                                                           \
    {                                                                                              \
        .name = (key_name), .kind = KEY_TEXT, .flags = KEY_IS_TEMPLATE,                            \
        FIELD(struct config_output, target), PLACE(struct config_output, place),                   \
        .plain = offsetof(struct config_output, target_plain) + 1, .min = 1                        \
    }
static const struct config_key output_keys[] = {
    TARGET("cloud"),
    TARGET("local"),
    TARGET("gpio"),
    { .name = "qos", .kind = KEY_INTEGER, FIELD(struct config_output, qos), .min = 0, .max = 2 },
    { .name = "retain",
      .kind = KEY_BOOL,
      FIELD(struct config_output, retain),
      .fallback = "false" },
    { .name = "lane",
      .kind = KEY_TEXT,
      FIELD(struct config_output, lane),
      .min = 1,
      .max = 32,
      .fallback = "telemetry" },
    { .name = "ttl",
      .kind = KEY_DURATION,
      FIELD(struct config_output, ttl_ms),
      .min = S,
      .max = 10 * YEAR },
    { .name = "batch",
      .kind = KEY_SECTION,
      .flags = KEY_OR_BOOL,
      FIELD(struct config_output, batch),
      .table = &output_batch_table },
};
static const struct config_table output_table = { KEYS(output_keys),
                                                  .size = sizeof(struct config_output), .max = 32 };

static const struct config_key rule_keys[] = {
    { .name = "name", .kind = KEY_TEXT, FIELD(struct config_rule, name), .min = 1, .max = 64 },
    { .name = "sql",
      .kind = KEY_TEXT,
      FIELD(struct config_rule, sql),
      PLACE(struct config_rule, sql_place),
      .plain = offsetof(struct config_rule, sql_plain) + 1,
      .min = 1,
      .max = 64 * KIB },
    { .name = "to",
      .kind = KEY_LIST,
      FIELD(struct config_rule, to),
      .count = offsetof(struct config_rule, to_count) + 1,
      .table = &output_table },
    { .name = "on_error",
      .kind = KEY_LIST,
      FIELD(struct config_rule, on_error),
      .count = offsetof(struct config_rule, on_error_count) + 1,
      .table = &output_table },
    { .name = "enabled", .kind = KEY_BOOL, FIELD(struct config_rule, enabled), .fallback = "true" },
};
static const struct config_table rule_table = { KEYS(rule_keys), .size = sizeof(struct config_rule),
                                                PLACE(struct config_rule, place), .max = 1000 };

/* ---- store ---- */

static const struct config_word when_full[] = { { "thin", CONFIG_THIN },
                                                { "drop-oldest", CONFIG_DROP_OLDEST },
                                                { "drop-newest", CONFIG_DROP_NEWEST },
                                                { "refuse", CONFIG_REFUSE },
                                                { 0 } };
static const struct config_word syncs[] = { { "full", CONFIG_SYNC_FULL },
                                            { "normal", CONFIG_SYNC_NORMAL },
                                            { "off", CONFIG_SYNC_OFF },
                                            { 0 } };
static const struct config_key store_keys[] = {
    { .name = "max_bytes",
      .kind = KEY_SIZE,
      FIELD(struct config, store.max_bytes),
      .min = 64 * KIB,
      .max = TIB,
      .fallback = "1GiB" },
    { .name = "max_age",
      .kind = KEY_DURATION,
      FIELD(struct config, store.max_age_ms),
      .min = S,
      .max = 10 * YEAR,
      .fallback = "30d" },
    { .name = "when_full",
      .kind = KEY_WORD,
      FIELD(struct config, store.when_full),
      .words = when_full,
      .fallback = "thin" },
    { .name = "spill_after",
      .kind = KEY_DURATION,
      FIELD(struct config, store.spill_after_ms),
      .min = 0,
      .max = M,
      .fallback = "200ms" },
    { .name = "commit_interval",
      .kind = KEY_DURATION,
      FIELD(struct config, store.commit_interval_ms),
      .min = 0,
      .max = 10 * S,
      .fallback = "20ms" },
    { .name = "sync",
      .kind = KEY_WORD,
      FIELD(struct config, store.sync),
      .words = syncs,
      .fallback = "full" },
    { .name = "encryption_key",
      .kind = KEY_TEXT,
      .flags = KEY_IS_SECRET,
      FIELD(struct config, store.encryption_key),
      .min = 1 },
};
static const struct config_table store_table = { KEYS(store_keys) };

/* ---- cloud ---- */

#define CLOUD_MS(key_name, key_field, low, high, standard)                                         \
    {                                                                                              \
        .name = (key_name), .kind = KEY_DURATION, FIELD(struct config, cloud.key_field),           \
        .min = (low), .max = (high), .fallback = (standard)                                        \
    }
#define CLOUD_PATH(key_name)                                                                       \
    {                                                                                              \
        .name = #key_name, .kind = KEY_PATH, FIELD(struct config, cloud.key_name), .min = 1        \
    }

static const struct config_key reconnect_keys[] = {
    CLOUD_MS("min", reconnect_min_ms, 10, H, "1s"),
    CLOUD_MS("max", reconnect_max_ms, 10, DAY, "2m"),
};
static const struct config_table reconnect_table = { KEYS(reconnect_keys) };

static const struct config_key limits_keys[] = {
    { .name = "publishes_per_second",
      .kind = KEY_NUMBER,
      FIELD(struct config, cloud.publishes_per_second),
      .min = 0,
      .max = 1000000,
      .fallback = "90" },
    { .name = "bytes_per_second",
      .kind = KEY_SIZE,
      FIELD(struct config, cloud.bytes_per_second),
      .min = 0,
      .max = TIB,
      .fallback = "500KiB" },
    { .name = "in_flight",
      .kind = KEY_INTEGER,
      FIELD(struct config, cloud.in_flight),
      .min = 1,
      .max = 65535,
      .fallback = "90" },
    { .name = "max_payload",
      .kind = KEY_SIZE,
      FIELD(struct config, cloud.max_payload),
      .min = 1,
      .max = PACKET,
      .fallback = "128000" },
};
static const struct config_table limits_table = { KEYS(limits_keys) };

static const struct config_key cloud_batch_keys[] = {
    { .name = "max_bytes",
      .kind = KEY_SIZE,
      FIELD(struct config, cloud.batch_max_bytes),
      .min = 64,
      .max = MIB,
      .fallback = "5KiB" },
    CLOUD_MS("max_age", batch_max_age_ms, 10, H, "1s"),
};
static const struct config_table cloud_batch_table = { KEYS(cloud_batch_keys) };

static const struct config_key subscribe_keys[] = {
    { .name = "cloud",
      .kind = KEY_TEXT,
      .flags = KEY_NAMES_KEPT,
      FIELD(struct config_subscribe, cloud),
      .min = 1 },
    { .name = "local",
      .kind = KEY_TEXT,
      .flags = KEY_NAMES_KEPT,
      FIELD(struct config_subscribe, local),
      .min = 1 },
    { .name = "qos",
      .kind = KEY_INTEGER,
      FIELD(struct config_subscribe, qos),
      .min = 0,
      .max = 1,
      .fallback = "1" },
};
static const struct config_table subscribe_table = { KEYS(subscribe_keys),
                                                     .size = sizeof(struct config_subscribe),
                                                     PLACE(struct config_subscribe, place),
                                                     .max = 50 };

static const struct config_key provisioning_keys[] = {
    { .name = "template", .kind = KEY_TEXT, .min = 1, .max = 128 },
    { .name = "claim_cert", .kind = KEY_PATH, .min = 1 },
    { .name = "claim_key", .kind = KEY_PATH, .min = 1 },
    { .name = "parameters", .kind = KEY_PARAMETERS },
};
static const struct config_table provisioning_table = { KEYS(provisioning_keys) };
static const struct config_key shadow_keys[] = {
    { .name = "gateway", .kind = KEY_BOOL },
    { .name = "devices", .kind = KEY_TEXTS },
};
static const struct config_table shadow_table = { KEYS(shadow_keys) };
static const struct config_key defender_keys[] = {
    { .name = "interval", .kind = KEY_DURATION, .min = 5 * M, .max = 2 * DAY },
};
static const struct config_table defender_table = { KEYS(defender_keys) };

static const struct config_word cloud_types[] = { { "aws-iot", true }, { "mqtt", false }, { 0 } };
static const struct config_key cloud_keys[] = {
    { .name = "type",
      .kind = KEY_WORD,
      FIELD(struct config, cloud.aws),
      .words = cloud_types,
      .fallback = "aws-iot" },
    { .name = "endpoint",
      .kind = KEY_TEXT,
      FIELD(struct config, cloud.endpoint),
      .min = 1,
      .max = 253 },
    { .name = "port",
      .kind = KEY_INTEGER,
      FIELD(struct config, cloud.port),
      .min = 1,
      .max = 65535,
      .fallback = "8883" },
    { .name = "thing_name",
      .kind = KEY_TEXT,
      FIELD(struct config, cloud.thing_name),
      .min = 1,
      .max = 128 },
    { .name = "client_id",
      .kind = KEY_TEXT,
      FIELD(struct config, cloud.client_id),
      .min = 1,
      .max = 128 },
    CLOUD_PATH(ca),
    CLOUD_PATH(cert),
    CLOUD_PATH(key),
    { .name = "username",
      .kind = KEY_TEXT,
      FIELD(struct config, cloud.username),
      .min = 1,
      .max = 65535 },
    { .name = "password",
      .kind = KEY_TEXT,
      .flags = KEY_IS_SECRET,
      FIELD(struct config, cloud.password),
      .max = 65535 },
    { .name = "protocol_version",
      .kind = KEY_INTEGER,
      FIELD(struct config, cloud.protocol_version),
      .min = 4,
      .max = 5,
      .fallback = "5" },
    CLOUD_MS("keep_alive", keep_alive_ms, S, (int64_t)65535 * S, "60s"),
    CLOUD_MS("connect_timeout", connect_timeout_ms, 100, 5 * M, "10s"),
    { .name = "reconnect", .kind = KEY_SECTION, .table = &reconnect_table },
    { .name = "limits", .kind = KEY_SECTION, .table = &limits_table },
    { .name = "batch", .kind = KEY_SECTION, .table = &cloud_batch_table },
    { .name = "report_topic",
      .kind = KEY_TEXT,
      .flags = KEY_NAMES_KEPT,
      FIELD(struct config, cloud.report_topic),
      .max = 256 },
    CLOUD_MS("report_after", report_after_ms, S, 30 * DAY, "1m"),
    { .name = "subscribe",
      .kind = KEY_LIST,
      FIELD(struct config, cloud.subscribe),
      .count = offsetof(struct config, cloud.subscribe_count) + 1,
      .table = &subscribe_table },
    { .name = "provisioning", .kind = KEY_SECTION, .table = &provisioning_table },
    { .name = "shadow", .kind = KEY_SECTION, .table = &shadow_table },
    { .name = "jobs", .kind = KEY_BOOL },
    { .name = "defender", .kind = KEY_SECTION, .table = &defender_table },
};
static const struct config_table cloud_table = { KEYS(cloud_keys),
                                                 PLACE(struct config, cloud.place) };

/* ---- web, gpio ---- */

static const struct config_word web_anonymous[] = {
    { "none", CONFIG_WEB_NONE }, { "read", CONFIG_WEB_READ }, { "full", CONFIG_WEB_FULL }, { 0 }
};
static const struct config_key web_tls_keys[] = {
    { .name = "cert", .kind = KEY_PATH, FIELD(struct config, web.tls_cert), .min = 1 },
    { .name = "key", .kind = KEY_PATH, FIELD(struct config, web.tls_key), .min = 1 },
};
static const struct config_table web_tls_table = { KEYS(web_tls_keys),
                                                   PLACE(struct config, web.tls_place) };
static const struct config_key web_keys[] = {
    { .name = "bind",
      .kind = KEY_TEXT,
      FIELD(struct config, web.bind),
      .min = 1,
      .max = 64,
      .fallback = "127.0.0.1" },
    { .name = "port",
      .kind = KEY_INTEGER,
      FIELD(struct config, web.port),
      .min = 1,
      .max = 65535,
      .fallback = "8080" },
    { .name = "users_file", .kind = KEY_PATH, FIELD(struct config, web.users_file), .min = 1 },
    { .name = "anonymous",
      .kind = KEY_WORD,
      FIELD(struct config, web.anonymous),
      NOTE(struct config, web.anonymous_set),
      .words = web_anonymous },
    { .name = "tls", .kind = KEY_SECTION, .table = &web_tls_table },
};
static const struct config_table web_table = { KEYS(web_keys), PLACE(struct config, web.place) };

static const struct config_word directions[] = { { "in", false }, { "out", true }, { 0 } };
static const struct config_word biases[] = { { "as-is", CONFIG_BIAS_AS_IS },
                                             { "disabled", CONFIG_BIAS_DISABLED },
                                             { "pull-up", CONFIG_BIAS_PULL_UP },
                                             { "pull-down", CONFIG_BIAS_PULL_DOWN },
                                             { 0 } };
static const struct config_key gpio_keys[] = {
    { .name = "name", .kind = KEY_TEXT, FIELD(struct config_gpio, name), .min = 1, .max = 64 },
    { .name = "chip",
      .kind = KEY_PATH,
      FIELD(struct config_gpio, chip),
      .min = 1,
      .fallback = "/dev/gpiochip0" },
    { .name = "line",
      .kind = KEY_INTEGER,
      FIELD(struct config_gpio, line),
      .min = 0,
      .max = 65535 },
    { .name = "direction",
      .kind = KEY_WORD,
      FIELD(struct config_gpio, output),
      .words = directions,
      .fallback = "in" },
    { .name = "bias",
      .kind = KEY_WORD,
      FIELD(struct config_gpio, bias),
      .words = biases,
      .fallback = "as-is" },
    { .name = "active_low",
      .kind = KEY_BOOL,
      FIELD(struct config_gpio, active_low),
      .fallback = "false" },
    { .name = "debounce",
      .kind = KEY_DURATION,
      FIELD(struct config_gpio, debounce_ms),
      .min = 0,
      .max = M,
      .fallback = "10ms" },
    { .name = "initial",
      .kind = KEY_INTEGER,
      FIELD(struct config_gpio, initial),
      .min = 0,
      .max = 1,
      .fallback = "0" },
    { .name = "topic", .kind = KEY_TEXT, FIELD(struct config_gpio, topic), .min = 1, .max = 1024 },
};
static const struct config_table gpio_table = { KEYS(gpio_keys), .size = sizeof(struct config_gpio),
                                                PLACE(struct config_gpio, place), .max = 64 };

/* ---- the file ---- */

static const struct config_key root_keys[] = {
    { .name = "$schema", .kind = KEY_TEXT }, /* for editors */
    { .name = "gateway", .kind = KEY_SECTION, .table = &gateway_table },
    { .name = "log", .kind = KEY_SECTION, .table = &log_table },
    { .name = "listeners",
      .kind = KEY_LIST,
      FIELD(struct config, listeners),
      .count = offsetof(struct config, listener_count) + 1,
      .table = &listener_table },
    { .name = "access", .kind = KEY_SECTION, .table = &access_table },
    { .name = "broker", .kind = KEY_SECTION, .table = &broker_table },
    { .name = "rules",
      .kind = KEY_LIST,
      FIELD(struct config, rules),
      .count = offsetof(struct config, rule_count) + 1,
      .table = &rule_table },
    { .name = "store", .kind = KEY_SECTION, .table = &store_table },
    { .name = "cloud",
      .kind = KEY_SECTION,
      NOTE(struct config, cloud.present),
      .table = &cloud_table },
    { .name = "web", .kind = KEY_SECTION, NOTE(struct config, web.present), .table = &web_table },
    { .name = "gpio",
      .kind = KEY_LIST,
      FIELD(struct config, gpio),
      .count = offsetof(struct config, gpio_count) + 1,
      .table = &gpio_table },
};
const struct config_table config_root_table = { KEYS(root_keys) };
