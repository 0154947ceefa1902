/* cmd_rule.c - sluice rule test: messages from a file through one rule, without a gateway. The
 * outputs depend on nothing but the input: no clock, no network. */
#include "cli.h"
#include "commands.h"
#include "rule_line.h"
#include "rules/rules.h"

#include "base/text.h"
#include "base/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char rule_usage[] =
    "Usage: sluice rule test [-c FILE] (--rule NAME | --sql SQL) [--explain] [FILE]\n"
    "\n"
    "  test   feeds messages through a rule and prints what comes out\n"
    "\n"
    "`sluice rule test --help` says more.\n";

static const char test_usage[] =
    "Usage: sluice rule test [-c FILE] (--rule NAME | --sql SQL) [--explain] [FILE]\n"
    "\n"
    "Reads messages from FILE or standard input, one JSON object a line:\n"
    "  {\"topic\":\"room/1\",\"payload\":{\"t\":21.5},\"ts\":1700000000000,\"clientid\":\"s1\"}\n"
    "and prints what the rule makes of them, one JSON object a line:\n"
    "  {\"topic\":\"means/1\",\"payload\":{\"t\":21.5},\"ts\":1700000000000}\n"
    "A payload that is a string stands for the bytes of that string. Without \"ts\" a\n"
    "message has the time of the one before it. With --sql an output keeps its\n"
    "message's topic. A bad line, and a message on which the rule fails, is reported on\n"
    "standard error and skipped; the exit status is then 1.\n"
    "\n"
    "  -c, --config FILE   the configuration that has the rule\n"
    "      --rule NAME     a rule of the configuration\n"
    "      --sql SQL       a statement\n"
    "      --explain       also print for each message whether it was kept, and why\n"
    "      --help          this text\n";

/* What messages go through, and what is said about them. */
struct test {
    struct rule_plan *plan;
    const struct config_rule *rule;   /* NULL with --sql */
    struct rule_template **templates; /* of rule->to; NULL for a GPIO output */
    struct rule_names names;
    bool explain;
    unsigned long line;
    int64_t ts_ms;
    bool failed; /* something was reported */
    struct rule_input in;
    struct rule_output out;
    struct sl_buf text, topic;
};

static void report(struct test *t, const char *text)
{
    t->failed = true;
    (void)cli_error(CLI_FAIL, "rule test", "line %lu: %s", t->line, text);
}

/* ---- outputs ---- */

static bool output_is_json(struct test *t)
{
    if (t->out.payload.ptr == t->in.payload.ptr)
        return rule_input_is_json(&t->in);
    return t->out.payload.len > 0; /* written by the rule; empty: SELECT VALUE of nothing */
}

static void put_output(struct test *t, struct sl_slice topic)
{
    rule_line_write(&t->text, topic, t->out.payload, output_is_json(t), t->ts_ms);
}

/* A GPIO output is shown as the command that its line would take on the local broker. */
static void put_rule_output(struct test *t, size_t i)
{
    struct sl_err err = { 0 };
    sl_buf_reset(&t->topic);
    if (!t->templates[i]) {
        sl_buf_printf(&t->topic, "gpio/%s/set", t->rule->to[i].target);
    } else if (rule_template_render(t->templates[i], &t->names, &t->in, &t->out, &t->topic, &err) !=
               SL_OK) {
        report(t, err.text);
        return;
    }
    put_output(t, sl_buf_slice(&t->topic));
}

static void put_outputs(struct test *t)
{
    if (!t->rule) {
        put_output(t, t->in.topic);
        return;
    }
    for (size_t i = 0; i < t->rule->to_count; i++)
        put_rule_output(t, i);
}

static void explain(struct test *t, bool kept, const char *why)
{
    if (!t->explain)
        return;
    sl_buf_printf(&t->text, "{\"line\":%lu,\"kept\":%s,\"why\":", t->line, kept ? "true" : "false");
    sl_buf_put_json(&t->text, sl_str(why));
    sl_buf_put_str(&t->text, "}\n");
}

