/* gpio_line.h - what gpio.c and gpio_line.c share: one line, and all of them.
 *
 * A line is up (port set) or down (port NULL). It goes down on any failure and is tried again by
 * line_check(). A callback may call gpio_close(), so after one nothing is taken for granted: it
 * comes last in a function, or `closing` is looked at. */
#ifndef GPIO_GPIO_LINE_H
#define GPIO_GPIO_LINE_H

#include "gpio.h"

#include "debounce.h"
#include "drive.h"
#include "gpio_private.h"
#include "lines.h"

#define GPIO_NEWS_MAX 16 /* then the newest state replaces the one before */

struct news {
    int state;
    double blink_hz; /* outputs */
    int64_t wall_ms;
};

struct line {
    struct gpio *owner;
    char *name, *chip;
    struct port_options options;
    int64_t debounce_ms;
    struct port *port;        /* NULL while the line is down */
    uv_timer_t timer;         /* the end of a bounce, or the next change of an output */
    uv_timer_t news_timer;    /* runs while news wait */
    uv_poll_t poll;           /* inputs */
    bool polling;             /* libuv points into poll: from its init until it is closed */
    bool faulty;              /* the fault was reported, its end was not */
    struct debounce debounce; /* inputs, while up */
    struct drive drive;       /* outputs, also while down: what to return to */
    struct news news[GPIO_NEWS_MAX];
    size_t news_count;
    struct news last; /* the newest of all, told or waiting */
    uint64_t edges;
    char error[256];
};

struct gpio {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    struct gpio_callbacks callbacks;
    uv_timer_t check;
    unsigned holds; /* handles that libuv still points into */
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    size_t count;
    struct line lines[];
};

/* ---- gpio_line.c ---- */

/* Lets go of the line. The poll handle can be used again once libuv has closed it. */
void line_down(struct line *l);
/* Brings up what is down, and looks whether what is up still answers. */
void line_check(struct line *l);
/* A command for an output that is up; on failure it is down. */
SL_NODISCARD enum sl_code line_obey(struct line *l, const struct gpio_command *command,
                                    struct sl_err *err);
int line_level(const struct line *l); /* as it is reported; -1 while it is down */

/* ---- gpio.c ---- */

/* libuv points into one handle less; the last one frees g. */
void gpio_release(struct gpio *g);

#endif
