/* test_nap.c - the pause between turns: over when its time is, or when another thread has news. A
 * pause that is not ended early takes longer than a test may. */
#include "nap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TOO_LONG_NS ((uint64_t)3600 * 1000000000u)
#define SHORT_NS    1000000u

struct fixture {
    uv_loop_t loop;
    uv_async_t async;
};

static void open_loop(struct fixture *f)
{
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(uv_async_init(&f->loop, &f->async, NULL), 0);
}

static void close_loop(struct fixture *f)
{
    uv_close((uv_handle_t *)&f->async, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void is_over_in_time(void **state)
{
    (void)state;
    struct fixture f;
    open_loop(&f);
    uint64_t began = uv_hrtime();
    nap(&f.loop, SHORT_NS);
    assert_true(uv_hrtime() - began >= SHORT_NS);
    close_loop(&f);
}

static void without_threads(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    uint64_t began = uv_hrtime();
    nap(&loop, SHORT_NS);
    assert_true(uv_hrtime() - began >= SHORT_NS);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void news_that_is_there(void **state)
{
    (void)state;
    struct fixture f;
    open_loop(&f);
    assert_int_equal(uv_async_send(&f.async), 0);
    nap(&f.loop, TOO_LONG_NS);
    close_loop(&f);
}

static void send_news(void *arg)
{
    struct fixture *f = arg;
    (void)uv_async_send(&f->async);
}

static void news_that_comes(void **state)
{
    (void)state;
    struct fixture f;
    uv_thread_t thread;
    open_loop(&f);
    assert_int_equal(uv_thread_create(&thread, send_news, &f), 0);
    nap(&f.loop, TOO_LONG_NS);
    assert_int_equal(uv_thread_join(&thread), 0);
    close_loop(&f);
}

/* What the loop has read is no news any more. */
static void old_news(void **state)
{
    (void)state;
    struct fixture f;
    open_loop(&f);
    assert_int_equal(uv_async_send(&f.async), 0);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    uint64_t began = uv_hrtime();
    nap(&f.loop, SHORT_NS);
    assert_true(uv_hrtime() - began >= SHORT_NS);
    close_loop(&f);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void sockets_gather(void **state)
{
    (void)state;
    struct fixture f;
    int fd[2];
    uv_poll_t poll;
    open_loop(&f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(uv_poll_init(&f.loop, &poll, fd[0]), 0);
    assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_readable), 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    uint64_t began = uv_hrtime();
    nap(&f.loop, SHORT_NS);
    assert_true(uv_hrtime() - began >= SHORT_NS);
    uv_close((uv_handle_t *)&poll, NULL);
    close_loop(&f);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_over_in_time),    cmocka_unit_test(without_threads),
        cmocka_unit_test(news_that_is_there), cmocka_unit_test(news_that_comes),
        cmocka_unit_test(old_news),           cmocka_unit_test(sockets_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
