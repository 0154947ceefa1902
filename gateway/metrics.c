/* metrics.c - the counters as Prometheus text. */
#include "gateway.h"

#include <stdio.h>

static void head(struct sl_buf *out, const char *name, const char *type, const char *help)
{
    sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct sl_buf *out, const char *name, const char *type, const char *help,
                double value)
{
    head(out, name, type, help);
    sl_buf_printf(out, "%s %.17g\n", name, value);
}

static void counter(struct sl_buf *out, const char *name, const char *help, uint64_t value)
{
    one(out, name, "counter", help, (double)value);
}

static void gauge(struct sl_buf *out, const char *name, const char *help, double value)
{
    one(out, name, "gauge", help, value);
}

/* A label's value: backslash, quote and newline escaped, as the format wants. */
static void put_label(struct sl_buf *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\\' || *at == '"')
            sl_buf_put_u8(out, '\\');
        if (*at == '\n')
            sl_buf_put_str(out, "\\n");
        else
            sl_buf_put_u8(out, (uint8_t)*at);
    }
}

static int64_t cert_end(const struct cert_watch_view *v)
{
    return v->not_after_s;
}
static int64_t crl_end(const struct cert_watch_view *v)
{
    return v->crl_until_s;
}
static int64_t reload_failed(const struct cert_watch_view *v)
{
    return v->failed;
}

static void listener_metric(struct gateway *g, struct sl_buf *out, const char *name,
                            const char *help, int64_t (*value)(const struct cert_watch_view *v))
{
    head(out, name, "gauge", help);
    for (size_t i = 0; i < listeners_count(g->listeners); i++) {
        struct listener_view v;
        listeners_get(g->listeners, i, &v);
        if (!v.secure || (value == crl_end && crl_end(&v.certs) == 0))
            continue;
        sl_buf_printf(out, "%s{listener=\"", name);
        put_label(out, v.name);
        sl_buf_printf(out, "\"} %lld\n", (long long)value(&v.certs));
    }
}

static void tls_metrics(struct gateway *g, struct sl_buf *out)
{
    struct broker_stats s;
    broker_get_stats(g->broker, &s);
    head(out, "sluice_tls_handshakes_total", "counter",
         "TLS handshakes with MQTT clients: from the start, resumed, failed.");
    sl_buf_printf(out, "sluice_tls_handshakes_total{result=\"full\"} %llu\n",
                  (unsigned long long)s.tls_full);
    sl_buf_printf(out, "sluice_tls_handshakes_total{result=\"resumed\"} %llu\n",
                  (unsigned long long)s.tls_resumed);
    sl_buf_printf(out, "sluice_tls_handshakes_total{result=\"failed\"} %llu\n",
                  (unsigned long long)s.tls_failed);
    listener_metric(g, out, "sluice_tls_certificate_expiry_timestamp_seconds",
                    "End of a listener's certificate.", cert_end);
    listener_metric(g, out, "sluice_tls_crl_expiry_timestamp_seconds",
                    "When a listener's revocation list must have been replaced.", crl_end);
    listener_metric(g, out, "sluice_tls_reload_failed",
                    "1 when a listener's changed certificate files cannot be used.", reload_failed);
}

