/* crypto.c - random bytes, hashes, base64 and password hashes. No state: randomness comes from the
 * kernel each time. May touch Mbed TLS's digests only. */
#include "base/crypto.h"

#include "base/text.h"
#include "tls_compat.h"

#include <assert.h>
#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <stdlib.h>
#include <sys/random.h>

#define HASH_LEN       64 /* SHA-512 */
#define SALT_LEN       12 /* of new hashes; what mosquitto_passwd uses and Mosquitto accepts */
#define SALT_MAX       64
#define ITERATIONS_MAX 10000000U
/* Of new hashes. A guess then costs the attacker a hundred times what mosquitto_passwd's default of
 * 101 makes him pay, and a connect on a small board still takes only some tens of milliseconds. */
#define ITERATIONS_NEW 10000U

enum sl_code crypto_random(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return SL_IO;
        at += got;
        n -= (size_t)got;
    }
    return SL_OK;
}

uint64_t crypto_random_below(uint64_t bound)
{
    assert(bound > 0);
    /* The numbers from here up would make the small remainders likelier. */
    const uint64_t fair = UINT64_MAX - UINT64_MAX % bound;
    uint64_t v;
    do {
        if (crypto_random(&v, sizeof v) != SL_OK)
            return 0;
    } while (v >= fair);
    return v % bound;
}

void crypto_sha256(struct sl_slice in, uint8_t out[32])
{
    int rc = mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), in.ptr, in.len, out);
    assert(rc == 0); /* it allocates nothing and every build has SHA-256 */
    (void)rc;
}

bool crypto_equal(struct sl_slice a, struct sl_slice b)
{
    if (a.len != b.len)
        return false;
    volatile uint8_t differs = 0; /* so that the loop is not left early by the optimiser */
    for (size_t i = 0; i < a.len; i++)
        differs = (uint8_t)(differs | (a.ptr[i] ^ b.ptr[i]));
    return differs == 0;
}

void crypto_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

void crypto_base64_put(struct sl_buf *out, struct sl_slice bytes)
{
    if (bytes.len > SL_BUF_MAX) {
        out->failed = true;
        return;
    }
    size_t room = (bytes.len + 2) / 3 * 4 + 1; /* Mbed TLS ends with a NUL */
    size_t written = 0;
    uint8_t *at = sl_buf_reserve(out, room);
    if (!at)
        return;
    int rc = mbedtls_base64_encode(at, room, &written, bytes.ptr, bytes.len);
    assert(rc == 0); /* only too little room can go wrong */
    (void)rc;
    out->len += written;
}

bool crypto_base64_take(struct sl_buf *out, struct sl_slice text)
{
    /* Mbed TLS would skip line ends and forgive missing padding. */
    if (text.len % 4 != 0 ||
        (text.len > 0 && (memchr(text.ptr, '\n', text.len) || memchr(text.ptr, '\r', text.len) ||
                          memchr(text.ptr, ' ', text.len))))
        return false;
    if (text.len == 0)
        return true;
    size_t room = text.len / 4 * 3;
    size_t written = 0;
    uint8_t *at = sl_buf_reserve(out, room);
    if (!at || mbedtls_base64_decode(at, room, &written, text.ptr, text.len) != 0)
        return false;
    out->len += written;
    return true;
}

enum sl_code password_hash(struct sl_slice password, struct sl_buf *out, struct sl_err *err)
{
    uint8_t salt[SALT_LEN], hash[HASH_LEN];
    if (crypto_random(salt, sizeof salt) != SL_OK)
        return sl_fail(err, SL_IO, "no random bytes from the system: %s", strerror(errno));
    if (tls_compat_pbkdf2_sha512(password, sl_bytes(salt, sizeof salt), ITERATIONS_NEW, hash) != 0)
        return sl_fail(err, SL_NOMEM, "out of memory");
    sl_buf_printf(out, "$7$%u$", ITERATIONS_NEW);
    crypto_base64_put(out, sl_bytes(salt, sizeof salt));
    sl_buf_put_u8(out, '$');
    crypto_base64_put(out, sl_bytes(hash, sizeof hash));
    crypto_wipe(hash, sizeof hash);
    return out->failed ? sl_fail(err, SL_NOMEM, "out of memory") : SL_OK;
}