/* ---- messages ---- */

static void evaluate(struct test *t)
{
    struct sl_err why = { 0 };
    struct sl_slice from = rule_from(t->plan);
    char text[600];
    if (!sl_topic_match(from, t->in.topic)) {
        (void)snprintf(text, sizeof text, "FROM: the topic does not fit '%.*s'",
                       (int)(from.len > 500 ? 500 : from.len), (const char *)from.ptr);
        explain(t, false, text);
        return;
    }
    switch (rule_eval(t->plan, &t->in, &t->out, &why)) {
    case RULE_KEPT:
        explain(t, true, "FROM fits and WHERE, if there is one, is true");
        put_outputs(t);
        break;
    case RULE_SKIPPED: explain(t, false, why.text); break;
    case RULE_FAILED:
        explain(t, false, why.text);
        report(t, why.text);
        break;
    }
}

static void take_line(struct test *t, struct rule_line *l, struct sl_slice line)
{
    struct sl_err err = { 0 };
    if (rule_line_parse(l, line, &err) != SL_OK) {
        report(t, err.text);
        return;
    }
    if (l->has_ts)
        t->ts_ms = l->ts_ms;
    t->in = (struct rule_input){
        .topic = l->topic,
        .payload = l->payload,
        .clientid = l->clientid,
        .ts_ms = t->ts_ms,
        .explain = t->explain,
    };
    evaluate(t);
    rule_input_release(&t->in);
}

/* One line without its newline; false at the end of the input. A line over the bound is read to its
 * end, and `line` says that it failed. */
static bool read_line(FILE *f, struct sl_buf *line)
{
    sl_buf_reset(line);
    int c = getc(f);
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n'; c = getc(f))
        if (!line->failed)
            sl_buf_put_u8(line, (uint8_t)c);
    return true;
}

static bool is_blank(struct sl_slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r')
            return false;
    return true;
}

static int flush(struct test *t)
{
    size_t n = t->text.len;
    if (t->text.failed)
        return cli_error(CLI_FAIL, "rule test", "line %lu: out of memory", t->line);
    if (n > 0 && fwrite(t->text.ptr, 1, n, stdout) != n)
        return cli_error(CLI_FAIL, "rule test", "cannot write: %s", strerror(errno));
    sl_buf_reset(&t->text);
    return CLI_GO;
}

static int feed(struct test *t, FILE *f)
{
    struct rule_line l = { 0 };
    struct sl_buf line = { .max = RULE_LINE_MAX };
    int status = CLI_GO;
    while (status == CLI_GO && read_line(f, &line)) {
        t->line++;
        if (line.failed)
            report(t, "the line is longer than 4 MiB");
        else if (!is_blank(sl_buf_slice(&line)))
            take_line(t, &l, sl_buf_slice(&line));
        status = flush(t);
    }
    if (status == CLI_GO && ferror(f))
        status = cli_error(CLI_FAIL, "rule test", "cannot read: %s", strerror(errno));
    if (status == CLI_GO && fflush(stdout) != 0)
        status = cli_error(CLI_FAIL, "rule test", "cannot write: %s", strerror(errno));
    sl_buf_free(&line);
    rule_line_release(&l);
    if (status != CLI_GO)
        return status;
    return t->failed ? CLI_FAIL : CLI_OK;
}

static int feed_file(struct test *t, const char *path)
{
    if (!path || strcmp(path, "-") == 0)
        return feed(t, stdin);
    FILE *f = fopen(path, "re");
    if (!f)
        return cli_error(CLI_FAIL, "rule test", "%s: %s", path, strerror(errno));
    int status = feed(t, f);
    (void)fclose(f); /* read only */
    return status;
}

/* ---- the rule ---- */

static int compile(struct test *t, const char *sql, const char *name)
{
    struct rule_error at;
    if (rule_compile(sl_str(sql), &t->plan, &at) == SL_OK)
        return CLI_GO;
    return cli_error(CLI_FAIL, "rule test", "%s: line %u, column %u of the statement: %s", name,
                     at.line, at.column, at.text);
}

