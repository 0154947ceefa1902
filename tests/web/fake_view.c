/* fake_view.c - see fake_view.h. */
#include "fake_view.h"

#include "base/text.h"
#include "base/topic.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define SECONDS(f)   ((double)((f)->now_ms - (f)->started_ms) / 1000.0)
#define HISTORY_DAYS 600

static double wave(double t, double period, double low, double high)
{
    return low + (high - low) * (0.5 + 0.5 * sin(t * 6.2831853 / period));
}

static double rate_in(double t)
{
    return wave(t, 97, 38, 64) + wave(t, 11, 0, 9) + wave(t, 3.1, 0, 4);
}

static const char *cloud_state(const struct fake *f)
{
    static const char *const turns[] = { "online", "online", "stalled", "offline", "connecting" };
    if (f->cloud_state[0])
        return f->cloud_state;
    return turns[(uint64_t)(SECONDS(f) / 20) % 5];
}

static bool is_online(const struct fake *f)
{
    return strcmp(cloud_state(f), "online") == 0;
}

static double rate_cloud(const struct fake *f, double t)
{
    return is_online(f) ? wave(t, 53, 2.4, 5.2) + wave(t, 7, 0, 1) : 0;
}

static void put_cloud(const struct fake *f, struct sl_buf *out)
{
    static const struct {
        const char *state, *cause, *error;
    } kinds[] = {
        { "online", "", "" },
        { "stalled", "no acknowledgement for 31 s",
          "the cloud stopped acknowledging; the network path is probably down behind the router" },
        { "offline", "connection refused by policy",
          "the server closed the connection right after CONNECT: with AWS this means that the "
          "certificate is not active or its policy does not allow iot:Connect for client id "
          "barn-01" },
        { "connecting", "TLS handshake", "" },
        { "disabled", "there is no cloud section in the configuration", "" },
    };
    const char *state = cloud_state(f), *cause = "", *error = "";
    for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].state, state) == 0) {
            cause = kinds[i].cause;
            error = kinds[i].error;
        }
    sl_buf_printf(
        out,
        "\"cloud\":{\"state\":\"%s\",\"since\":%" PRId64 ",\"cause\":\"%s\",\"error\":\"%s\","
        "\"endpoint\":\"a1b2c3d4e5-ats.iot.eu-central-1.amazonaws.com:8883\","
        "\"protocol_version\":5,\"in_flight\":%d,\"round_trip_ms\":%d,\"published\":%.0f,"
        "\"acknowledged\":%.0f,\"received\":42,\"next_attempt_ms\":%" PRId64
        ",\"cert_not_after\":1893456000000},",
        state, f->started_ms - 8040000, cause, error, is_online(f) ? 3 : 0,
        is_online(f) ? (int)wave(SECONDS(f), 13, 31, 62) : 0, 81234 + 3.8 * SECONDS(f),
        81231 + 3.8 * SECONDS(f), strcmp(state, "offline") == 0 ? f->now_ms + 14000 : (int64_t)0);
}

static void put_lane(struct sl_buf *out, const char *name, double accepted, double waiting,
                     double lost, int64_t oldest_ms, const char *losses)
{
    sl_buf_printf(
        out,
        "{\"name\":\"%s\",\"accepted\":%.0f,\"delivered\":%.0f,\"waiting\":%.0f,\"lost\":%.0f,"
        "\"waiting_bytes\":%.0f,\"on_disk\":%.0f,\"oldest_ms\":%" PRId64 ",\"losses\":[%s]}",
        name, accepted, accepted - waiting - lost, waiting, lost, waiting * 182,
        waiting > 40 ? waiting - 12 : 0, waiting > 0 ? oldest_ms : (int64_t)0, losses);
}

static double waiting_at(const struct fake *f, double t)
{
    return is_online(f) ? wave(t, 17, 0, 14) : 900 + 4 * fmod(t, 60);
}