/* Takes what stands before the next '$' (or the end) and that '$'. */
static struct sl_slice take_field(struct sl_cursor *c)
{
    const uint8_t *dollar = c->left > 0 ? memchr(c->at, '$', c->left) : NULL;
    size_t n = dollar ? (size_t)(dollar - c->at) : c->left;
    struct sl_slice field = { c->at, n };
    size_t skip = dollar ? n + 1 : n;
    c->at += skip;
    c->left -= skip;
    return field;
}

/* base64 text of 1 to max bytes into out. */
static bool decode(struct sl_slice text, uint8_t *out, size_t max, size_t *ret_len)
{
    if (text.len > (max + 2) / 3 * 4)
        return false;
    struct sl_buf bytes = { .max = max + 3 };
    bool fits = crypto_base64_take(&bytes, text) && bytes.len >= 1 && bytes.len <= max;
    if (fits) {
        memcpy(out, bytes.ptr, bytes.len);
        *ret_len = bytes.len;
    }
    sl_buf_free(&bytes);
    return fits;
}

static bool sha512_once(struct sl_slice password, struct sl_slice salt, uint8_t out[HASH_LEN])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    bool ok = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 0) == 0 &&
              mbedtls_md_starts(&md) == 0 &&
              mbedtls_md_update(&md, password.ptr, password.len) == 0 &&
              mbedtls_md_update(&md, salt.ptr, salt.len) == 0 && mbedtls_md_finish(&md, out) == 0;
    mbedtls_md_free(&md);
    return ok;
}

struct parsed_hash {
    uint64_t rounds; /* 0: one round of SHA-512 over password and salt */
    uint8_t salt[SALT_MAX], hash[HASH_LEN];
    size_t salt_len;
};

static bool parse_hash(struct sl_slice text, struct parsed_hash *ret)
{
    struct sl_cursor c = sl_cursor(text);
    if (take_field(&c).len != 0) /* it begins with '$' */
        return false;
    struct sl_slice scheme = take_field(&c);
    bool pbkdf2 = sl_slice_eq(scheme, sl_str("7"));
    if (!pbkdf2 && !sl_slice_eq(scheme, sl_str("6")))
        return false;
    ret->rounds = 0;
    if (pbkdf2 && (!sl_u64_parse(take_field(&c), &ret->rounds) || ret->rounds < 1 ||
                   ret->rounds > ITERATIONS_MAX))
        return false;
    size_t hash_len = 0;
    return decode(take_field(&c), ret->salt, sizeof ret->salt, &ret->salt_len) &&
           decode(sl_cursor_rest(&c), ret->hash, sizeof ret->hash, &hash_len) &&
           hash_len == HASH_LEN;
}

bool password_hash_valid(struct sl_slice hash)
{
    struct parsed_hash parsed;
    return parse_hash(hash, &parsed);
}

bool password_verify(struct sl_slice password, struct sl_slice hash)
{
    struct parsed_hash want;
    uint8_t got[HASH_LEN];
    if (!parse_hash(hash, &want))
        return false;
    struct sl_slice salt = sl_bytes(want.salt, want.salt_len);
    bool done = want.rounds == 0
                    ? sha512_once(password, salt, got)
                    : tls_compat_pbkdf2_sha512(password, salt, (unsigned)want.rounds, got) == 0;
    bool same = done && crypto_equal(sl_bytes(want.hash, HASH_LEN), sl_bytes(got, HASH_LEN));
    crypto_wipe(got, sizeof got);
    return same;
}
