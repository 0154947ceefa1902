/* logins.c - passwords checked on libuv's thread pool. */
#include "logins.h"

#include "users.h"

#include "base/crypto.h"
#include "base/log.h"
#include "broker/mqtt.h"

#include <stdlib.h>

/* One login on its way, with copies of its own: the users may be read again meanwhile. */
struct check {
    uv_work_t work;
    struct logins *logins;
    struct check *next;         /* while it waits */
    struct throttle_host *host; /* stays while this counts in it */
    int64_t due_ms;
    struct broker_auth *auth; /* an MQTT client's; NULL: fn is told */
    logins_fn *fn;
    void *ctx;
    struct sl_buf password, hash;
    bool known, ok; /* unknown names are checked against a decoy, which takes as long */
};

struct logins {
    uv_loop_t *loop;
    const struct sl_clock *clock;
    struct throttle *throttle;
    char *path;
    struct users *users;
    struct check *waiting, **waiting_end; /* in the order in which they came */
    unsigned waiting_count, running;
    uv_timer_t timer; /* until the next that waits out its time */
    unsigned holds;   /* the timer, and checks that run */
    bool closing;
};

static void on_bad_line(void *ctx, const char *path, unsigned line, const char *text)
{
    (void)ctx;
    LOG_WARN("users", "%s:%u: %s: the line is left out", path, line, text);
}

static enum sl_code read_users(const char *path, struct users **ret, struct sl_err *err)
{
    enum sl_code rc = users_load(ret, path, on_bad_line, NULL, err);
    if (rc != SL_NOTFOUND)
        return rc;
    LOG_WARN("users",
             "%s is not there: nobody can log in until \"sluice user add NAME\" makes it and the "
             "configuration is read again (SIGHUP)",
             path);
    return users_new_empty(ret, err);
}

static void run_next(struct logins *l);

static void on_timer(uv_timer_t *h)
{
    run_next(h->data);
}

enum sl_code logins_open(struct logins **ret, uv_loop_t *loop, const struct sl_clock *clock,
                         struct throttle *throttle, const char *path, struct sl_err *err)
{
    struct logins *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "users file: out of memory");
    *l = (struct logins){ .loop = loop, .clock = clock, .throttle = throttle };
    l->waiting_end = &l->waiting;
    l->path = strdup(path);
    enum sl_code rc =
        l->path ? read_users(path, &l->users, err) : sl_fail(err, SL_NOMEM, "out of memory");
    if (rc != SL_OK) {
        free(l->path);
        free(l);
        return sl_wrap(err, "users file");
    }
    (void)uv_timer_init(loop, &l->timer); /* fills in a struct */
    l->timer.data = l;
    l->holds = 1;
    *ret = l;
    return SL_OK;
}

static void logins_release(struct logins *l)
{
    if (--l->holds > 0)
        return;
    users_free(l->users);
    free(l->path);
    free(l);
}

static void check_free(struct check *c)
{
    if (c->password.ptr)
        crypto_wipe(c->password.ptr, c->password.len);
    sl_buf_free(&c->password);
    sl_buf_free(&c->hash);
    free(c);
}

/* ---- what waits ---- */

static void push(struct logins *l, struct check *c)
{
    *l->waiting_end = c;
    l->waiting_end = &c->next;
    l->waiting_count++;
    c->host->waiting++;
}

static struct check *take(struct logins *l, struct check **at)
{
    struct check *c = *at;
    *at = c->next;
    if (!c->next)
        l->waiting_end = at;
    c->next = NULL;
    l->waiting_count--;
    c->host->waiting--;
    return c;
}

/* Addresses in turn: first the one with the fewest checks running, of those the one that was served
 * longest ago. */
static bool goes_before(const struct throttle_host *a, const struct throttle_host *b)
{
    return a->running != b->running ? a->running < b->running : a->served < b->served;
}

/* NULL when nobody's time has come; then *ret_due_ms is when it will, INT64_MAX when nobody waits.
 */
static struct check **find_next(struct logins *l, int64_t now, int64_t *ret_due_ms)
{
    struct check **found = NULL;
    *ret_due_ms = INT64_MAX;
    for (struct check **at = &l->waiting; *at; at = &(*at)->next) {
        if ((*at)->due_ms > now) {
            *ret_due_ms = (*at)->due_ms < *ret_due_ms ? (*at)->due_ms : *ret_due_ms;
            continue;
        }
        if (!found || goes_before((*at)->host, (*found)->host))
            found = at;
    }
    return found;
}

/* ---- checks ---- */

/* On a thread of the pool: touches the check's own copies only. */
static void on_work(uv_work_t *w)
{
    struct check *c = w->data;
    c->ok = password_verify(sl_buf_slice(&c->password), sl_buf_slice(&c->hash)) && c->known;
}

