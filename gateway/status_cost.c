/* status_cost.c - what the gateway costs, for /api/v1/status: AWS's bill, by the model of `sluice
 * plan`, and what was written to the flash. */
#include "status_private.h"

#include "estimate.h"

/* Below this an hour's or day's worth says nothing yet. */
#define REPORT_AFTER_MS ((int64_t)10 * 60 * 1000)
#define DAY_MS          ((int64_t)86400 * 1000)

static double share_of(double so_far, int64_t uptime_ms, double whole_ms)
{
    return uptime_ms > 0 ? so_far * whole_ms / (double)uptime_ms : 0;
}

void status_add_cost(struct gateway *g, cJSON *root)
{
    cJSON *o = cJSON_AddObjectToObject(root, "cost");
    if (!g->bridge || !g->config->cloud.aws)
        return; /* nobody sends a bill */
    struct bridge_status s;
    bridge_get_status(g->bridge, &s);
    const struct estimate_prices prices = ESTIMATE_PRICES_STANDARD;
    double minutes = (double)(g->cloud_seconds / 60);
    double usd = (double)s.metered / 1e6 * prices.messages + minutes / 1e6 * prices.connection;
    int64_t uptime = sl_mono_ms(g->clock) - g->started.mono_ms;
    add_str(o, "currency", "USD");
    add_str(o, "region", ESTIMATE_PRICES_REGION);
    add_str(o, "prices_of", ESTIMATE_PRICES_DATE);
    add_uint(o, "metered_messages", s.metered);
    add_uint(o, "connection_minutes", g->cloud_seconds / 60);
    (void)cJSON_AddNumberToObject(o, "usd", usd);
    if (uptime >= REPORT_AFTER_MS)
        (void)cJSON_AddNumberToObject(o, "usd_month",
                                      share_of(usd, uptime, ESTIMATE_MONTH_S * 1000.0));
    else
        (void)cJSON_AddNullToObject(o, "usd_month");
}

void status_add_flash(struct gateway *g, cJSON *root)
{
    struct outbox_stats outbox;
    struct state_stats state = { 0 };
    outbox_get_stats(g->outbox, &outbox);
    if (g->state)
        state_get_stats(g->state, &state);
    uint64_t bytes = outbox.bytes_written_estimate + state.bytes_written_estimate;
    int64_t uptime = sl_mono_ms(g->clock) - g->started.mono_ms;
    cJSON *o = cJSON_AddObjectToObject(root, "flash");
    add_uint(o, "written_bytes", bytes);
    add_uint(o, "syncs", outbox.syncs_estimate + state.syncs_estimate);
    if (uptime >= REPORT_AFTER_MS)
        add_uint(o, "day_bytes", (uint64_t)share_of((double)bytes, uptime, (double)DAY_MS));
    else
        (void)cJSON_AddNullToObject(o, "day_bytes");
}
