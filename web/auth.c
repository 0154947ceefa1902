/* auth.c - see auth.h. Touches only the struct auth it is given. */
#include "auth.h"

#include "base/crypto.h"

#include <stdio.h>

enum sl_code auth_init(struct auth *a, const struct web_options *options)
{
    *a = (struct auth){ .anonymous = options->anonymous,
                        .login = options->view.login,
                        .ctx = options->view.ctx,
                        .tokens = AUTH_BURST };
    return crypto_random(a->secret, sizeof a->secret);
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

static bool take_token(struct auth *a, int64_t now_ms)
{
    int64_t gained = (now_ms - a->refilled_ms) / AUTH_REFILL_MS;
    if (gained > 0) {
        a->refilled_ms += gained * AUTH_REFILL_MS;
        a->tokens =
            gained < AUTH_BURST - (int64_t)a->tokens ? a->tokens + (unsigned)gained : AUTH_BURST;
    }
    if (a->tokens == 0)
        return false;
    a->tokens--;
    return true;
}

/* How long this peer has to wait before its next try is looked at; 0: now. */
static int64_t must_wait(struct auth *a, const char *peer, int64_t now_ms)
{
    const struct auth_peer *p = find_peer(a, peer);
    if (p && p->wait_until_ms > now_ms)
        return p->wait_until_ms - now_ms;
    return take_token(a, now_ms) ? 0 : AUTH_REFILL_MS;
}

/* ---- the verdict ---- */

static enum auth_verdict check_login(struct auth *a, struct sl_slice user, struct sl_slice password,
                                     const char *peer, int64_t now_ms, struct auth_viewer *ret)
{
    uint8_t key[32];
    if (!key_of(a, user, password, key))
        return AUTH_WRONG;
    if (!is_known(a, key, now_ms)) {
        ret->wait_ms = must_wait(a, peer, now_ms);
        if (ret->wait_ms > 0)
            return AUTH_LATER;
        if (!a->login || !a->login(a->ctx, user, password)) {
            note_failure(a, peer, now_ms);
            return AUTH_WRONG;
        }
        forget_failures(a, peer);
        remember(a, key, now_ms);
    }
    memcpy(ret->user, user.ptr, user.len); /* at most INPUT_USER_MAX, without NUL: input_basic() */
    ret->user[user.len] = '\0';
    return AUTH_OK;
}

enum auth_verdict auth_check(struct auth *a, struct sl_slice authorization, const char *peer,
                             int64_t now_ms, struct auth_viewer *ret)
{
    *ret = (struct auth_viewer){ 0 };
    if (authorization.len == 0)
        return a->anonymous == WEB_ANONYMOUS_NONE ? AUTH_MISSING : AUTH_OK;
    struct sl_buf plain = { .max = INPUT_BASIC_MAX };
    struct sl_slice user, password;
    enum auth_verdict verdict = AUTH_WRONG;
    if (input_basic(authorization, &plain, &user, &password))
        verdict = check_login(a, user, password, peer, now_ms, ret);
    if (plain.len > 0)
        crypto_wipe(plain.ptr, plain.len);
    sl_buf_free(&plain);
    return verdict;
}