static void broker_metrics(struct gateway *g, struct sl_buf *out)
{
    struct broker_stats s;
    broker_get_stats(g->broker, &s);
    gauge(out, "sluice_clients", "MQTT clients connected.", s.clients);
    gauge(out, "sluice_sessions", "MQTT sessions, with and without a connection.", s.sessions);
    gauge(out, "sluice_subscriptions", "Subscriptions of MQTT clients.", (double)s.subscriptions);
    gauge(out, "sluice_retained_messages", "Retained messages.", (double)s.retained);
    gauge(out, "sluice_queued_messages", "Messages waiting in MQTT sessions.", (double)s.queued);
    gauge(out, "sluice_queued_bytes", "Bytes waiting in MQTT sessions and connections.",
          (double)s.waiting_bytes);
    gauge(out, "sluice_retained_bytes", "Bytes of retained messages.", (double)s.retained_bytes);
    counter(out, "sluice_publisher_pauses_total",
            "Times that reading from a publisher was paused because it was too fast.", s.pauses);
    counter(out, "sluice_connections_total", "Connections accepted.", s.connections_total);
    head(out, "sluice_connections_refused_total", "counter",
         "Connections and CONNECTs refused, by reason.");
    for (int i = 0; i < BROKER_REFUSALS; i++)
        sl_buf_printf(out, "sluice_connections_refused_total{reason=\"%s\"} %llu\n",
                      broker_refusal_name((enum broker_refusal)i),
                      (unsigned long long)s.refused[i]);
    gauge(out, "sluice_connections_unfinished", "Connections that have not sent CONNECT yet.",
          s.unfinished);
    counter(out, "sluice_connect_rate_reached_total",
            "Times that a listener let connections wait, at broker.connect_rate.", s.rate_reached);
    counter(out, "sluice_logins_failed_total", "MQTT logins with a bad name or password.",
            g->throttle.failed);
    counter(out, "sluice_logins_delayed_total", "MQTT logins that had to wait after failures.",
            g->throttle.delayed);
    counter(out, "sluice_logins_refused_total",
            "MQTT logins refused because too many were waiting.", g->throttle.refused);
    counter(out, "sluice_messages_received_total", "PUBLISH packets received from clients.",
            s.publish_in);
    counter(out, "sluice_messages_sent_total", "PUBLISH packets sent to clients.", s.publish_out);
    counter(out, "sluice_received_bytes_total", "Bytes received from MQTT clients.", s.bytes_in);
    counter(out, "sluice_sent_bytes_total", "Bytes sent to MQTT clients.", s.bytes_out);
    head(out, "sluice_messages_dropped_total", "counter",
         "Messages not delivered to a local client, by reason.");
    for (int i = 0; i < BROKER_DROPS; i++)
        sl_buf_printf(out, "sluice_messages_dropped_total{reason=\"%s\"} %llu\n",
                      broker_drop_name((enum broker_drop)i), (unsigned long long)s.dropped[i]);
}

static void lane_metric(struct sl_buf *out, const struct outbox_stats *s, const char *name,
                        const char *type, const char *help,
                        uint64_t (*value)(const struct outbox_lane_stats *l))
{
    head(out, name, type, help);
    for (int i = 0; i < OUTBOX_LANES; i++)
        sl_buf_printf(out, "%s{lane=\"%s\"} %llu\n", name, outbox_lane_name((enum outbox_lane)i),
                      (unsigned long long)value(&s->lane[i]));
}

static uint64_t accepted(const struct outbox_lane_stats *l)
{
    return l->accepted;
}
static uint64_t delivered(const struct outbox_lane_stats *l)
{
    return l->delivered;
}
static uint64_t waiting(const struct outbox_lane_stats *l)
{
    return l->waiting;
}
static uint64_t waiting_bytes(const struct outbox_lane_stats *l)
{
    return l->waiting_bytes;
}
static uint64_t on_disk(const struct outbox_lane_stats *l)
{
    return l->on_disk;
}

