/* gateway_gpio.c - GPIO lines on the local broker: states go out as retained messages, "TOPIC/set"
 * comes in. */
#include "gateway.h"

#include "base/log.h"

#include <stdlib.h>

static const struct config_gpio *gpio_config(struct gateway *g, const char *name)
{
    for (size_t i = 0; i < g->config->gpio_count; i++)
        if (strcmp(g->config->gpio[i].name, name) == 0)
            return &g->config->gpio[i];
    return NULL;
}

static void on_gpio_state(void *ctx, const char *name, struct sl_slice json)
{
    struct gateway *g = ctx;
    const struct config_gpio *c = gpio_config(g, name);
    if (c)
        gateway_publish(g, sl_str(c->topic), json, true);
}

static void on_gpio_fault(void *ctx, const char *name, const char *error)
{
    (void)ctx;
    if (error)
        LOG_WARN("gpio", "%s: %s", name, error);
    else
        LOG_INFO("gpio", "%s: available again", name);
}

/* A line that obeys "TOPIC/set". */
struct gpio_command_tap {
    struct gateway *gateway;
    const struct config_gpio *line;
    struct broker_tap *tap;
};

static void on_gpio_command(void *ctx, struct sl_msg *m, struct broker_receipt *receipt)
{
    const struct gpio_command_tap *t = ctx;
    struct sl_err err = { 0 };
    (void)receipt; /* a command is done at once: nothing to hold back */
    if (gpio_set(t->gateway->gpio, sl_str(t->line->name), sl_msg_payload(m), &err) != SL_OK)
        LOG_WARN("gpio", "%s", err.text);
}

static enum sl_code tap_line(struct gateway *g, struct gpio_command_tap *t, struct sl_err *err)
{
    struct sl_buf topic = { 0 };
    sl_buf_printf(&topic, "%s/set", t->line->topic);
    t->gateway = g;
    t->tap = topic.failed ? NULL : broker_tap(g->broker, sl_buf_slice(&topic), on_gpio_command, t);
    sl_buf_free(&topic);
    return t->tap ? SL_OK
                  : sl_fail(err, SL_NOMEM, "gpio: out of memory for %s/set", t->line->topic);
}

static enum sl_code tap_lines(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    g->gpio_taps = calloc(c->gpio_count, sizeof *g->gpio_taps);
    if (!g->gpio_taps)
        return sl_fail(err, SL_NOMEM, "gpio: out of memory");
    enum sl_code rc = SL_OK;
    for (size_t i = 0; rc == SL_OK && i < c->gpio_count; i++) {
        g->gpio_taps[i].line = &c->gpio[i];
        if (c->gpio[i].output)
            rc = tap_line(g, &g->gpio_taps[i], err);
    }
    return rc;
}

void gateway_untap_gpio(struct gateway *g)
{
    for (size_t i = 0; g->gpio_taps && i < g->config->gpio_count; i++)
        broker_untap(g->broker, g->gpio_taps[i].tap);
    free(g->gpio_taps);
    g->gpio_taps = NULL;
    if (g->engine)
        engine_set_gpio(g->engine, NULL);
}

enum sl_code gateway_open_gpio(struct gateway *g, struct sl_err *err)
{
    const struct config *c = g->config;
    if (c->gpio_count == 0)
        return SL_OK;
    struct gpio_line_options *lines = calloc(c->gpio_count, sizeof *lines);
    if (!lines)
        return sl_fail(err, SL_NOMEM, "gpio: out of memory");
    for (size_t i = 0; i < c->gpio_count; i++) {
        const struct config_gpio *from = &c->gpio[i];
        lines[i] = (struct gpio_line_options){
            .name = from->name,
            .chip = from->chip,
            .line = from->line,
            .output = from->output,
            .active_low = from->active_low,
            .bias = (enum gpio_bias)from->bias,
            .debounce_ms = from->debounce_ms,
            .initial = from->initial,
        };
    }
    struct gpio_callbacks callbacks = { g, on_gpio_state, on_gpio_fault };
    enum sl_code rc =
        gpio_open(&g->gpio, &g->loop, g->clock, lines, c->gpio_count, &callbacks, err);
    free(lines);
    if (rc != SL_OK)
        return rc;
    engine_set_gpio(g->engine, g->gpio);
    return tap_lines(g, err);
}
