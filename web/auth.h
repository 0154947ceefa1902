/* auth.h - who may read: HTTP Basic with a small memory, and patience for those who guess.
 *
 * Passwords are checked by the owner's login function, which is slow by design (PBKDF2) and runs on
 * the loop; so a name and password that were right are remembered, as a keyed hash, for a minute,
 * those who fail must wait longer each time, and all checks together are paced. No I/O, no clock:
 * the time comes in. Loop thread only. */
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

typedef bool auth_login_fn(void *ctx, struct sl_slice user, struct sl_slice password);

struct auth_known {
    uint8_t key[32]; /* SHA-256 over a secret of this process, user and password */
    int64_t until_ms;
};
struct auth_peer {
    char address[AUTH_PEER_TEXT_MAX];
    unsigned failures; /* 0: a free slot */
    int64_t wait_until_ms, last_ms;
};
struct auth {
    enum web_anonymous anonymous;
    auth_login_fn *login; /* NULL: nobody has a password */
    void *ctx;
    uint8_t secret[32];
    struct auth_known known[AUTH_CACHE_MAX];
    struct auth_peer peers[AUTH_PEERS_MAX];
    unsigned tokens;
    int64_t refilled_ms;
};

enum auth_verdict {
    AUTH_OK,
    AUTH_MISSING, /* no credentials, and nobody without may read */
    AUTH_WRONG,
    AUTH_LATER, /* not looked at: too many tries; see wait_ms */
};
struct auth_viewer {
    char user[INPUT_USER_MAX + 1]; /* "" for anonymous */
    int64_t wait_ms;
};

/* SL_IO when the system gives no random numbers. */
SL_NODISCARD enum sl_code auth_init(struct auth *a, const struct web_options *options);
void auth_forget(struct auth *a); /* the users changed: ask again for everyone */
/* authorization: the header's value, empty without one. */
enum auth_verdict auth_check(struct auth *a, struct sl_slice authorization, const char *peer,
                             int64_t now_ms, struct auth_viewer *ret);

#endif
