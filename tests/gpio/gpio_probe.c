/* gpio_probe.c - gpio.h at a prompt: prints what it tells, takes commands on standard input.
 *
 *   gpio_probe
 * NAME:CHIP:LINE:in|out[:active-low][:pull-up|:pull-down|:bias-off][:debounce=MS][:initial=1] ...
 *
 * Prints "state NAME JSON", "fault NAME TEXT", "clear NAME", "refused NAME CODE TEXT". A line on
 * standard input is "NAME PAYLOAD". At its end the gpio is closed, "closed" printed, and the exit
 * status is 0 when libuv's loop had nothing left. For tests on simulated lines and for trying real
 * ones. */
#include "gpio/gpio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINES_MAX 32

struct probe {
    uv_loop_t loop;
    uv_poll_t input;
    struct gpio *gpio;
    char typed[1024]; /* the unfinished line */
    size_t typed_len;
};

static void say(const char *what, const char *name, const char *text)
{
    printf("%s %s%s%s\n", what, name, *text ? " " : "", text);
    (void)fflush(stdout); /* a broken pipe shows when nobody is there to read */
}

static void on_state(void *ctx, const char *name, struct sl_slice json)
{
    char text[128];
    (void)ctx;
    (void)snprintf(text, sizeof text, "%.*s", SL_FMT(json)); /* states are short */
    say("state", name, text);
}

static void on_fault(void *ctx, const char *name, const char *error)
{
    (void)ctx;
    say(error ? "fault" : "clear", name, error ? error : "");
}

static void obey(struct probe *p, char *typed)
{
    struct sl_err err = { 0 };
    char *payload = strchr(typed, ' ');
    if (!payload) {
        say("refused", typed, "no payload");
        return;
    }
    *payload++ = '\0';
    if (gpio_set(p->gpio, sl_str(typed), sl_str(payload), &err) == SL_OK)
        return;
    char text[sizeof err.text + 32];
    (void)snprintf(text, sizeof text, "%s %s", sl_code_name(err.code), err.text); /* fits */
    say("refused", typed, text);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    say("closed", "gpio", "");
}

static void finish(struct probe *p)
{
    uv_close((uv_handle_t *)&p->input, NULL);
    gpio_close(p->gpio, on_closed, NULL);
}

static void take_lines(struct probe *p)
{
    char *end;
    while ((end = memchr(p->typed, '\n', p->typed_len))) {
        *end++ = '\0';
        obey(p, p->typed);
        p->typed_len -= (size_t)(end - p->typed);
        memmove(p->typed, end, p->typed_len);
    }
}

static void on_input(uv_poll_t *h, int status, int events)
{
    struct probe *p = h->data;
    (void)events; /* only readable was asked for */
    ssize_t n = read(0, p->typed + p->typed_len, sizeof p->typed - p->typed_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && status == 0)
        return;
    if (n <= 0) { /* the end, or a line longer than the buffer */
        finish(p);
        return;
    }
    p->typed_len += (size_t)n;
    take_lines(p);
}

static bool take_word(const char *word, struct gpio_line_options *o)
{
    if (strcmp(word, "active-low") == 0)
        o->active_low = true;
    else if (strcmp(word, "pull-up") == 0)
        o->bias = GPIO_BIAS_PULL_UP;
    else if (strcmp(word, "pull-down") == 0)
        o->bias = GPIO_BIAS_PULL_DOWN;
    else if (strcmp(word, "bias-off") == 0)
        o->bias = GPIO_BIAS_DISABLED;
    else if (strncmp(word, "debounce=", 9) == 0)
        o->debounce_ms = strtol(word + 9, NULL, 10);
    else if (strcmp(word, "initial=1") == 0)
        o->initial = 1;
    else
        return false;
    return true;
}

/* Cuts spec apart; o points into it. */
static bool take_spec(char *spec, struct gpio_line_options *o)
{
    char *save = NULL;
    const char *name = strtok_r(spec, ":", &save), *chip = strtok_r(NULL, ":", &save);
    const char *line = strtok_r(NULL, ":", &save), *direction = strtok_r(NULL, ":", &save);
    if (!name || !chip || !line || !direction)
        return false;
    *o = (struct gpio_line_options){ .name = name,
                                     .chip = chip,
                                     .line = (unsigned)strtoul(line, NULL, 10),
                                     .output = strcmp(direction, "out") == 0 };
    const char *word;
    while ((word = strtok_r(NULL, ":", &save)))
        if (!take_word(word, o))
            return false;
    return o->output || strcmp(direction, "in") == 0;
}

static bool start(struct probe *p, const struct gpio_line_options *lines, size_t count)
{
    struct sl_err err = { 0 };
    struct gpio_callbacks callbacks = { .ctx = p, .on_state = on_state, .on_fault = on_fault };
    if (uv_loop_init(&p->loop) < 0)
        return false;
    if (gpio_open(&p->gpio, &p->loop, &sl_clock_system, lines, count, &callbacks, &err) != SL_OK) {
        fprintf(stderr, "gpio_probe: %s\n", err.text);
        return false;
    }
    p->input.data = p;
    return uv_poll_init(&p->loop, &p->input, 0) == 0 &&
           uv_poll_start(&p->input, UV_READABLE, on_input) == 0;
}

int main(int argc, char **argv)
{
    static struct probe p; /* large enough to keep off the stack */
    struct gpio_line_options lines[LINES_MAX];
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        if (count == LINES_MAX || !take_spec(argv[i], &lines[count++])) {
            fprintf(stderr, "gpio_probe: argument %d is no line\n", i);
            return 2;
        }
    }
    if (!start(&p, lines, count))
        return 1;
    (void)uv_run(&p.loop, UV_RUN_DEFAULT); /* what is left over shows in the next call */
    return uv_loop_close(&p.loop) == 0 ? 0 : 3;
}
