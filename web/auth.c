/* auth.c - see auth.h. Touches only the struct auth it is given. */
#include "auth.h"

#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>

enum sl_code auth_init(struct auth *a, const struct web_options *options,
                       auth_answered_fn *answered, void *answered_ctx)
{
    *a = (struct auth){ .anonymous = options->anonymous,
                        .view = options->view,
                        .answered = answered,
                        .answered_ctx = answered_ctx,
                        .all.left = AUTH_BURST,
                        .now.left = AUTH_NOW_BURST };
    return crypto_random(a->secret, sizeof a->secret);
}

void auth_close(struct auth *a)
{
    for (size_t i = 0; i < AUTH_ASKED_MAX; i++) {
        if (a->asked[i])
            a->asked[i]->auth = NULL;
        a->asked[i] = NULL;
    }
    auth_forget(a);
}

void auth_forget(struct auth *a)
{
    crypto_wipe(a->known, sizeof a->known);
}

/* ---- the memory of right passwords ---- */

static bool key_of(const struct auth *a, struct sl_slice user, struct sl_slice password,
                   uint8_t key[32])
{
    struct sl_buf text = { .max = 1024 };
    sl_buf_put(&text, a->secret, sizeof a->secret);
    sl_buf_put_lp16(&text, user); /* its length first: "ab"+"c" is not "a"+"bc" */
    sl_buf_put_slice(&text, password);
    bool ok = !text.failed;
    if (ok)
        crypto_sha256(sl_buf_slice(&text), key);
    if (text.len > 0)
        crypto_wipe(text.ptr, text.len);
    sl_buf_free(&text);
    return ok;
}

static bool is_known(const struct auth *a, const uint8_t key[32], int64_t now_ms)
{
    bool found = false;
    for (size_t i = 0; i < AUTH_CACHE_MAX; i++)
        if (a->known[i].until_ms > now_ms &&
            crypto_equal(sl_bytes(a->known[i].key, 32), sl_bytes(key, 32)))
            found = true;
    return found;
}

static void remember(struct auth *a, const uint8_t key[32], int64_t now_ms)
{
    struct auth_known *slot = &a->known[0];
    for (size_t i = 1; i < AUTH_CACHE_MAX; i++)
        if (a->known[i].until_ms < slot->until_ms)
            slot = &a->known[i];
    memcpy(slot->key, key, sizeof slot->key);
    slot->until_ms = now_ms + AUTH_CACHE_MS;
}

/* ---- patience ---- */

static struct auth_peer *find_peer(struct auth *a, const char *address)
{
    for (size_t i = 0; i < AUTH_PEERS_MAX; i++)
        if (a->peers[i].failures > 0 && strcmp(a->peers[i].address, address) == 0)
            return &a->peers[i];
    return NULL;
}

static struct auth_peer *oldest_peer(struct auth *a)
{
    struct auth_peer *oldest = &a->peers[0];
    for (size_t i = 0; i < AUTH_PEERS_MAX; i++) {
        if (a->peers[i].failures == 0)
            return &a->peers[i];
        if (a->peers[i].last_ms < oldest->last_ms)
            oldest = &a->peers[i];
    }
    return oldest;
}

static void note_failure(struct auth *a, const char *address, int64_t now_ms)
{
    struct auth_peer *p = find_peer(a, address);
    if (!p) {
        p = oldest_peer(a);
        *p = (struct auth_peer){ 0 };
        (void)snprintf(p->address, sizeof p->address, "%s",
                       address); /* cut: still one key a peer */
    }
    int64_t wait = AUTH_WAIT_MS_MIN;
    for (unsigned i = 0; i < p->failures && wait < AUTH_WAIT_MS_MAX; i++)
        wait *= 2;
    p->failures++;
    p->last_ms = now_ms;
    p->wait_until_ms = now_ms + (wait < AUTH_WAIT_MS_MAX ? wait : AUTH_WAIT_MS_MAX);
}

static void forget_failures(struct auth *a, const char *address)
{
    struct auth_peer *p = find_peer(a, address);
    if (p)
        *p = (struct auth_peer){ 0 };
}

static bool take_token(struct auth_tokens *t, unsigned most, int64_t refill_ms, int64_t now_ms)
{
    int64_t gained = (now_ms - t->refilled_ms) / refill_ms;
    if (gained > 0) {
        t->refilled_ms += gained * refill_ms;
        t->left = gained < most - (int64_t)t->left ? t->left + (unsigned)gained : most;
    }
    if (t->left == 0)
        return false;
    t->left--;
    return true;
}

/* How long this peer has to wait before its next try is looked at; 0: now. */
static int64_t must_wait(struct auth *a, const char *peer, int64_t now_ms)
{
    const struct auth_peer *p = find_peer(a, peer);
    if (p && p->wait_until_ms > now_ms)
        return p->wait_until_ms - now_ms;
    return take_token(&a->all, AUTH_BURST, AUTH_REFILL_MS, now_ms) ? 0 : AUTH_REFILL_MS;
}

/* ---- checks off the loop ---- */

/* The check of the same name and password, if it is under way; *ret_free: where a new one may go,
 * NULL if this peer has one already, or there are too many. */