static void tell(const struct check *c, enum logins_result result)
{
    if (!c->auth)
        c->fn(c->ctx, result);
    else if (result == LOGINS_BUSY)
        broker_auth_refuse(c->auth, MQTT_RC_SERVER_BUSY);
    else
        broker_auth_done(c->auth, result == LOGINS_RIGHT);
}

static void refuse_busy(struct logins *l, const struct check *c)
{
    l->throttle->refused++;
    tell(c, LOGINS_BUSY);
}

/* The users may have been read again meanwhile: then the answer is not worth anything. */
static void answer(struct logins *l, const struct check *c)
{
    if (l->closing) {
        refuse_busy(l, c);
        return;
    }
    if (c->ok)
        throttle_succeeded(c->host);
    else
        throttle_failed(l->throttle, c->host, sl_mono_ms(l->clock));
    tell(c, c->ok ? LOGINS_RIGHT : LOGINS_WRONG);
}

static void on_done(uv_work_t *w, int status)
{
    struct check *c = w->data;
    struct logins *l = c->logins;
    c->ok = c->ok && status == 0;
    l->running--;
    c->host->running--;
    answer(l, c);
    check_free(c);
    run_next(l);
    logins_release(l);
}

static void start(struct logins *l, struct check *c)
{
    c->host->served = ++l->throttle->served;
    if (uv_queue_work(l->loop, &c->work, on_work, on_done) != 0) {
        refuse_busy(l, c);
        check_free(c);
        return;
    }
    l->running++;
    l->holds++;
    c->host->running++;
}

static void run_next(struct logins *l)
{
    int64_t now = sl_mono_ms(l->clock), due = INT64_MAX;
    while (!l->closing && l->running < LOGINS_RUNNING_MAX) {
        struct check **at = find_next(l, now, &due);
        if (!at)
            break;
        start(l, take(l, at));
    }
    if (!l->closing && due != INT64_MAX) /* cannot fail with a callback, and while it is open */
        (void)uv_timer_start(&l->timer, on_timer, (uint64_t)(due - now), 0);
}

static struct check *check_new(struct logins *l, struct sl_slice user, struct sl_slice password)
{
    struct check *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->logins = l;
    c->known = users_has(l->users, user);
    c->work.data = c;
    sl_buf_put_slice(&c->password, password);
    sl_buf_put_slice(&c->hash, users_hash(l->users, user));
    if (!c->password.failed && !c->hash.failed)
        return c;
    check_free(c);
    return NULL;
}

void logins_check(struct logins *l, struct broker_auth *auth, struct sl_slice user,
                  struct sl_slice password)
{
    int64_t now = sl_mono_ms(l->clock);
    struct throttle_host *h = throttle_host(l->throttle, broker_auth_address(auth), now);
    int64_t wait = throttle_wait_ms(h, now);
    bool room =
        l->waiting_count < LOGINS_WAITING_MAX &&
        h->waiting + h->running < (wait > 0 ? LOGINS_PER_FAILED_ONE : (unsigned)LOGINS_PER_ADDRESS);
    struct check *c = room ? check_new(l, user, password) : NULL;
    if (!c) {
        refuse_busy(l, &(struct check){ .auth = auth });
        return;
    }
    c->auth = auth;
    c->host = h;
    c->due_ms = now + wait;
    l->throttle->delayed += wait > 0;
    push(l, c);
    run_next(l);
}

bool logins_ask(struct logins *l, struct sl_slice address, struct sl_slice user,
                struct sl_slice password, logins_fn *fn, void *ctx)
{
    int64_t now = sl_mono_ms(l->clock);
    struct throttle_host *h = throttle_host(l->throttle, address, now);
    bool room = !l->closing && l->waiting_count < LOGINS_WAITING_MAX &&
                h->waiting + h->running < LOGINS_PER_ADDRESS;
    struct check *c = room ? check_new(l, user, password) : NULL;
    if (!c)
        return false;
    c->fn = fn;
    c->ctx = ctx;
    c->host = h;
    c->due_ms = now;
    push(l, c);
    run_next(l);
    return true;
}

bool logins_verify(struct logins *l, struct sl_slice user, struct sl_slice password)
{
    return users_verify(l->users, user, password);
}

bool logins_keep(const struct logins *l, const struct logins *old, struct sl_slice user)
{
    return l && old && users_has(l->users, user) && users_has(old->users, user) &&
           sl_slice_eq(users_hash(l->users, user), users_hash(old->users, user));
}

/* ---- closing ---- */

static void on_timer_closed(uv_handle_t *h)
{
    logins_release(h->data);
}

void logins_close(struct logins *l)
{
    if (!l)
        return;
    l->closing = true;
    while (l->waiting) {
        struct check *c = take(l, &l->waiting);
        refuse_busy(l, c);
        check_free(c);
    }
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
