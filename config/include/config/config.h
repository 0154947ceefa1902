/* config.h - the configuration file as one plain struct, and every problem in it with its place.
 *
 * JSON with comments and trailing commas; environment variables and "@file:" values taken in.
 * Blocking file reads; no state after config_free(). Knows base/ only: rules' SQL and templates are
 * checked by whoever compiles them, which reports back through config_report() with the place of
 * the string in the file. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"

/* Where in the file something stands. line 0: not in the file (a default). */
struct config_place {
    unsigned line, column; /* 1-based; of the value (of the key for unknown and missing ones) */
};

enum config_protocol { CONFIG_MQTT, CONFIG_MQTTS, CONFIG_WS, CONFIG_WSS };
enum config_client_cert { CONFIG_CERT_NONE, CONFIG_CERT_OPTIONAL, CONFIG_CERT_REQUIRED };

struct config_listener {
    char *name;
    enum config_protocol protocol;
    char *bind, *unix_path, *path; /* bind or unix_path */
    uint16_t port;
    char *tls_cert, *tls_key, *tls_ca, *tls_crl; /* absolute */
    enum config_client_cert client_cert;
    bool username_from_cert;
    bool ipv6_only;      /* "::" beside a listener that has the port for IPv4 */
    int tls_min_version; /* 12, 13 */
    struct config_place place, tls_place;
};

struct config_acl {
    char *user; /* pattern with *; NULL for everyone */
    bool anonymous;
    char **deny, **publish, **subscribe; /* each NULL or NULL-ended */
    struct config_place place;
};

enum config_output_kind { CONFIG_TO_CLOUD, CONFIG_TO_LOCAL, CONFIG_TO_GPIO };

#define CONFIG_BATCH_COUNT 500 /* max_count of a batch that does not say */

struct config_output {
    enum config_output_kind kind;
    char *target; /* topic template, or the GPIO line's name */
    uint8_t qos;
    bool retain;
    char *lane;     /* "alert", "normal", "telemetry" */
    int64_t ttl_ms; /* 0 for none */
    bool batch;
    uint64_t batch_max_bytes, batch_max_count;
    int64_t batch_max_age_ms;
    struct config_place place; /* of target's opening quote */
    bool target_plain;         /* byte N of target stands N bytes behind that quote in the file */
};

struct config_rule {
    char *name, *sql;
    bool enabled;
    struct config_output *to, *on_error;
    size_t to_count, on_error_count;
    struct config_place place, sql_place; /* sql_place: of the string's opening quote */
    bool sql_plain; /* byte N of sql stands N bytes behind that quote in the file */
};

enum config_when_full { CONFIG_THIN, CONFIG_DROP_OLDEST, CONFIG_DROP_NEWEST, CONFIG_REFUSE };
enum config_sync { CONFIG_SYNC_FULL, CONFIG_SYNC_NORMAL, CONFIG_SYNC_OFF };

struct config_subscribe {
    char *cloud, *local;
    uint8_t qos;
    struct config_place place;
};

enum config_web_anonymous { CONFIG_WEB_NONE, CONFIG_WEB_READ, CONFIG_WEB_FULL };
enum config_bias {
    CONFIG_BIAS_AS_IS,
    CONFIG_BIAS_DISABLED,
    CONFIG_BIAS_PULL_UP,
    CONFIG_BIAS_PULL_DOWN
};

struct config_gpio {
    char *name, *chip, *topic; /* topic defaults to gpio/NAME */
    unsigned line;
    bool output, active_low;
    enum config_bias bias;
    int64_t debounce_ms;
    int initial;
    struct config_place place;
};

struct config {
    struct {
        char *id;       /* defaults to the host name */
        char *data_dir; /* absolute */
    } gateway;
    struct {
        int level;  /* enum sl_log_level */
        int format; /* enum sl_log_format */
    } log;

    struct config_listener *listeners;
    size_t listener_count;

    struct {
        bool anonymous, anonymous_set;
        char *users_file; /* absolute; NULL for none */
        struct config_acl *acl;
        size_t acl_count;
        bool acl_set; /* an "acl" key stands there: what no entry allows is refused */
        struct config_place place;
    } access;