static void put_store(const struct fake *f, struct sl_buf *out)
{
    double t = SECONDS(f), waiting = floor(waiting_at(f, t));
    char losses[300];
    (void)snprintf(
        losses, sizeof losses,
        "{\"reason\":\"thinned\",\"count\":1280,\"first_ms\":%" PRId64 ",\"last_ms\":%" PRId64
        "},{\"reason\":\"age\",\"count\":44,\"first_ms\":%" PRId64 ",\"last_ms\":%" PRId64 "}",
        f->started_ms - 86400000, f->started_ms - 79000000, f->started_ms - 85000000,
        f->started_ms - 79000000);
    sl_buf_printf(
        out,
        "\"store\":{\"messages\":%.0f,\"bytes\":%.0f,\"max_bytes\":1073741824,\"oldest_ms\":"
        "%" PRId64
        ",\"dropped\":44,\"thinned\":1280,\"dead\":2,\"disk_ok\":true,\"disk_error\":\"\","
        "\"set_aside\":\"\",\"file_bytes\":2138112,\"lanes\":[",
        waiting, waiting * 182, waiting > 0 ? f->now_ms - 42000 : (int64_t)0);
    put_lane(out, "alert", 318, 0, 0, 0, "");
    sl_buf_put_str(out, ",");
    put_lane(out, "normal", 5021, waiting > 10 ? 3 : 0, 0, f->now_ms - 1200, "");
    sl_buf_put_str(out, ",");
    put_lane(out, "telemetry", 78412 + 3.8 * t, waiting > 3 ? waiting - 3 : waiting, 1324,
             f->now_ms - (is_online(f) ? 900 : 250000), losses);
    sl_buf_put_str(out, "]},");
}

static void put_broker(const struct fake *f, struct sl_buf *out)
{
    double t = SECONDS(f);
    sl_buf_printf(
        out,
        "\"broker\":{\"clients\":23,\"clients_total\":1482,\"subscriptions\":57,\"retained\":118,"
        "\"messages_in\":%.0f,\"messages_out\":%.0f,\"bytes_in\":%.0f,\"bytes_out\":%.0f,"
        "\"dropped\":0,\"listeners\":["
        "{\"name\":\"lan\",\"protocol\":\"mqtt\",\"address\":\"0.0.0.0:1883\"},"
        "{\"name\":\"tls\",\"protocol\":\"mqtts\",\"address\":\"0.0.0.0:8883\"},"
        "{\"name\":\"web\",\"protocol\":\"ws\",\"address\":\"0.0.0.0:8083/mqtt\"},"
        "{\"name\":\"local\",\"protocol\":\"mqtt\",\"address\":\"/run/sluice/mqtt.sock\"}]},",
        2412004 + 55 * t, 612004 + 14 * t, 282412004 + 6300 * t, 82412004 + 1600 * t);
}

static void put_rules(const struct fake *f, struct sl_buf *out)
{
    double t = SECONDS(f);
    sl_buf_printf(
        out,
        "\"rules\":["
        "{\"name\":\"five-minute-means\",\"enabled\":true,\"sql\":\"SELECT topic(2) AS room, "
        "avg(temperature) AS t, max(co2) AS co2, count(*) AS n FROM 'site/+/air' GROUP BY "
        "topic(2), "
        "TumblingWindow(mi, "
        "5)\",\"in\":%.0f,\"kept\":%.0f,\"out\":%.0f,\"errors\":0,\"last_error\":\"\"},"
        "{\"name\":\"hot\",\"enabled\":true,\"sql\":\"SELECT temperature, topic(2) AS room FROM "
        "'site/+/air' WHERE temperature > 30\",\"in\":%.0f,\"kept\":318,\"out\":318,\"errors\":0,"
        "\"last_error\":\"\"},"
        "{\"name\":\"soil-changes\",\"enabled\":true,\"sql\":\"SELECT * FROM 'soil/+/moisture' "
        "WHERE "
        "had_changed(true, value)\",\"in\":%.0f,\"kept\":5021,\"out\":5021,\"errors\":17,"
        "\"last_error\":\"payload is not JSON: unexpected 'n' at 1\"},"
        "{\"name\":\"night-doors\",\"enabled\":false,\"sql\":\"SELECT * FROM "
        "'gpio/door'\",\"in\":0,"
        "\"kept\":0,\"out\":0,\"errors\":0,\"last_error\":\"\"}],",
        2100000 + 48 * t, 2100000 + 48 * t, 70000 + 3 * t, 2100000 + 48 * t, 210000 + 5 * t);
}

