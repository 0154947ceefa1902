/* cmd_status.c - sluice status: the running gateway's state in the terminal. */
#include "cli.h"
#include "commands.h"
#include "control.h"
#include "data_dir.h"

#include "base/buf.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "Usage: sluice status [-c FILE] [--watch] [--json]\n"
                            "\n"
                            "Prints the running gateway's state.\n"
                            "\n"
                            "  -c, --config FILE   the configuration\n"
                            "      --watch         again every second, until interrupted\n"
                            "      --json          as JSON, the same object as /api/v1/status\n"
                            "      --help          this text\n";

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* Much of it comes from peers, by way of error texts: nothing that a terminal would obey is left in
 * it. */
static const char *string(const cJSON *o, const char *key)
{
    char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    for (char *at = v; at && *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return v ? v : "";
}

/* "3 d 4 h", "5 min", "12 s": the two largest units. */
static const char *span(double ms, char *buf, size_t size)
{
    long long s = (long long)(ms / 1000);
    if (s >= 86400)
        (void)snprintf(buf, size, "%lld d %lld h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        (void)snprintf(buf, size, "%lld h %lld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        (void)snprintf(buf, size, "%lld min %lld s", s / 60, s % 60);
    else
        (void)snprintf(buf, size, "%lld s", s < 0 ? 0 : s);
    return buf;
}

static void print_cloud(const cJSON *cloud, double now)
{
    char since[64];
    printf("cloud     %s since %s", string(cloud, "state"),
           span(now - number(cloud, "since"), since, sizeof since));
    if (string(cloud, "endpoint")[0])
        printf("   %s", string(cloud, "endpoint"));
    printf("\n");
    if (string(cloud, "error")[0])
        printf("          %s\n", string(cloud, "error"));
}

static void print_store(const cJSON *store, double now)
{
    char bytes[32], max[32], age[64];
    printf("waiting   %.0f messages, %s of %s", number(store, "messages"),
           cli_size_text(number(store, "bytes"), bytes, sizeof bytes),
           cli_size_text(number(store, "max_bytes"), max, sizeof max));
    if (number(store, "oldest_ms") > 0)
        printf(", oldest %s", span(now - number(store, "oldest_ms"), age, sizeof age));
    printf("\n");
    if (number(store, "kept") > 0)
        printf("  and %.0f on the disk, until it can be written\n", number(store, "kept"));
    const cJSON *lane;
    cJSON_ArrayForEach(lane, cJSON_GetObjectItemCaseSensitive(store, "lanes"))
    {
        printf("  %-10s accepted %-10.0f delivered %-10.0f waiting %-8.0f lost %.0f\n",
               string(lane, "name"), number(lane, "accepted"), number(lane, "delivered"),
               number(lane, "waiting"), number(lane, "lost"));
    }
    if (string(store, "disk_error")[0])
        printf("  disk: %s\n", string(store, "disk_error"));
}

static void print_rules(const cJSON *rules)
{
    const cJSON *rule;
    if (cJSON_GetArraySize(rules) > 0)
        printf("%-24s %10s %10s %10s %8s\n", "rule", "in", "kept", "out", "errors");
    cJSON_ArrayForEach(rule, rules)
    {
        bool on = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(rule, "enabled"));
        printf("%-24s %10.0f %10.0f %10.0f %8.0f%s\n", string(rule, "name"), number(rule, "in"),
               number(rule, "kept"), number(rule, "out"), number(rule, "errors"),
               on ? "" : "  (off)");
    }
}

static void print_text(const cJSON *root)
{
    char uptime[64], rss[32];
    const cJSON *g = cJSON_GetObjectItemCaseSensitive(root, "gateway");
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(root, "broker");
    const cJSON *r = cJSON_GetObjectItemCaseSensitive(root, "rates");
    double now = number(g, "now_ms");
    printf("gateway   %s, sluice %s, up %s, %s resident\n", string(g, "id"), string(g, "version"),
           span(number(g, "uptime_ms"), uptime, sizeof uptime),
           cli_size_text(number(g, "rss_bytes"), rss, sizeof rss));
    print_cloud(cJSON_GetObjectItemCaseSensitive(root, "cloud"), now);
    printf("clients   %.0f connected, %.0f subscriptions\n", number(b, "clients"),
           number(b, "subscriptions"));
    printf("messages  %.0f in (%.1f/s), %.0f out, to the cloud %.1f/s\n", number(b, "messages_in"),
           number(r, "in_per_s"), number(b, "messages_out"), number(r, "cloud_per_s"));
    print_store(cJSON_GetObjectItemCaseSensitive(root, "store"), now);
    print_rules(cJSON_GetObjectItemCaseSensitive(root, "rules"));
}

struct output {
    bool json, clear, bad;
};

static void on_answer(void *ctx, const char *text)
{
    struct output *o = ctx;
    if (o->json) {
        printf("%s\n", text);
        return;
    }
    cJSON *root = cJSON_Parse(text);
    if (!root) {
        o->bad = true;
        return;
    }
    if (o->clear)
        printf("\033[H\033[J");
    print_text(root);
    cJSON_Delete(root);
}

static int show(const char *data_dir, struct output *o, bool watch)
{
    struct sl_err err = { 0 };
    for (;;) {
        enum sl_code rc = control_ask(data_dir, "{\"cmd\":\"status\"}", CONTROL_ANSWER_SECONDS,
                                      on_answer, o, &err);
        if (rc != SL_OK)
            return cli_error(CLI_FAIL, "status", "%s", err.text);
        if (o->bad)
            return cli_error(CLI_FAIL, "status", "the gateway's answer is not JSON");
        if (fflush(stdout) != 0)
            return cli_error(CLI_FAIL, "status", "standard output could not be written");
        if (!watch)
            return CLI_OK;
        const struct timespec second = { .tv_sec = 1 };
        (void)nanosleep(&second, NULL); /* cut short by a signal: shown a little early */
    }
}

int cmd_status(int argc, char **argv)
{
    const char *given = NULL;
    bool watch = false;
    struct output o = { 0 };
    struct cli_args args;
    char *data_dir = NULL;
    const struct cli_option options[] = { CLI_CONFIG(&given), CLI_FLAG("watch", '\0', &watch),
                                          CLI_FLAG("json", '\0', &o.json), CLI_END };
    const struct cli_command command = { .name = "status", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    status = data_dir_find("status", given, &data_dir);
    if (status != CLI_GO)
        return status;
    o.clear = watch && !o.json && isatty(STDOUT_FILENO);
    status = show(data_dir, &o, watch);
    free(data_dir);
    return status;
}