    struct {
        uint32_t max_connections_per_address; /* defaults to max_connections */
        uint32_t max_connections, max_unfinished_connections, max_inflight, receive_maximum,
            max_queued_messages, topic_alias_max, connect_rate;
        uint64_t max_packet_size, max_queued_bytes, max_queued_bytes_total, max_retained_bytes;
        int max_qos;
        bool retain, persistence;
        int64_t max_keep_alive_ms, session_expiry_max_ms, connect_timeout_ms, sys_interval_ms;
    } broker;

    struct config_rule *rules;
    size_t rule_count;

    struct {
        uint64_t max_bytes;
        int64_t max_age_ms, spill_after_ms, commit_interval_ms;
        enum config_when_full when_full;
        enum config_sync sync;
        char *encryption_key; /* NULL for none; a secret */
    } store;

    struct {
        bool present;
        bool aws; /* type aws-iot; else mqtt */
        char *endpoint;
        uint16_t port;
        char *thing_name, *client_id; /* default: the gateway's id */
        char *ca, *cert, *key;        /* absolute paths */
        char *username, *password;    /* type mqtt */
        int protocol_version;
        int64_t keep_alive_ms, connect_timeout_ms, reconnect_min_ms, reconnect_max_ms;
        double publishes_per_second;
        uint64_t bytes_per_second;
        uint32_t in_flight, max_payload;
        uint64_t batch_max_bytes;
        int64_t batch_max_age_ms;
        char *report_topic; /* of outages; "": none are reported */
        int64_t report_after_ms;
        struct config_subscribe *subscribe;
        size_t subscribe_count;
        struct config_place place;
    } cloud;

    struct {
        bool present;
        char *bind, *users_file, *tls_cert, *tls_key;
        uint16_t port;
        enum config_web_anonymous anonymous;
        bool anonymous_set;
        struct config_place place, tls_place;
    } web;

    struct config_gpio *gpio;
    size_t gpio_count;

    char *file; /* the path as given; "built-in" for the default */
};

/* Problems found, in the file's order once sorted. Bounded at CONFIG_PROBLEMS_MAX; the last one
 * then says so. */
#define CONFIG_PROBLEMS_MAX 200
struct config_problem {
    bool warning;
    struct config_place place;
    char *path; /* JSON path, "listeners[1].tls.cert"; "" for the whole file */
    char *text;
};
struct config_problems {
    struct config_problem *list;
    size_t count, errors;
};

/* Reads, parses and validates. *ret is set whenever the file could be read and is not empty, also
 * with problems (never use a config that has errors to run). Returns SL_OK without errors,
 * SL_INVALID with, SL_NOTFOUND or SL_IO when the file cannot be read (also a problem). */
SL_NODISCARD enum sl_code config_load(const char *path, struct config **ret,
                                      struct config_problems *problems);
/* The same for text; base_dir resolves relative paths; file is the name shown. */
SL_NODISCARD enum sl_code config_parse(struct sl_slice text, const char *file, const char *base_dir,
                                       struct config **ret, struct config_problems *problems);
/* The built-in configuration: MQTT on 127.0.0.1:1883 (anonymous), page on 127.0.0.1:8080, no cloud.
 */
SL_NODISCARD enum sl_code config_builtin(struct config **ret);
void config_free(struct config *c); /* accepts NULL */

/* Whether both say the same in a section of that name ("cloud"), whatever its layout in the file. */
bool config_section_same(const char *section, const struct config *a, const struct config *b);

/* Adds a problem found by someone else. */
void config_report(struct config_problems *p, bool warning, struct config_place place,
                   const char *path, const char *fmt, ...) SL_PRINTF(5, 6);
void config_problems_sort(struct config_problems *p);
/* "FILE:LINE:COL: json.path: message" (warnings: "warning: FILE:..."), without a newline. */
void config_problem_format(const struct config_problem *p, const char *file, struct sl_buf *out);
void config_problems_free(struct config_problems *p);

#endif