static void put_sensors(const struct fake *f, struct sl_buf *out)
{
    static const struct {
        const char *topic;
        double period, low, high;
        int64_t age_ms;
    } list[] = {
        { "site/kitchen/air", 120, 20.5, 23.4, 300 },
        { "site/loft/air", 151, 24.1, 31.9, 900 },
        { "site/office/air", 77, 21.0, 22.8, 1200 },
        { "soil/bed-1/moisture", 220, 31, 38, 4000 },
        { "soil/bed-2/moisture", 260, 22, 27, 7000 },
        { "water/tank/level", 310, 61, 64, 21000 },
        { "power/inverter/watts", 23, 840, 1620, 500 },
        { "gpio/door", 900, 0, 0, 1860000 },
        { "weather/roof/wind", 9, 1.2, 7.4, 250 },
    };
    const char *comma = "";
    sl_buf_put_str(out, "\"sensors\":[");
    for (size_t i = 0; i < SL_ARRAY_LEN(list); i++) {
        double v = wave(SECONDS(f), list[i].period, list[i].low, list[i].high);
        char value[100];
        if (strstr(list[i].topic, "air"))
            (void)snprintf(value, sizeof value,
                           "{\"temperature\":%.1f,\"humidity\":%.0f,\"co2\":%.0f}", v, v * 2,
                           v * 26);
        else if (strcmp(list[i].topic, "gpio/door") == 0)
            (void)snprintf(value, sizeof value, "{\"state\":0,\"ts\":1764000000000}");
        else
            (void)snprintf(value, sizeof value, "%.1f", v);
        sl_buf_printf(out, "%s{\"topic\":\"%s\",\"value\":", comma, list[i].topic);
        sl_buf_put_json(out, sl_str(value));
        sl_buf_printf(out, ",\"ts\":%" PRId64 ",\"count\":%zu}", f->now_ms - list[i].age_ms,
                      (size_t)SECONDS(f) * (9 - i) + 100);
        comma = ",";
    }
    sl_buf_put_str(out, "],");
}

static void put_events(const struct fake *f, struct sl_buf *out)
{
    static const struct {
        const char *level, *unit, *text;
        int64_t age_ms;
    } list[] = {
        { "info", "bridge", "online again after 4 min 12 s; 1,024 messages to send", 61000 },
        { "warn", "bridge", "no acknowledgement for 31 s: the link is stalled", 380000 },
        { "error", "rules", "soil-changes: payload is not JSON: unexpected 'n' at 1", 1500000 },
        { "info", "broker", "client esp-loft-2 took over the session of an older connection",
          3900000 },
        { "warn", "store", "telemetry lane thinned: 1,280 of 2,560 readings kept apart", 79000000 },
        { "info", "gateway", "started, 4 listeners, 4 rules", 86400000 },
    };
    const char *comma = "";
    sl_buf_put_str(out, "\"events\":[");
    for (size_t i = 0; i < SL_ARRAY_LEN(list); i++) {
        sl_buf_printf(
            out, "%s{\"number\":%zu,\"ts\":%" PRId64 ",\"level\":\"%s\",\"unit\":\"%s\",\"text\":",
            comma, SL_ARRAY_LEN(list) - i, f->started_ms - list[i].age_ms, list[i].level,
            list[i].unit);
        sl_buf_put_json(out, sl_str(list[i].text));
        sl_buf_put_str(out, "}");
        comma = ",";
    }
    sl_buf_put_str(out, "]");
}