static struct auth_asked *find_asked(struct auth *a, const uint8_t key[32], const char *peer,
                                     struct auth_asked ***ret_free)
{
    bool busy = false;
    *ret_free = NULL;
    for (size_t i = 0; i < AUTH_ASKED_MAX; i++) {
        struct auth_asked *q = a->asked[i];
        if (q && crypto_equal(sl_bytes(q->key, 32), sl_bytes(key, 32)))
            return q;
        busy = busy || (q && strcmp(q->peer, peer) == 0);
        if (!q)
            *ret_free = &a->asked[i];
    }
    if (busy)
        *ret_free = NULL;
    return NULL;
}

static void on_login(void *ctx, enum web_login_result result)
{
    struct auth_asked *q = ctx;
    if (q->auth)
        q->auth->answered(q->auth->answered_ctx, q, result);
    else
        free(q);
}

static enum auth_verdict ask(struct auth *a, const uint8_t key[32], struct sl_slice user,
                             struct sl_slice password, const char *peer, int64_t now_ms,
                             struct auth_viewer *ret)
{
    struct auth_asked **place, *q = find_asked(a, key, peer, &place);
    ret->asked = q;
    if (q)
        return AUTH_ASKED;
    ret->wait_ms = place ? must_wait(a, peer, now_ms) : AUTH_BUSY_MS;
    q = ret->wait_ms == 0 ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        ret->wait_ms = ret->wait_ms > 0 ? ret->wait_ms : AUTH_BUSY_MS;
        return AUTH_LATER;
    }
    q->auth = a;
    memcpy(q->key, key, sizeof q->key);
    (void)snprintf(q->peer, sizeof q->peer, "%s", peer); /* of that size, too */
    if (!a->view.login_later(a->view.ctx, user, password, sl_str(peer), on_login, q)) {
        free(q);
        ret->wait_ms = AUTH_BUSY_MS;
        return AUTH_LATER;
    }
    *place = q;
    ret->asked = q;
    return AUTH_ASKED;
}

void auth_answer(struct auth *a, struct auth_asked *asked, enum web_login_result result,
                 int64_t now_ms)
{
    for (size_t i = 0; i < AUTH_ASKED_MAX; i++)
        if (a->asked[i] == asked)
            a->asked[i] = NULL;
    if (result == WEB_LOGIN_RIGHT) {
        forget_failures(a, asked->peer);
        remember(a, asked->key, now_ms);
    } else if (result == WEB_LOGIN_WRONG) {
        note_failure(a, asked->peer, now_ms);
    }
    free(asked);
}

/* ---- the verdict ---- */

static enum auth_verdict check_at_once(struct auth *a, const uint8_t key[32], struct sl_slice user,
                                       struct sl_slice password, const char *peer, int64_t now_ms,
                                       struct auth_viewer *ret)
{
    ret->wait_ms = must_wait(a, peer, now_ms);
    if (ret->wait_ms == 0 && a->view.login_later &&
        !take_token(&a->now, AUTH_NOW_BURST, AUTH_NOW_REFILL_MS, now_ms))
        ret->wait_ms = AUTH_NOW_REFILL_MS;
    if (ret->wait_ms > 0)
        return AUTH_LATER;
    if (!a->view.login || !a->view.login(a->view.ctx, user, password)) {
        note_failure(a, peer, now_ms);
        return AUTH_WRONG;
    }
    forget_failures(a, peer);
    remember(a, key, now_ms);
    return AUTH_OK;
}

static enum auth_verdict check_login(struct auth *a, struct sl_slice user, struct sl_slice password,
                                     const char *peer, int64_t now_ms, bool may_wait,
                                     struct auth_viewer *ret)
{
    uint8_t key[32];
    enum auth_verdict verdict = AUTH_OK;
    if (!key_of(a, user, password, key))
        return AUTH_WRONG;
    if (!is_known(a, key, now_ms))
        verdict = may_wait && a->view.login_later
                      ? ask(a, key, user, password, peer, now_ms, ret)
                      : check_at_once(a, key, user, password, peer, now_ms, ret);
    if (verdict != AUTH_OK)
        return verdict;
    memcpy(ret->user, user.ptr, user.len); /* at most INPUT_USER_MAX, without NUL: input_basic() */
    ret->user[user.len] = '\0';
    return AUTH_OK;
}

static enum auth_verdict check(struct auth *a, struct sl_slice authorization, const char *peer,
                               int64_t now_ms, bool may_wait, struct auth_viewer *ret)
{
    *ret = (struct auth_viewer){ 0 };
    if (authorization.len == 0)
        return a->anonymous == WEB_ANONYMOUS_NONE ? AUTH_MISSING : AUTH_OK;
    struct sl_buf plain = { .max = INPUT_BASIC_MAX };
    struct sl_slice user, password;
    enum auth_verdict verdict = AUTH_WRONG;
    if (input_basic(authorization, &plain, &user, &password))
        verdict = check_login(a, user, password, peer, now_ms, may_wait, ret);
    if (plain.len > 0)
        crypto_wipe(plain.ptr, plain.len);
    sl_buf_free(&plain);
    return verdict;
}

enum auth_verdict auth_check(struct auth *a, struct sl_slice authorization, const char *peer,
                             int64_t now_ms, struct auth_viewer *ret)
{
    return check(a, authorization, peer, now_ms, true, ret);
}

enum auth_verdict auth_check_now(struct auth *a, struct sl_slice authorization, const char *peer,
                                 int64_t now_ms, struct auth_viewer *ret)
{
    return check(a, authorization, peer, now_ms, false, ret);
}
