/* test_notify.c - the service manager's datagrams, to a socket of the test's own; and the lock on
 * data_dir. */
#include "lock.h"
#include "notify.h"

#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sluice-notify-XXXXXX";

static int manager(const char *name, size_t name_len)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    memcpy(a.sun_path, name, name_len);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_len);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, len), 0);
    return fd;
}

static const char *told(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void tells_a_socket_with_a_path(void **state)
{
    (void)state;
    char path[64];
    long long us;
    (void)snprintf(path, sizeof path, "%s/notify", folder);
    int fd = manager(path, strlen(path));
    (void)setenv("NOTIFY_SOCKET", path, 1);
    notify_send("READY=1");
    assert_string_equal(told(fd), "READY=1");
    notify_reloading();
    assert_int_equal(sscanf(told(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &us), 1);
    assert_true(us > 0);
    (void)close(fd);
    (void)unlink(path);
    notify_send("READY=1"); /* nobody there: no harm */
}

static void tells_an_abstract_socket(void **state)
{
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof name, "@sluice-test-%d", (int)getpid());
    (void)setenv("NOTIFY_SOCKET", name, 1);
    name[0] = '\0';
    int fd = manager(name, 1 + strlen(name + 1));
    notify_send("STOPPING=1");
    assert_string_equal(told(fd), "STOPPING=1");
    (void)close(fd);
}

static void odd_addresses_are_left_alone(void **state)
{
    (void)state;
    char huge[300];
    memset(huge, 'x', sizeof huge);
    huge[0] = '/';
    huge[sizeof huge - 1] = '\0';
    (void)setenv("NOTIFY_SOCKET", huge, 1);
    notify_send("READY=1");
    (void)setenv("NOTIFY_SOCKET", "relative", 1);
    notify_send("READY=1");
    (void)setenv("NOTIFY_SOCKET", "", 1);
    notify_send("READY=1");
    (void)unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
}

static const struct watchdog_case {
    const char *name, *usec, *pid; /* pid "": our own */
    uint64_t want;
} watchdog_cases[] = {
    { "none", NULL, NULL, 0 },
    { "thirty seconds: every fifteen", "30000000", NULL, 15000 },
    { "for us", "30000000", "", 15000 },
    { "for another process", "30000000", "1", 0 },
    { "half a second", "500000", NULL, 250 },
    { "no number", "soon", NULL, 0 },
    { "no pid", "30000000", "me", 0 },
    { "negative", "-1", NULL, 0 },
};

static void set(const char *name, const char *value)
{
    if (value)
        (void)setenv(name, value, 1);
    else
        (void)unsetenv(name);
}

static void watchdog(void **state)
{
    const struct watchdog_case *c = *state;
    char own[16];
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    set("WATCHDOG_USEC", c->usec);
    set("WATCHDOG_PID", c->pid && !*c->pid ? own : c->pid);
    assert_int_equal(notify_watchdog_ms(), c->want);
}

static void one_gateway_a_folder(void **state)
{
    (void)state;
    struct sl_err err = { 0 };
    int alone = -1, other = -1, third = -1;
    assert_int_equal(lock_data_dir(folder, LOCK_ALONE, &alone, &err), SL_OK);
    assert_int_equal(lock_data_dir(folder, LOCK_ALONE, &other, &err), SL_BUSY);
    assert_int_equal(lock_data_dir(folder, LOCK_SHARED, &other, &err), SL_BUSY);
    assert_int_equal(other, -1);
    sl_close_fd(&alone);
    assert_int_equal(lock_data_dir(folder, LOCK_SHARED, &other, &err), SL_OK);
    assert_int_equal(lock_data_dir(folder, LOCK_SHARED, &third, &err), SL_OK);
    assert_int_equal(lock_data_dir(folder, LOCK_ALONE, &alone, &err), SL_BUSY);
    sl_close_fd(&other);
    sl_close_fd(&third);
    assert_int_equal(lock_data_dir(folder, LOCK_ALONE, &alone, &err), SL_OK);
    sl_close_fd(&alone);
    assert_int_equal(lock_data_dir("/nonexistent/x", LOCK_ALONE, &alone, &err), SL_NOTFOUND);
    assert_int_equal(lock_data_dir("/proc/version", LOCK_ALONE, &alone, &err), SL_IO);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(watchdog_cases) + 4] = {
        cmocka_unit_test(tells_a_socket_with_a_path),
        cmocka_unit_test(tells_an_abstract_socket),
        cmocka_unit_test(odd_addresses_are_left_alone),
        cmocka_unit_test(one_gateway_a_folder),
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(watchdog_cases); i++)
        tests[4 + i] = (struct CMUnitTest){ .name = watchdog_cases[i].name,
                                            .test_func = watchdog,
                                            .initial_state = (void *)&watchdog_cases[i] };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