static void status(void *ctx, struct sl_buf *out)
{
    const struct fake *f = ctx;
    sl_buf_printf(out,
                  "{\"gateway\":{\"id\":\"barn-01\",\"version\":\"0.1.0\",\"uptime_ms\":%" PRId64
                  ",\"started_ms\":%" PRId64 ",\"now_ms\":%" PRId64
                  ",\"rss_bytes\":14680064,\"pid\":4711},",
                  f->now_ms - f->started_ms + 86400000, f->started_ms - 86400000, f->now_ms);
    put_cloud(f, out);
    put_store(f, out);
    put_broker(f, out);
    put_rules(f, out);
    sl_buf_put_str(out, "\"clients\":23,");
    put_sensors(f, out);
    sl_buf_printf(
        out,
        "\"gpio\":[{\"name\":\"door\",\"direction\":\"in\",\"state\":0,\"blink\":0,\"ok\":true,"
        "\"error\":\"\"},{\"name\":\"led\",\"direction\":\"out\",\"state\":%d,\"blink\":2.5,"
        "\"ok\":true,\"error\":\"\"},{\"name\":\"pump\",\"direction\":\"out\",\"state\":0,"
        "\"blink\":0,\"ok\":false,\"error\":\"line 22 is held by another program\"}],",
        (int)SECONDS(f) % 2);
    sl_buf_printf(out,
                  "\"rates\":{\"in_per_s\":%.2f,\"out_per_s\":%.2f,\"cloud_per_s\":%.2f},\"cost\":{"
                  "},\"flash\":{},",
                  rate_in(SECONDS(f)), rate_in(SECONDS(f)) / 4, rate_cloud(f, SECONDS(f)));
    put_events(f, out);
    if (f->padding > 0) {
        sl_buf_put_str(out, ",\"padding\":\"");
        for (size_t i = 0; i < f->padding; i++)
            sl_buf_put_u8(out, 'x');
        sl_buf_put_str(out, "\"");
    }
    sl_buf_put_str(out, "}");
}

static void metrics(void *ctx, struct sl_buf *out)
{
    (void)ctx;
    sl_buf_put_str(out, "# TYPE sluice_messages_received_total counter\n"
                        "sluice_messages_received_total 5\n");
}

static bool list(void *ctx, const char *name, struct sl_slice after, unsigned limit,
                 struct sl_buf *out)
{
    (void)ctx;
    if (strcmp(name, "queue") == 0)
        return false;
    sl_buf_printf(out, "[{\"list\":\"%s\",\"limit\":%u,\"after\":", name, limit);
    sl_buf_put_json(out, after);
    sl_buf_put_str(out, "}]");
    return true;
}

static bool history(void *ctx, struct sl_slice series, int64_t since_ms, struct sl_buf *out)
{
    const struct fake *f = ctx;
    bool in = sl_slice_eq(series, sl_str("in")), cloud = sl_slice_eq(series, sl_str("cloud"));
    if (!in && !cloud && !sl_slice_eq(series, sl_str("waiting")))
        return false;
    sl_buf_printf(out, "{\"series\":\"%.*s\",\"points\":[", SL_FMT(series));
    const char *comma = "";
    for (int i = HISTORY_DAYS; i > 0; i--) {
        int64_t at = f->now_ms - (int64_t)i * 1000;
        double t = SECONDS(f) - i;
        double v = in      ? rate_in(t)
                   : cloud ? wave(t, 53, 2.4, 5.2) + wave(t, 7, 0, 1)
                           : wave(t, 17, 0, 14);
        if (i > 150 && i < 320 && !in) /* an outage, for the picture */
            v = cloud ? 0 : (320 - i) * 4.0;
        else if (i > 110 && i <= 150 && !in)
            v = cloud ? 21 : (i - 110) * 17.0;
        if (at >= since_ms) {
            sl_buf_printf(out, "%s[%" PRId64 ",%.2f]", comma, at, v);
            comma = ",";
        }
    }
    sl_buf_put_str(out, "]}");
    return true;
}