static void store_metrics(struct gateway *g, struct sl_buf *out)
{
    struct outbox_stats s;
    outbox_get_stats(g->outbox, &s);
    lane_metric(out, &s, "sluice_outbox_accepted_total", "counter",
                "Messages accepted for the cloud.", accepted);
    lane_metric(out, &s, "sluice_outbox_delivered_total", "counter",
                "Messages the cloud has acknowledged.", delivered);
    lane_metric(out, &s, "sluice_outbox_waiting_messages", "gauge",
                "Messages waiting for the cloud.", waiting);
    lane_metric(out, &s, "sluice_outbox_waiting_bytes", "gauge", "Bytes waiting for the cloud.",
                waiting_bytes);
    lane_metric(out, &s, "sluice_outbox_disk_messages", "gauge", "Messages waiting on disk.",
                on_disk);
    head(out, "sluice_outbox_lost_total", "counter",
         "Messages lost, by lane and reason: the ledger.");
    for (int i = 0; i < OUTBOX_LANES; i++)
        for (int why = 0; why < OUTBOX_LOSSES; why++)
            sl_buf_printf(out, "sluice_outbox_lost_total{lane=\"%s\",reason=\"%s\"} %llu\n",
                          outbox_lane_name((enum outbox_lane)i),
                          outbox_loss_name((enum outbox_loss)why),
                          (unsigned long long)s.lane[i].loss[why].count);
    gauge(out, "sluice_outbox_dead_letters", "Messages the cloud refused for good.",
          (double)s.dead);
    counter(out, "sluice_store_commits_total", "Transactions committed.", s.commits);
    counter(out, "sluice_store_rows_written_total", "Rows written.", s.rows_written);
    counter(out, "sluice_store_written_bytes_total", "Bytes written to disk, estimated.",
            s.bytes_written_estimate);
    counter(out, "sluice_store_syncs_total", "Times that the disk was waited for, estimated.",
            s.syncs_estimate);
    gauge(out, "sluice_store_file_bytes", "Size of the database file.", (double)s.file_bytes);
    gauge(out, "sluice_store_usable", "1 while the store can write to its disk.", s.disk_ok);
    gauge(out, "sluice_store_no_room",
          "1 while the disk is full, and store.when_full makes room in what waits.", s.no_room);
    gauge(out, "sluice_store_kept_messages",
          "Messages that wait on a disk until it can be written.", (double)s.kept);
}

/* state.db: sessions and retained messages. */
static void state_metrics(struct gateway *g, struct sl_buf *out)
{
    struct state_stats s;
    struct broker_persist_stats p;
    if (!g->state)
        return;
    state_get_stats(g->state, &s);
    broker_get_persist_stats(g->broker, &p);
    gauge(out, "sluice_sessions_stored", "Sessions that outlive the process.", (double)p.sessions);
    gauge(out, "sluice_session_messages_stored", "Messages on disk for subscribers.",
          (double)p.deliveries);
    counter(out, "sluice_state_commits_total", "Transactions committed.", s.commits);
    counter(out, "sluice_state_changes_written_total", "Changes written.", s.changes_written);
    counter(out, "sluice_state_written_bytes_total", "Bytes written to disk, estimated.",
            s.bytes_written_estimate);
    counter(out, "sluice_state_syncs_total", "Times that the disk was waited for, estimated.",
            s.syncs_estimate);
    gauge(out, "sluice_state_file_bytes", "Size of the database file.", (double)s.file_bytes);
    gauge(out, "sluice_state_waiting_bytes", "Changes that are not committed yet.",
          (double)s.waiting_bytes);
    counter(out, "sluice_state_bad_rows_total", "Rows that could not be used.",
            s.bad_rows + p.bad_rows);
    counter(out, "sluice_state_resyncs_total", "Times that everything was written again.",
            s.resyncs);
    gauge(out, "sluice_state_usable", "1 while it can write to its disk.", s.disk_ok);
    counter(out, "sluice_session_messages_written_total",
            "Messages written for subscribers that were away or slow.", p.deliveries_put);
    counter(out, "sluice_publishes_not_stored_total",
            "Publishes refused because the sessions' store could not take them.", p.refused);
}

