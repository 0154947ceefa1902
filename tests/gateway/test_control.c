/* test_control.c - the control socket, from the outside: what is answered, what is refused, and who
 * goes away when. */
#include "gateway_rig.h"
#include "lock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "rows.h"

struct asker {
    struct gateway_rig *r;
    int fd;
    struct sl_buf answer;
    bool ended;
};

static void asker_open(struct asker *a, struct gateway_rig *r)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    *a = (struct asker){ .r = r };
    assert_int_equal(control_path(r->folder, address.sun_path, sizeof address.sun_path, NULL),
                     SL_OK);
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(a->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static void asker_close(struct asker *a)
{
    (void)close(a->fd);
    sl_buf_free(&a->answer);
}

static void say(struct asker *a, struct sl_slice bytes)
{
    assert_int_equal(send(a->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), bytes.len);
}

static bool has_ended(void *ctx)
{
    struct asker *a = ctx;
    uint8_t bytes[4096];
    ssize_t n;
    while ((n = recv(a->fd, bytes, sizeof bytes, 0)) > 0)
        sl_buf_put(&a->answer, bytes, (size_t)n);
    a->ended = n == 0 || errno == ECONNRESET;
    return a->ended;
}

/* The whole answer, up to the end of the connection. */
static const char *answer(struct asker *a)
{
    gateway_rig_until(a->r, has_ended, a);
    return sl_buf_cstr(&a->answer);
}

static void open_all(struct gateway_rig *r)
{
    struct sl_err err = { 0 };
    gateway_rig_open(r,
                     "\"rules\":[{\"name\":\"r\",\"sql\":\"SELECT * FROM 'in'\",\"to\":[{\"cloud\":"
                     "\"up\"}]}]");
    if (control_open(&r->g->control, r->g, r->folder, &err) != SL_OK)
        fail_msg("%s", err.text);
}

static void on_control_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_true(void *ctx)
{
    return *(bool *)ctx;
}

static void close_all(struct gateway_rig *r)
{
    bool closed = false;
    control_close(r->g->control, on_control_closed, &closed);
    gateway_rig_until(r, is_true, &closed);
    gateway_rig_close(r);
}

/* Three messages that are committed. */
static void fill(struct gateway_rig *r)
{
    struct peer p;
    peer_open(&p, &r->broker, MQTT_V311);
    peer_connect(&p, "p", true, 0);
    (void)peer_next(&p, MQTT_CONNACK);
    for (uint16_t i = 1; i <= 3; i++) {
        peer_publish(&p, "in", i == 2 ? "{\"n\":2}" : "text", 1, false, i);
        gateway_rig_wait(r, &p);
        assert_int_equal(peer_next_ack(&p, MQTT_PUBACK, NULL), i);
    }
    peer_drop(&p);
}

static const struct request_case {
    const char *name, *request;
    const char *begins; /* the answer's first line */
    unsigned lines;
} request_cases[] = {
    { "status", "{\"cmd\":\"status\"}\n", "{\"gateway\":{\"id\":\"gw\"", 2 },
    { "the queue", "{\"cmd\":\"queue\"}\n", "{\"lane\":\"telemetry\",\"number\":", 4 },
    { "one row", "{\"cmd\":\"queue\",\"limit\":1}\n", "{\"lane\":\"telemetry\",", 2 },
    { "one lane", "{\"cmd\":\"queue\",\"lane\":\"alert\"}\n", "{\"end\":true}", 1 },
    { "dead letters", "{\"cmd\":\"queue\",\"dead\":true}\n", "{\"end\":true}", 1 },
    { "limits out of range are the default", "{\"cmd\":\"queue\",\"limit\":-5}\n",
      "{\"lane\":", 4 },
    { "an unknown lane", "{\"cmd\":\"queue\",\"lane\":\"x\\\"\"}\n", "{\"error\":\"unknown lane",
      1 },
    { "a lane that is no text", "{\"cmd\":\"queue\",\"lane\":7}\n", "{\"lane\":", 4 },
    { "a page of a lane tells where to go on",
      "{\"cmd\":\"queue\",\"lane\":\"telemetry\",\"limit\":2}\n", "{\"lane\":", 4 },
    { "behind the last there is nothing",
      "{\"cmd\":\"queue\",\"lane\":\"telemetry\",\"from\":9007199254740991}\n", "{\"end\":true}",
      1 },
    { "rows with everything", "{\"cmd\":\"queue\",\"lane\":\"telemetry\",\"full\":true}\n",
      "{\"lane\":", 5 },
    { "a purge", "{\"cmd\":\"purge\"}\n", "{\"messages\":3,\"letters\":0}", 2 },
    { "a purge of a lane", "{\"cmd\":\"purge\",\"lane\":\"telemetry\"}\n",
      "{\"messages\":3,\"letters\":0}", 2 },
    { "a purge of an empty lane", "{\"cmd\":\"purge\",\"lane\":\"alert\"}\n",
      "{\"messages\":0,\"letters\":0}", 2 },
    { "a purge of the oldest", "{\"cmd\":\"purge\",\"limit\":2}\n",
      "{\"messages\":2,\"letters\":0}", 2 },
    { "a purge of dead letters", "{\"cmd\":\"purge\",\"dead\":true}\n",
      "{\"messages\":0,\"letters\":0}", 2 },
    { "a purge of an unknown lane", "{\"cmd\":\"purge\",\"lane\":\"x\"}\n",
      "{\"error\":\"unknown lane", 1 },
    { "an unknown command", "{\"cmd\":\"stop\"}\n", "{\"error\":\"unknown request", 1 },
    { "no command", "{}\n", "{\"error\":\"unknown request", 1 },
    { "a command that is no text", "{\"cmd\":1}\n", "{\"error\":\"unknown request", 1 },
    { "not JSON", "status\n", "{\"error\":\"unknown request", 1 },
    { "nothing", "\n", "{\"error\":\"unknown request", 1 },
    { "two lines: the first counts", "{\"cmd\":\"stop\"}\n{\"cmd\":\"status\"}\n",
      "{\"error\":\"unknown request", 1 },
};

static void asks(void **state)
{
    const struct request_case *c = *state;
    struct gateway_rig r;
    struct asker a;
    unsigned lines = 0;
    open_all(&r);
    fill(&r);
    asker_open(&a, &r);
    say(&a, sl_str(c->request));
    const char *got = answer(&a);
    if (strncmp(got, c->begins, strlen(c->begins)) != 0)
        fail_msg("%s", got);
    for (const char *at = got; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, c->lines);
    bool error = strncmp(got, "{\"error\"", 8) == 0;
    assert_true(error || strcmp(got + strlen(got) - 13, "{\"end\":true}\n") == 0);
    asker_close(&a);
    close_all(&r);
}

static void a_request_in_pieces(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a;
    static const char request[] = "{\"cmd\":\"queue\"}\n";
    open_all(&r);
    asker_open(&a, &r);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        say(&a, sl_bytes(request + i, 1));
        (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    }
    assert_string_equal(answer(&a), "{\"end\":true}\n");
    asker_close(&a);
    close_all(&r);
}

static void too_long_a_request(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a;
    char request[CONTROL_REQUEST_MAX + 1];
    memset(request, ' ', sizeof request);
    open_all(&r);
    asker_open(&a, &r);
    say(&a, sl_bytes(request, sizeof request));
    assert_string_equal(answer(&a), "{\"error\":\"the request is too long\"}\n");
    asker_close(&a);
    close_all(&r);
}

/* Those who say nothing keep their place; one more is told so, and is answered when one has gone.
 */
static void many_askers(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a[CONTROL_CLIENTS_MAX + 1], later;
    open_all(&r);
    for (size_t i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
        asker_open(&a[i], &r);
        (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    }
    assert_non_null(strstr(answer(&a[CONTROL_CLIENTS_MAX]), "too many"));
    asker_close(&a[0]);
    (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    asker_open(&later, &r);
    say(&later, sl_str("{\"cmd\":\"queue\"}\n"));
    assert_string_equal(answer(&later), "{\"end\":true}\n");
    asker_close(&later);
    for (size_t i = 1; i <= CONTROL_CLIENTS_MAX; i++)
        asker_close(&a[i]);
    close_all(&r);
}

/* The store still lists for somebody who has gone: it finds its way back to nobody. */
static void gone_while_listing(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a, b;
    open_all(&r);
    fill(&r);
    asker_open(&a, &r);
    say(&a, sl_str("{\"cmd\":\"queue\"}\n"));
    (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    asker_close(&a);
    asker_open(&b, &r);
    say(&b, sl_str("{\"cmd\":\"queue\"}\n"));
    assert_non_null(strstr(answer(&b), "{\"end\":true}"));
    asker_close(&b);
    close_all(&r);
}

/* The gateway stops while the store lists: in its order, so the store ends first. */
static void stopping_while_listing(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a;
    bool closed = false;
    open_all(&r);
    fill(&r);
    asker_open(&a, &r);
    say(&a, sl_str("{\"cmd\":\"queue\"}\n"));
    (void)uv_run(&r.g->loop, UV_RUN_NOWAIT);
    control_close(r.g->control, on_control_closed, &closed);
    gateway_rig_close(&r);
    assert_true(closed);
    asker_close(&a);
}

static void no_answers_while_stopping(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct asker a;
    open_all(&r);
    r.g->stopping = true;
    asker_open(&a, &r);
    say(&a, sl_str("{\"cmd\":\"status\"}\n"));
    assert_string_equal(answer(&a), "{\"error\":\"the gateway is stopping\"}\n");
    asker_close(&a);
    close_all(&r);
}

/* ---- the socket itself ---- */

static void the_socket_is_ours_alone(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct control *second = NULL;
    struct sl_err err = { 0 };
    struct stat st;
    char path[128];
    open_all(&r);
    assert_int_equal(control_path(r.folder, path, sizeof path, &err), SL_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(control_answers(r.folder));
    assert_int_equal(control_open(&second, r.g, r.folder, &err), SL_BUSY);
    assert_null(second);
    close_all(&r);
    assert_int_equal(stat(path, &st), -1); /* gone with its gateway */
}

static void a_socket_left_from_a_crash(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    gateway_rig_open(&r, "");
    assert_int_equal(control_path(r.folder, a.sun_path, sizeof a.sun_path, NULL), SL_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    (void)close(fd);
    assert_false(control_answers(r.folder));
    assert_int_equal(control_open(&r.g->control, r.g, r.folder, NULL), SL_OK);
    assert_true(control_answers(r.folder));
    close_all(&r);
}

static void where_no_socket_can_be(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct control *c = NULL;
    struct sl_err err = { 0 };
    char longest[200];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    gateway_rig_open(&r, "");
    assert_int_equal(control_open(&c, r.g, longest, &err), SL_INVALID);
    assert_non_null(strstr(err.text, "too long"));
    assert_false(control_answers(longest));
    assert_int_equal(control_open(&c, r.g, "/nonexistent/folder", &err), SL_IO);
    assert_non_null(strstr(err.text, "/nonexistent/folder/control.sock"));
    assert_int_equal(control_open(&c, r.g, "/proc", &err), SL_IO);
    assert_null(c);
    gateway_rig_close(&r);
}

/* A card that went read-only, as cards do, after a crash left the socket there. */
static void a_socket_left_on_a_read_only_disk(void **state)
{
    (void)state;
    struct gateway_rig r;
    struct control *c = NULL;
    struct sl_err err = { 0 };
    char folder[] = "/tmp/test-control-XXXXXX";
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    assert_non_null(mkdtemp(folder));
    if (mount("tmpfs", folder, "tmpfs", 0, "size=64k") != 0) {
        print_message("no tmpfs here (%s): left out\n", strerror(errno));
        (void)rmdir(folder);
        skip();
    }
    gateway_rig_open(&r, "");
    assert_int_equal(control_path(folder, a.sun_path, sizeof a.sun_path, NULL), SL_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    (void)close(fd);
    assert_int_equal(mount("tmpfs", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_int_equal(control_open(&c, r.g, folder, &err), SL_FULL); /* it runs without */
    assert_non_null(strstr(err.text, "read-only"));
    assert_null(c);
    assert_int_equal(umount(folder), 0);
    assert_int_equal(rmdir(folder), 0);
    gateway_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_request_in_pieces),
        cmocka_unit_test(too_long_a_request),
        cmocka_unit_test(many_askers),
        cmocka_unit_test(gone_while_listing),
        cmocka_unit_test(stopping_while_listing),
        cmocka_unit_test(no_answers_while_stopping),
        cmocka_unit_test(the_socket_is_ours_alone),
        cmocka_unit_test(a_socket_left_from_a_crash),
        cmocka_unit_test(where_no_socket_can_be),
        cmocka_unit_test(a_socket_left_on_a_read_only_disk),
    };
    struct CMUnitTest tests[SL_ARRAY_LEN(plain) + SL_ARRAY_LEN(request_cases)];
    size_t n = SL_ARRAY_LEN(plain);
    memcpy(tests, plain, sizeof plain);
    n += ROWS_OF(tests + n, request_cases, asks);
    return _cmocka_run_group_tests("control", tests, n, NULL, NULL);
}
