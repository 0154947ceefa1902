/* fuzz_config.c - any bytes as a configuration: every problem has a place inside the text, and what
 * is called fine is complete. */
#include "config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_inside(struct config_place place, const uint8_t *data, size_t size)
{
    unsigned line = 1, column = 0;
    if (place.line == 0)
        return true;
    size_t i = 0;
    for (; i < size && line < place.line; i++)
        line += data[i] == '\n';
    for (; i < size && data[i] != '\n'; i++)
        column++;
    return line == place.line && place.column >= 1 && place.column <= column + 1;
}

/* What a running gateway takes for granted. */
static bool is_complete(const struct config *c)
{
    bool ok = c->gateway.id && c->gateway.data_dir && c->file;
    for (size_t i = 0; i < c->listener_count; i++)
        ok = ok && c->listeners[i].name && (c->listeners[i].bind || c->listeners[i].unix_path) &&
             (c->listeners[i].unix_path || c->listeners[i].port > 0);
    for (size_t i = 0; i < c->rule_count; i++) {
        const struct config_rule *r = &c->rules[i];
        ok = ok && r->name && r->sql && r->to_count > 0;
        for (size_t k = 0; k < r->to_count; k++)
            ok = ok && r->to[k].target && r->to[k].lane;
        for (size_t k = 0; k < r->on_error_count; k++)
            ok = ok && r->on_error[k].target && r->on_error[k].lane;
    }
    for (size_t i = 0; i < c->gpio_count; i++)
        ok = ok && c->gpio[i].name && c->gpio[i].chip && c->gpio[i].topic;
    if (c->cloud.present) {
        ok = ok && c->cloud.endpoint && c->cloud.client_id && c->cloud.thing_name;
        for (size_t i = 0; i < c->cloud.subscribe_count; i++)
            ok = ok && c->cloud.subscribe[i].cloud && c->cloud.subscribe[i].local;
    }
    return ok && (!c->web.present || (c->web.bind && c->web.port > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_parse(sl_bytes(data, size), "f", "/nonexistent/sluice", &c, &problems);
    if (!c || (rc == SL_OK ? problems.errors > 0 || !is_complete(c) : rc != SL_INVALID))
        abort();
    for (size_t i = 0; i < problems.count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems.list[i], "f", &line);
        if (memchr(line.ptr, '\n', line.len) || !lies_inside(problems.list[i].place, data, size))
            abort();
        sl_buf_free(&line);
    }
    config_problems_free(&problems);
    config_free(c);
    return 0;
}