static void cloud_metrics(struct gateway *g, struct sl_buf *out)
{
    struct bridge_status s = { .state = BRIDGE_DISABLED };
    if (g->bridge)
        bridge_get_status(g->bridge, &s);
    gauge(out, "sluice_cloud_online", "1 while the cloud acknowledges.", s.state == BRIDGE_ONLINE);
    if (!g->bridge)
        return;
    counter(out, "sluice_cloud_connects_total", "Connections to the cloud that came up.",
            s.connects);
    counter(out, "sluice_cloud_connect_failures_total", "Attempts that failed.",
            s.connect_failures);
    counter(out, "sluice_cloud_published_total",
            "Outputs given to the cloud, repeats after a lost link included.", s.published);
    counter(out, "sluice_cloud_batches_total", "Publishes to the cloud that held a batch.",
            s.batches);
    counter(out, "sluice_cloud_batched_total", "Outputs that were in them.", s.batched);
    counter(out, "sluice_cloud_acknowledged_total", "Outputs that the cloud has acknowledged.",
            s.acknowledged);
    counter(out, "sluice_cloud_refused_total", "Times that the cloud refused a publish for now.",
            s.refused);
    counter(out, "sluice_cloud_received_total", "Messages from the cloud.", s.received);
    head(out, "sluice_cloud_received_dropped_total", "counter",
         "Messages from the cloud that were dropped, by reason.");
    for (int i = 0; i < BRIDGE_DROPS; i++)
        sl_buf_printf(out, "sluice_cloud_received_dropped_total{reason=\"%s\"} %llu\n",
                      bridge_drop_name((enum bridge_drop)i), (unsigned long long)s.dropped[i]);
    counter(out, "sluice_cloud_metered_messages_total",
            "Messages as AWS IoT Core meters them, in steps of 5 KiB, both ways.", s.metered);
    counter(out, "sluice_cloud_sent_bytes_total", "Bytes sent to the cloud.", s.bytes_out);
    counter(out, "sluice_cloud_received_bytes_total", "Bytes received from the cloud.", s.bytes_in);
    gauge(out, "sluice_cloud_in_flight_messages", "Publishes without acknowledgement.",
          s.in_flight);
    gauge(out, "sluice_cloud_round_trip_seconds", "From publish to acknowledgement, smoothed.",
          (double)s.round_trip_ms / 1000);
    gauge(out, "sluice_cloud_certificate_expiry_timestamp_seconds",
          "End of the device certificate.", (double)s.cert_not_after_s);
}

static void rule_metrics(struct gateway *g, struct sl_buf *out)
{
    static const struct {
        const char *name, *help;
    } kinds[] = {
        { "sluice_rule_in_total", "Messages that fit the rule's FROM." },
        { "sluice_rule_kept_total", "Messages that its WHERE kept." },
        { "sluice_rule_out_total", "Outputs made." },
        { "sluice_rule_errors_total", "Evaluations and outputs that failed." },
    };
    for (size_t k = 0; k < SL_ARRAY_LEN(kinds); k++) {
        head(out, kinds[k].name, "counter", kinds[k].help);
        for (size_t i = 0; i < engine_count(g->engine); i++) {
            struct engine_rule_view v;
            engine_get(g->engine, i, &v);
            const uint64_t values[] = { v.in, v.kept, v.out, v.errors };
            sl_buf_printf(out, "%s{rule=\"", kinds[k].name);
            put_label(out, v.name);
            sl_buf_printf(out, "\"} %llu\n", (unsigned long long)values[k]);
        }
    }
}

static void gpio_metrics(struct gateway *g, struct sl_buf *out)
{
    if (!g->gpio)
        return;
    head(out, "sluice_gpio_state", "gauge", "A line's state; -1 while it cannot be read.");
    for (size_t i = 0; i < gpio_count(g->gpio); i++) {
        struct gpio_line_status s;
        gpio_get_status(g->gpio, i, &s);
        sl_buf_put_str(out, "sluice_gpio_state{line=\"");
        put_label(out, s.name);
        sl_buf_printf(out, "\"} %d\n", s.state);
    }
}

static void web_metrics(struct gateway *g, struct sl_buf *out)
{
    struct web_stats s;
    if (!g->web)
        return;
    web_get_stats(g->web, &s);
    counter(out, "sluice_http_requests_total", "HTTP requests.", s.requests);
    counter(out, "sluice_http_errors_total", "HTTP requests answered with an error.", s.errors);
    counter(out, "sluice_http_rejected_total", "HTTP requests and connections turned away.",
            s.rejected);
    gauge(out, "sluice_http_live_clients", "WebSocket viewers.", s.live_clients);
}

void metrics_text(struct gateway *g, struct sl_buf *out)
{
    head(out, "sluice_info", "gauge", "Version.");
    sl_buf_printf(out, "sluice_info{version=\"%s\"} 1\n", SLUICE_VERSION);
    gauge(out, "sluice_uptime_seconds", "Time since the start.",
          (double)(sl_mono_ms(g->clock) - g->started.mono_ms) / 1000);
    broker_metrics(g, out);
    tls_metrics(g, out);
    store_metrics(g, out);
    state_metrics(g, out);
    cloud_metrics(g, out);
    rule_metrics(g, out);
    gpio_metrics(g, out);
    web_metrics(g, out);
}
