/* auth.h - who may read: HTTP Basic with a small memory, and patience for those who guess.
 *
 * Passwords are checked by the owner's login function, which is slow by design (PBKDF2), off the
 * loop: who asks has to wait. An upgrade to a WebSocket cannot, and is checked on the loop, hardly
 * ever: most follow a request, and a name and password that were right are remembered, as a keyed
 * hash, for a minute. Those who fail must wait longer each time, an address has one check under
 * way, and all together are paced. No I/O, no clock: the time comes in. Loop thread only. */
#ifndef WEB_AUTH_H
#define WEB_AUTH_H

#include "web/web.h"

#include "inputs.h"

#define AUTH_CACHE_MAX 32
#define AUTH_CACHE_MS  60000
#define AUTH_PEERS_MAX                                                                             \
    64 /* addresses that failed lately; the one that fails no more is forgotten */
#define AUTH_PEER_TEXT_MAX 48
#define AUTH_WAIT_MS_MIN   500
#define AUTH_WAIT_MS_MAX   30000
#define AUTH_BURST         20 /* checks at once, from all peers together */
#define AUTH_REFILL_MS     200
#define AUTH_NOW_BURST     2 /* of them on the loop, where there is another way */
#define AUTH_NOW_REFILL_MS 2000
#define AUTH_ASKED_MAX     8 /* under way */
#define AUTH_BUSY_MS       1000

/* A check under way. Belongs to whoever answers it. */
struct auth_asked {
    struct auth *auth; /* NULL: nobody wants to know any more */
    uint8_t key[32];
    char peer[AUTH_PEER_TEXT_MAX];
};
/* The answer has come: auth_answer() takes it in. */
typedef void auth_answered_fn(void *ctx, struct auth_asked *asked, enum web_login_result result);

struct auth_known {
    uint8_t key[32]; /* SHA-256 over a secret of this process, user and password */
    int64_t until_ms;
};
struct auth_peer {
    char address[AUTH_PEER_TEXT_MAX];
    unsigned failures; /* 0: a free slot */
    int64_t wait_until_ms, last_ms;
};
struct auth_tokens {
    unsigned left;
    int64_t refilled_ms;
};
struct auth {
    enum web_anonymous anonymous;
    struct web_view view; /* login and login_later; without either nobody has a password */
    auth_answered_fn *answered;
    void *answered_ctx;
    struct auth_asked *asked[AUTH_ASKED_MAX];
    uint8_t secret[32];
    struct auth_known known[AUTH_CACHE_MAX];
    struct auth_peer peers[AUTH_PEERS_MAX];
    struct auth_tokens all, now;
};

enum auth_verdict {
    AUTH_OK,
    AUTH_MISSING, /* no credentials, and nobody without may read */
    AUTH_WRONG,
    AUTH_LATER, /* not looked at: too many tries; see wait_ms */
    AUTH_ASKED, /* being looked at: see asked */
};
struct auth_viewer {
    char user[INPUT_USER_MAX + 1]; /* "" for anonymous */
    int64_t wait_ms;
    const struct auth_asked *asked; /* until it is answered: only to be compared */
};

/* answered: needed with view.login_later only. SL_IO when the system gives no random numbers. */
SL_NODISCARD enum sl_code auth_init(struct auth *a, const struct web_options *options,
                                    auth_answered_fn *answered, void *answered_ctx);
void auth_close(struct auth *a);  /* answers to come are for nobody; forgets, too */
void auth_forget(struct auth *a); /* the users changed: ask again for everyone */
/* authorization: the header's value, empty without one. */
enum auth_verdict auth_check(struct auth *a, struct sl_slice authorization, const char *peer,
                             int64_t now_ms, struct auth_viewer *ret);
/* Never AUTH_ASKED. */
enum auth_verdict auth_check_now(struct auth *a, struct sl_slice authorization, const char *peer,
                                 int64_t now_ms, struct auth_viewer *ret);
/* Remembers a right password, or the failure; asked is gone. */
void auth_answer(struct auth *a, struct auth_asked *asked, enum web_login_result result,
                 int64_t now_ms);

#endif
