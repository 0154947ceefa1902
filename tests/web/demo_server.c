/* demo_server.c - the status page with made-up numbers, for looking at it:
 *   web_demo [PORT [CLOUD-STATE]]     (8090; "turns" takes the states in turn)
 * Runs until SIGINT or SIGTERM. */
#include "fake_view.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct demo {
    struct fake fake;
    struct web *web;
    uv_timer_t tick;
    uv_signal_t signals[2];
};

static void on_tick(uv_timer_t *timer)
{
    struct demo *d = timer->data;
    d->fake.now_ms = sl_wall_ms(&sl_clock_system);
    char payload[64];
    int n = snprintf(payload, sizeof payload, "{\"temperature\":%.1f}",
                     20 + (double)(rand() % 50) / 10);
    fake_publish(&d->fake, "site/kitchen/air", sl_bytes(payload, (size_t)n), false);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct demo *d = handle->data;
    (void)number;
    web_close(d->web, NULL, NULL);
    uv_close((uv_handle_t *)&d->tick, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&d->signals[i], NULL);
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0)
        return 1;
    struct demo d = { .fake = { .cloud_state = argc > 2 ? argv[2] : "online" } };
    if (strcmp(d.fake.cloud_state, "turns") == 0)
        d.fake.cloud_state = "";
    d.fake.now_ms = d.fake.started_ms = sl_wall_ms(&sl_clock_system);
    struct web_options options = { .loop = &loop,
                                   .bind = "127.0.0.1",
                                   .port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 8090),
                                   .anonymous = WEB_ANONYMOUS_READ,
                                   .view = fake_view(&d.fake) };
    struct sl_err err;
    if (web_open(&d.web, &options, &err) != SL_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_timer_init(&loop, &d.tick);
    d.tick.data = &d;
    (void)uv_timer_start(&d.tick, on_tick, 200, 200);
    static const int numbers[] = { SIGINT, SIGTERM };
    for (int i = 0; i < 2; i++) {
        (void)uv_signal_init(&loop, &d.signals[i]);
        d.signals[i].data = &d;
        (void)uv_signal_start(&d.signals[i], on_signal, numbers[i]);
    }
    (void)printf("http://127.0.0.1:%u/\n", web_port(d.web));
    (void)fflush(stdout);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(&loop);
    if (left != 0)
        (void)fprintf(stderr, "the loop still has handles\n");
    return left == 0 ? 0 : 1;
}
