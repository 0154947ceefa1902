/* cmd_plan.c - sluice plan: what a load means for the store, the link, the bill and the card. Asks
 * no gateway. */
#include "cli.h"
#include "commands.h"
#include "estimate.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "Usage: sluice plan [-c FILE] [--sensors N] [--interval D] [--bytes N] [--offline D]\n"
    "                   [OPTIONS]\n"
    "\n"
    "How long the store lasts at that load, how long the backlog takes to drain, and what\n"
    "the cloud's bill and the wear of the flash come to. Bounds and limits are the\n"
    "configuration's; without one, the defaults.\n"
    "\n"
    "  -c, --config FILE      the configuration\n"
    "      --sensors N        how many publish (default 10)\n"
    "      --interval D       how often each of them (default 10s)\n"
    "      --bytes N          payload of a message to the cloud (default 120)\n"
    "      --topic-bytes N    its topic (default 32)\n"
    "      --keep F           messages to the cloud for each that comes: 0.1 when rules keep\n"
    "                         every tenth, 2 when each leads to two (default 1)\n"
    "      --offline D        how long the cloud is away (default 1d)\n"
    "      --round-trip D     from publish to acknowledgement (default 50ms)\n"
    "      --price-messages F    USD for a million metered messages (default 1.00)\n"
    "      --price-connection F  USD for a million minutes of connection (default 0.08)\n"
    "      --endurance SIZE   what the card takes before it wears out (default 10TB)\n"
    "      --json             as one JSON object\n"
    "      --help             this text\n"
    "\n"
    "The default prices are those of AWS IoT Core in " ESTIMATE_PRICES_REGION
    ", as quoted in " ESTIMATE_PRICES_DATE "\n"
    "and not checked since: see https://aws.amazon.com/iot-core/pricing/.\n";

#define YEARS_MOST ((int64_t)100 * 365 * 86400 * 1000)

struct request {
    struct estimate_input in;
    const char *config, *keep, *messages, *connection;
    bool json;
};

/* ---- what is asked ---- */

/* A plain decimal above zero (or zero), at most `most`: no hex, no infinity. */
static int take_decimal(const char *option, const char *text, bool zero, double most, double *ret)
{
    if (!text)
        return CLI_GO;
    char *end = NULL;
    bool plain = text[0] != '\0' && strspn(text, "0123456789.") == strlen(text);
    double v = plain ? strtod(text, &end) : 0;
    if (!plain || *end != '\0' || !isfinite(v))
        return cli_error(CLI_USAGE, "plan", "--%s: \"%s\" is not a number such as 0.25", option,
                         text);
    if (v > most || (v <= 0 && !(zero && v == 0)))
        return cli_error(CLI_USAGE, "plan", "--%s: \"%s\" is not %s 0 and at most %g", option, text,
                         zero ? "from" : "above", most);
    *ret = v;
    return CLI_GO;
}

static int read_decimals(struct request *r)
{
    int status = take_decimal("keep", r->keep, false, 1000, &r->in.keep);
    if (status == CLI_GO)
        status = take_decimal("price-messages", r->messages, true, 1e6, &r->in.prices.messages);
    if (status == CLI_GO)
        status =
            take_decimal("price-connection", r->connection, true, 1e6, &r->in.prices.connection);
    return status;
}

