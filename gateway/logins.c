/* logins.c - passwords checked on libuv's thread pool. */
#include "logins.h"

#include "users.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdlib.h>

struct logins {
    uv_loop_t *loop;
    char *path;
    struct users *users;
    unsigned pending; /* checks on their way, which point here */
    bool closing;
};

/* One check on its way, with copies of its own: the users may be read again meanwhile. */
struct check {
    uv_work_t work;
    struct logins *logins;
    struct broker_auth *auth;
    struct sl_buf password, hash;
    bool known, ok; /* unknown names are checked against a decoy, which takes as long */
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

enum sl_code logins_open(struct logins **ret, uv_loop_t *loop, const char *path, struct sl_err *err)
{
    struct logins *l = calloc(1, sizeof *l);
    if (!l)
        return sl_fail(err, SL_NOMEM, "users file: out of memory");
    l->loop = loop;
    l->path = strdup(path);
    enum sl_code rc =
        l->path ? read_users(path, &l->users, err) : sl_fail(err, SL_NOMEM, "out of memory");
    if (rc != SL_OK) {
        free(l->path);
        free(l);
        return sl_wrap(err, "users file");
    }
    *ret = l;
    return SL_OK;
}

static void logins_free(struct logins *l)
{
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

/* On a thread of the pool: touches the check's own copies only. */
static void on_work(uv_work_t *w)
{
    struct check *c = w->data;
    c->ok = password_verify(sl_buf_slice(&c->password), sl_buf_slice(&c->hash)) && c->known;
}

static void on_done(uv_work_t *w, int status)
{
    struct check *c = w->data;
    struct logins *l = c->logins;
    broker_auth_done(c->auth, status == 0 && c->ok);
    check_free(c);
    if (--l->pending == 0 && l->closing)
        logins_free(l);
}

void logins_check(struct logins *l, struct broker_auth *auth, struct sl_slice user,
                  struct sl_slice password)
{
    struct check *c = l->pending < LOGINS_PENDING_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        broker_auth_done(auth, false);
        return;
    }
    c->logins = l;
    c->auth = auth;
    c->known = users_has(l->users, user);
    c->work.data = c;
    sl_buf_put_slice(&c->password, password);
    sl_buf_put_slice(&c->hash, users_hash(l->users, user));
    if (c->password.failed || c->hash.failed ||
        uv_queue_work(l->loop, &c->work, on_work, on_done) != 0) {
        check_free(c);
        broker_auth_done(auth, false);
        return;
    }
    l->pending++;
}

bool logins_verify(struct logins *l, struct sl_slice user, struct sl_slice password)
{
    return users_verify(l->users, user, password);
}

void logins_close(struct logins *l)
{
    if (!l)
        return;
    l->closing = true;
    if (l->pending == 0)
        logins_free(l);
}