static int compile_templates(struct test *t)
{
    const struct config_rule *r = t->rule;
    t->templates = calloc(r->to_count ? r->to_count : 1, sizeof *t->templates);
    if (!t->templates)
        return cli_error(CLI_FAIL, "rule test", "out of memory");
    for (size_t i = 0; i < r->to_count; i++) {
        struct rule_error at;
        if (r->to[i].kind == CONFIG_TO_GPIO)
            continue;
        if (rule_template_compile(sl_str(r->to[i].target), &t->templates[i], &at) != SL_OK)
            return cli_error(CLI_FAIL, "rule test", "%s: to[%zu], column %u: %s", r->name, i,
                             at.column, at.text);
    }
    return CLI_GO;
}

static void release(struct test *t)
{
    for (size_t i = 0; t->templates && i < t->rule->to_count; i++)
        rule_template_free(t->templates[i]);
    free(t->templates);
    rule_plan_free(t->plan);
    rule_output_release(&t->out);
    sl_buf_free(&t->text);
    sl_buf_free(&t->topic);
}

static const struct config_rule *find_rule(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->rule_count; i++)
        if (c->rules[i].name && strcmp(c->rules[i].name, name) == 0)
            return &c->rules[i];
    return NULL;
}

static int test_rule(struct test *t, const struct config *c, const char *name, const char *file)
{
    const char *thing = c->cloud.thing_name ? c->cloud.thing_name : c->gateway.id;
    t->names = (struct rule_names){ sl_str(c->gateway.id), sl_str(thing) };
    t->rule = find_rule(c, name);
    if (!t->rule || !t->rule->sql)
        return cli_error(CLI_FAIL, "rule test", "%s has no rule named '%s'", c->file, name);
    int status = compile(t, t->rule->sql, name);
    if (status == CLI_GO)
        status = compile_templates(t);
    return status == CLI_GO ? feed_file(t, file) : status;
}

static int run_sql(struct test *t, const char *sql, const char *file)
{
    int status = compile(t, sql, "--sql");
    if (status == CLI_GO)
        status = feed_file(t, file);
    release(t);
    return status;
}

/* A rule can be tried where the certificates that the configuration names are not: problems count
 * only when they hide the rule. */
static int run_config_rule(struct test *t, const char *path, const char *rule, const char *file)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    int status = cli_load_config_lenient("rule test", path, &c, &problems);
    if (status != CLI_GO)
        return status;
    if (problems.errors > 0 && !find_rule(c, rule))
        cli_print_problems(&problems, path);
    config_problems_free(&problems);
    status = test_rule(t, c, rule, file);
    release(t); /* before the configuration, which it points into */
    config_free(c);
    return status;
}

static int run_test(int argc, char **argv)
{
    const char *config = NULL, *rule = NULL, *sql = NULL;
    struct test t = { 0 };
    const struct cli_option options[] = { CLI_CONFIG(&config), CLI_TEXT("rule", '\0', &rule),
                                          CLI_TEXT("sql", '\0', &sql),
                                          CLI_FLAG("explain", '\0', &t.explain), CLI_END };
    const struct cli_command command = {
        .name = "rule test", .usage = test_usage, .options = options, .args_max = 1
    };
    struct cli_args args = { 0 };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    if (!rule == !sql)
        return cli_error(CLI_USAGE, "rule test", "one of --rule NAME and --sql SQL is needed");
    const char *file = args.count > 0 ? args.list[0] : NULL;
    if (sql)
        return run_sql(&t, sql, file);
    return run_config_rule(&t, cli_config_path(config), rule, file);
}

int cmd_rule(int argc, char **argv)
{
    static const struct cli_choice choices[] = { { "test", run_test }, { NULL, NULL } };
    return cli_dispatch("rule", rule_usage, choices, argc, argv);
}