static int read_options(int argc, char **argv, struct request *r)
{
    struct cli_args args;
    struct estimate_input *in = &r->in;
    const struct cli_option options[] = {
        CLI_CONFIG(&r->config),
        CLI_NUMBER("sensors", '\0', &in->sensors, 1, 1000000),
        CLI_DURATION("interval", '\0', &in->interval_ms, 1, YEARS_MOST),
        CLI_NUMBER("bytes", '\0', &in->payload_bytes, 1, 268435455),
        CLI_NUMBER("topic-bytes", '\0', &in->topic_bytes, 1, 65535),
        CLI_TEXT("keep", '\0', &r->keep),
        CLI_DURATION("offline", '\0', &in->offline_ms, 0, YEARS_MOST),
        CLI_DURATION("round-trip", '\0', &in->round_trip_ms, 1, 600000),
        CLI_TEXT("price-messages", '\0', &r->messages),
        CLI_TEXT("price-connection", '\0', &r->connection),
        CLI_SIZE("endurance", '\0', &in->endurance_bytes, 1, 0),
        CLI_FLAG("json", '\0', &r->json),
        CLI_END,
    };
    const struct cli_command command = { .name = "plan", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    return status == CLI_GO ? read_decimals(r) : status;
}

/* What the gateway would run with; the built-in configuration where nobody named one and there is
 * none. */
static int read_config(struct request *r)
{
    const char *path = cli_config_path(r->config);
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    int status = CLI_GO;
    if (!r->config && strcmp(path, CLI_CONFIG_DEFAULT) == 0 && access(path, F_OK) != 0)
        status =
            config_builtin(&c) == SL_OK ? CLI_GO : cli_error(CLI_FAIL, "plan", "out of memory");
    else
        status = cli_load_config_lenient("plan", path, &c, &problems);
    if (problems.errors > 0) /* certificates, say, that are on another machine */
        (void)cli_error(0, "plan", "%s has errors: `sluice check` lists them", path);
    config_problems_free(&problems);
    if (status != CLI_GO)
        return status;
    struct estimate_input *in = &r->in;
    in->max_bytes = c->store.max_bytes;
    in->max_age_ms = c->store.max_age_ms;
    in->full_sync = c->store.sync == CONFIG_SYNC_FULL;
    in->publishes_per_second = c->cloud.publishes_per_second;
    in->bytes_per_second = c->cloud.bytes_per_second;
    in->in_flight = c->cloud.in_flight;
    in->batch_max_bytes = c->cloud.batch_max_bytes;
    in->batch_max_age_ms = c->cloud.batch_max_age_ms;
    in->mqtt5 = c->cloud.protocol_version == 5;
    config_free(c);
    return CLI_GO;
}

/* ---- for people ---- */

/* "3.2 years", "12 days", "4.0 hours": one unit is enough for an estimate. */
static const char *span(double s, char *buf, size_t size)
{
    static const struct {
        double s;
        const char *name;
    } units[] = { { 31556952, "years" }, { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" } };
    for (size_t i = 0; i < SL_ARRAY_LEN(units); i++) {
        if (s < 2 * units[i].s)
            continue;
        double n = s / units[i].s;
        (void)snprintf(buf, size, n < 10 ? "%.1f %s" : "%.0f %s", n, units[i].name);
        return buf;
    }
    (void)snprintf(buf, size, s < 10 ? "%.1f seconds" : "%.0f seconds", s);
    return buf;
}

static void print_store(const struct estimate_input *in, const struct estimate_output *out)
{
    char a[48], b[48];
    printf("store     holds %.0f messages of %llu bytes: %s, until %s is reached\n", out->capacity,
           (unsigned long long)out->row_bytes, span(out->lasts_s, a, sizeof a),
           estimate_bound_name(out->bound));
    printf("          after %s without the cloud %.0f wait (%s)",
           span((double)in->offline_ms / 1000, a, sizeof a), out->backlog,
           cli_size_text(out->backlog * (double)out->row_bytes, b, sizeof b));
    if (out->lost > 0)
        printf(", and %.0f have given way", out->lost);
    printf("\n");
}

static void print_drain(const char *head, const struct estimate_drain *d)
{
    char a[48];
    if (d->seconds < 0)
        printf("%s more comes than goes: %.1f messages/s (%s)\n", head, d->per_second,
               estimate_bound_name(d->bound));
    else
        printf("%s %s at %.0f messages/s (%s)\n", head, span(d->seconds, a, sizeof a),
               d->per_second, estimate_bound_name(d->bound));
}

static void print_cost(const char *head, const struct estimate_cost *c)
{
    printf("%s %.2f USD a month: %.2f million packets, metered as %.2f million\n", head,
           c->messages_usd + c->connection_usd, c->packets / 1e6, c->metered / 1e6);
}

static void print_flash(const struct estimate_input *in, const struct estimate_output *out)
{
    char a[48], b[48];
    if (out->outages < 0) {
        printf("flash     nothing is written for messages that the cloud takes at once\n");
        return;
    }
    printf("flash     %s written in such an outage, %.0f bytes a message (%.1f a commit)\n",
           cli_size_text(out->outage_bytes, a, sizeof a), out->bytes_per_message,
           out->rows_per_commit);
    printf("          a card that takes %s lasts %.0f of them; one a week, %s\n",
           cli_size_text((double)in->endurance_bytes, a, sizeof a), out->outages,
           span(out->outages * 7 * 86400, b, sizeof b));
}

static void print_text(const struct estimate_input *in, const struct estimate_output *out)
{
    char head[48];
    printf("load      %.4g messages/s to the cloud, %llu bytes each\n", out->per_second,
           (unsigned long long)in->payload_bytes);
    print_store(in, out);
    print_drain("drain    ", &out->drain);
    (void)snprintf(head, sizeof head, "  batched, %.0f in one:", out->drain_batched.batch);
    print_drain(head, &out->drain_batched);
    print_cost("cloud    ", &out->cost);
    (void)snprintf(head, sizeof head, "  batched, %.0f in one:", out->cost_batched.batch);
    print_cost(head, &out->cost_batched);
    if (out->batch_bytes_better > 0)
        printf("          (full batches cost less with cloud.batch.max_bytes %llu: each %d bytes,\n"
               "          begun or full, are metered as one message)\n",
               (unsigned long long)out->batch_bytes_better, BRIDGE_METER_BYTES);
    printf("          at %g USD a million messages of 5 KiB, %g a million minutes\n",
           in->prices.messages, in->prices.connection);
    print_flash(in, out);
}

/* ---- for programs ---- */

static void add(cJSON *o, const char *key, double v)
{
    (void)cJSON_AddNumberToObject(o, key, v); /* lack of memory shows when it is printed */
}

static void add_drain(cJSON *root, const char *key, const struct estimate_drain *d)
{
    cJSON *o = cJSON_AddObjectToObject(root, key);
    add(o, "batch", d->batch);
    add(o, "messages_per_second", d->per_second);
    (void)cJSON_AddStringToObject(o, "bound", estimate_bound_name(d->bound));
    if (d->seconds < 0)
        (void)cJSON_AddNullToObject(o, "seconds");
    else
        add(o, "seconds", d->seconds);
}

static void add_cost(cJSON *root, const char *key, const struct estimate_cost *c)
{
    cJSON *o = cJSON_AddObjectToObject(root, key);
    add(o, "batch", c->batch);
    add(o, "packets", c->packets);
    add(o, "metered", c->metered);
    add(o, "messages_usd", c->messages_usd);
    add(o, "connection_usd", c->connection_usd);
    add(o, "usd", c->messages_usd + c->connection_usd);
}

static int print_json(const struct estimate_input *in, const struct estimate_output *out)
{
    cJSON *root = cJSON_CreateObject();
    add(root, "messages_per_second", out->per_second);
    cJSON *store = cJSON_AddObjectToObject(root, "store");
    add(store, "row_bytes", (double)out->row_bytes);
    add(store, "capacity", out->capacity);
    add(store, "lasts_seconds", out->lasts_s);
    (void)cJSON_AddStringToObject(store, "bound", estimate_bound_name(out->bound));
    add(store, "backlog", out->backlog);
    add(store, "lost", out->lost);
    add_drain(root, "drain", &out->drain);
    add_drain(root, "drain_batched", &out->drain_batched);
    add_cost(root, "month", &out->cost);
    add_cost(root, "month_batched", &out->cost_batched);
    add(root, "batch_bytes_better", (double)out->batch_bytes_better);
    cJSON *prices = cJSON_AddObjectToObject(root, "prices");
    add(prices, "messages_per_million_usd", in->prices.messages);
    add(prices, "minutes_per_million_usd", in->prices.connection);
    cJSON *flash = cJSON_AddObjectToObject(root, "flash");
    add(flash, "rows_per_commit", out->rows_per_commit);
    add(flash, "bytes_per_message", out->bytes_per_message);
    add(flash, "outage_bytes", out->outage_bytes);
    if (out->outages < 0)
        (void)cJSON_AddNullToObject(flash, "outages");
    else
        add(flash, "outages", out->outages);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text)
        return cli_error(CLI_FAIL, "plan", "out of memory");
    (void)puts(text); /* checked once at the end */
    cJSON_free(text);
    return CLI_OK;
}

int cmd_plan(int argc, char **argv)
{
    struct request r = { .in = { .sensors = 10,
                                 .interval_ms = 10000,
                                 .payload_bytes = 120,
                                 .topic_bytes = 32,
                                 .keep = 1,
                                 .offline_ms = 86400000,
                                 .round_trip_ms = 50,
                                 .prices = ESTIMATE_PRICES_STANDARD,
                                 .endurance_bytes = UINT64_C(10000000000000) } };
    struct estimate_output out;
    int status = read_options(argc, argv, &r);
    if (status == CLI_GO)
        status = read_config(&r);
    if (status != CLI_GO)
        return status;
    estimate_make(&r.in, &out);
    status = CLI_OK;
    if (r.json)
        status = print_json(&r.in, &out);
    else
        print_text(&r.in, &out);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAIL, "plan", "standard output could not be written");
    return status;
}
