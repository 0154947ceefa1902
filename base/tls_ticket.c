/* tls_ticket.c - session tickets, sealed with AES-256-GCM under keys that are drawn at random,
 * live in memory only and belong to one context: a new context, because certificates, CA or CRL
 * have changed, honours no ticket of the old one. No I/O; time is handed in.
 *
 *     key name (8)  nonce (12)  sealed: facts, session  tag (16)
 *
 * The library's own tickets would do for TLS 1.2, but in TLS 1.3 they forget who the client was. */
#include "tls_ticket.h"

#include "base/crypto.h"

#define KEY_SIZE     32
#define FACTS_FORMAT 1
#define FACTS_FIXED  (1 + 8 + 8 + 1 + 2)

/* ---- facts ---- */

static void put_u64(uint8_t *out, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static bool take_time(struct sl_cursor *c, int64_t *ret)
{
    uint32_t high, low;
    if (!sl_take_u32(c, &high) || !sl_take_u32(c, &low))
        return false;
    *ret = (int64_t)((uint64_t)high << 32 | low);
    return true;
}

size_t tls_ticket_pack(const struct tls_ticket_facts *facts, uint8_t *out, size_t room)
{
    size_t name = facts->name.len;
    if (name > TLS_PEER_NAME_MAX || room < FACTS_FIXED + name)
        return 0;
    out[0] = FACTS_FORMAT;
    put_u64(out + 1, (uint64_t)facts->issued);
    put_u64(out + 9, (uint64_t)facts->valid_until);
    out[17] = facts->has_cert;
    out[18] = (uint8_t)(name >> 8);
    out[19] = (uint8_t)name;
    if (name > 0)
        memcpy(out + FACTS_FIXED, facts->name.ptr, name);
    return FACTS_FIXED + name;
}

bool tls_ticket_unpack(struct sl_slice bytes, struct tls_ticket_facts *ret)
{
    struct sl_cursor c = sl_cursor(bytes);
    struct tls_ticket_facts f;
    uint8_t format, has_cert;
    if (!sl_take_u8(&c, &format) || format != FACTS_FORMAT || !take_time(&c, &f.issued) ||
        !take_time(&c, &f.valid_until) || !sl_take_u8(&c, &has_cert) || has_cert > 1 ||
        !sl_take_lp16(&c, &f.name) || f.name.len > TLS_PEER_NAME_MAX || c.left == 0)
        return false;
    f.has_cert = has_cert;
    if (f.name.len > 0 && !f.has_cert)
        return false;
    f.session = sl_bytes(c.at, c.left);
    *ret = f;
    return true;
}

/* ---- keys ---- */

void tls_tickets_init(struct tls_tickets *t)
{
    *t = (struct tls_tickets){ 0 };
    mbedtls_gcm_init(&t->keys[0].gcm);
    mbedtls_gcm_init(&t->keys[1].gcm);
}

void tls_tickets_free(struct tls_tickets *t)
{
    mbedtls_gcm_free(&t->keys[0].gcm);
    mbedtls_gcm_free(&t->keys[1].gcm);
}

static bool draw_key(struct tls_ticket_key *k, int64_t now)
{
    uint8_t key[KEY_SIZE];
    mbedtls_gcm_free(&k->gcm);
    mbedtls_gcm_init(&k->gcm);
    k->live = crypto_random(key, sizeof key) == SL_OK &&
              crypto_random(k->name, sizeof k->name) == SL_OK &&
              mbedtls_gcm_setkey(&k->gcm, MBEDTLS_CIPHER_ID_AES, key, 8 * KEY_SIZE) == 0;
    k->since = now;
    crypto_wipe(key, sizeof key);
    return k->live;
}

/* The key to seal with. A clock that was set back also ends a key's time. */
static struct tls_ticket_key *fresh_key(struct tls_tickets *t, int64_t now)
{
    struct tls_ticket_key *k = &t->keys[t->current];
    if (k->live && now >= k->since && now - k->since < TLS_TICKET_LIFE_S)
        return k;
    if (k->live)
        t->current ^= 1;
    k = &t->keys[t->current];
    return draw_key(k, now) ? k : NULL;
}

size_t tls_tickets_seal(struct tls_tickets *t, int64_t now, uint8_t *out, size_t len, size_t room)
{
    struct tls_ticket_key *k = fresh_key(t, now);
    uint8_t *nonce = out + TLS_TICKET_KEY_NAME, *body = out + TLS_TICKET_HEAD;
    size_t total = TLS_TICKET_HEAD + len + TLS_TICKET_TAG;
    if (!k || len == 0 || room < total || crypto_random(nonce, TLS_TICKET_NONCE) != SL_OK)
        return 0;
    memcpy(out, k->name, TLS_TICKET_KEY_NAME);
    int rc =
        mbedtls_gcm_crypt_and_tag(&k->gcm, MBEDTLS_GCM_ENCRYPT, len, nonce, TLS_TICKET_NONCE, out,
                                  TLS_TICKET_KEY_NAME, body, body, TLS_TICKET_TAG, body + len);
    return rc == 0 ? total : 0;
}

static struct tls_ticket_key *find_key(struct tls_tickets *t, const uint8_t *name)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(t->keys); i++)
        if (t->keys[i].live && memcmp(t->keys[i].name, name, TLS_TICKET_KEY_NAME) == 0)
            return &t->keys[i];
    return NULL;
}

bool tls_tickets_open(struct tls_tickets *t, int64_t now, uint8_t *ticket, size_t len,
                      struct tls_ticket_facts *ret)
{
    if (len <= TLS_TICKET_HEAD + TLS_TICKET_TAG)
        return false;
    struct tls_ticket_key *k = find_key(t, ticket);
    size_t sealed = len - TLS_TICKET_HEAD - TLS_TICKET_TAG;
    uint8_t *body = ticket + TLS_TICKET_HEAD;
    struct tls_ticket_facts f;
    if (!k ||
        mbedtls_gcm_auth_decrypt(&k->gcm, sealed, ticket + TLS_TICKET_KEY_NAME, TLS_TICKET_NONCE,
                                 ticket, TLS_TICKET_KEY_NAME, body + sealed, TLS_TICKET_TAG, body,
                                 body) != 0 ||
        !tls_ticket_unpack(sl_bytes(body, sealed), &f))
        return false;
    if (now < f.issued || now - f.issued >= TLS_TICKET_LIFE_S || now >= f.valid_until)
        return false;
    *ret = f;
    return true;
}