static bool healthy(void *ctx, struct sl_buf *reasons)
{
    const struct fake *f = ctx;
    if (f->unhealthy)
        sl_buf_put_str(reasons, "[\"the disk does not answer\"]");
    else
        sl_buf_put_str(reasons, f->alarm ? "[\"the disk is full\"]" : "[]");
    return !f->unhealthy;
}

static bool ready(void *ctx, struct sl_buf *reasons)
{
    const struct fake *f = ctx;
    if (f->unready)
        sl_buf_put_str(reasons, "[\"no listener is open\"]");
    return !f->unready;
}

static bool login(void *ctx, struct sl_slice user, struct sl_slice password)
{
    struct fake *f = ctx;
    f->logins++;
    return sl_slice_eq(user, sl_str("ada")) && sl_slice_eq(password, sl_str("love:lace"));
}

bool fake_login_later(void *ctx, struct sl_slice user, struct sl_slice password,
                      struct sl_slice address, web_login_fn *fn, void *fn_ctx)
{
    struct fake *f = ctx;
    (void)address;
    for (size_t i = 0; i < sizeof f->asks / sizeof *f->asks; i++) {
        if (f->asks[i].fn)
            continue;
        bool right = login(ctx, user, password);
        f->asks[i] = (struct fake_ask){ fn, fn_ctx,
                                        f->busy ? WEB_LOGIN_BUSY
                                        : right ? WEB_LOGIN_RIGHT
                                                : WEB_LOGIN_WRONG };
        return true;
    }
    return false;
}

void fake_answer(struct fake *f)
{
    for (size_t i = 0; i < sizeof f->asks / sizeof *f->asks; i++) {
        struct fake_ask ask = f->asks[i];
        f->asks[i].fn = NULL;
        if (ask.fn)
            ask.fn(ask.ctx, ask.result);
    }
}

static void *watch(void *ctx, struct sl_slice user, struct sl_slice filter, web_tap_fn *fn,
                   void *fn_ctx)
{
    struct fake *f = ctx;
    if (sl_slice_eq(filter, sl_str("private/#")))
        return NULL;
    for (size_t i = 0; i < FAKE_WATCHES; i++) {
        struct fake_watch *w = &f->watches[i];
        if (w->used)
            continue;
        *w = (struct fake_watch){ .fn = fn, .fn_ctx = fn_ctx, .used = true };
        (void)snprintf(w->filter, sizeof w->filter, "%.*s", SL_FMT(filter));
        (void)snprintf(w->user, sizeof w->user, "%.*s", SL_FMT(user));
        f->watches_made++;
        return w;
    }
    return NULL;
}

static void unwatch(void *ctx, void *handle)
{
    struct fake *f = ctx;
    ((struct fake_watch *)handle)->used = false;
    f->watches_ended++;
}

struct web_view fake_view(struct fake *f)
{
    return (struct web_view){ .ctx = f,
                              .status = status,
                              .metrics = metrics,
                              .list = list,
                              .history = history,
                              .healthy = healthy,
                              .ready = ready,
                              .login = login,
                              .watch = watch,
                              .unwatch = unwatch };
}

void fake_publish(struct fake *f, const char *topic, struct sl_slice payload, bool retain)
{
    for (size_t i = 0; i < FAKE_WATCHES; i++)
        if (f->watches[i].used && sl_topic_match(sl_str(f->watches[i].filter), sl_str(topic)))
            f->watches[i].fn(f->watches[i].fn_ctx, sl_str(topic), payload, f->now_ms, retain);
}

unsigned fake_watching(const struct fake *f)
{
    unsigned n = 0;
    for (size_t i = 0; i < FAKE_WATCHES; i++)
        n += f->watches[i].used;
    return n;
}
