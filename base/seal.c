/* seal.c - see seal.h. May touch Mbed TLS's GCM and HMAC only. */
#include "base/seal.h"

#include "base/crypto.h"

#include <assert.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <stdlib.h>

enum { DRAWN = 16, COUNTED = 8, NONCE = 12, TAG = 16 };

static_assert(DRAWN + COUNTED + TAG == SEAL_OVERHEAD, "the header says so");
static_assert(NONCE + TAG == SEAL_NAME_OVERHEAD, "the header says so");

/* GCM with a key that follows from the owner's and what was drawn. */
struct derived {
    mbedtls_gcm_context gcm;
    uint8_t drawn[DRAWN];
    bool ready;
};

/* For names: HMAC gives the nonce, with a key for nothing else. */
struct names {
    mbedtls_md_context_t md;
    mbedtls_gcm_context gcm;
    bool ready; /* made when the first name comes */
};

struct sealer {
    uint8_t key[SEAL_KEY_BYTES];
    struct derived mine; /* to seal with */
    struct derived
        other; /* the last that something was opened with: rows of a sealer lie together */
    struct names names;
    uint64_t count;
};

/* ---- the key as text ---- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(struct sl_slice text, uint8_t ret[SEAL_KEY_BYTES])
{
    for (size_t i = 0; i < SEAL_KEY_BYTES; i++) {
        int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_base64(struct sl_slice text, uint8_t ret[SEAL_KEY_BYTES])
{
    struct sl_buf bytes = { 0 };
    bool ok = crypto_base64_take(&bytes, text) && bytes.len == SEAL_KEY_BYTES;
    if (ok)
        memcpy(ret, bytes.ptr, SEAL_KEY_BYTES);
    if (bytes.ptr)
        crypto_wipe(bytes.ptr, bytes.cap);
    sl_buf_free(&bytes);
    return ok;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool seal_key_parse(struct sl_slice text, uint8_t ret[SEAL_KEY_BYTES])
{
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    uint8_t key[SEAL_KEY_BYTES];
    bool ok = (text.len == 2 * SEAL_KEY_BYTES && parse_hex(text, key)) ||
              (text.len == 44 && parse_base64(text, key));
    if (ok)
        memcpy(ret, key, sizeof key);
    crypto_wipe(key, sizeof key);
    return ok;
}

/* ---- keys ---- */

/* HMAC-SHA256 of a word for the use and some bytes. False: no memory. */
static bool derive(const struct sealer *s, const char *use, struct sl_slice from, uint8_t ret[32])
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    bool ok = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0 &&
              mbedtls_md_hmac_starts(&md, s->key, sizeof s->key) == 0 &&
              mbedtls_md_hmac_update(&md, (const uint8_t *)use, strlen(use)) == 0 &&
              mbedtls_md_hmac_update(&md, from.ptr, from.len) == 0 &&
              mbedtls_md_hmac_finish(&md, ret) == 0;
    mbedtls_md_free(&md);
    return ok;
}

static bool set_derived(const struct sealer *s, struct derived *d, const uint8_t drawn[DRAWN])
{
    uint8_t key[32];
    memcpy(d->drawn, drawn, DRAWN);
    d->ready = derive(s, "sluice seal 1", sl_bytes(drawn, DRAWN), key) &&
               mbedtls_gcm_setkey(&d->gcm, MBEDTLS_CIPHER_ID_AES, key, 256) == 0;
    crypto_wipe(key, sizeof key);
    return d->ready;
}

enum sl_code sealer_new(struct sealer **ret, const uint8_t key[SEAL_KEY_BYTES], struct sl_err *err)
{
    uint8_t drawn[DRAWN];
    if (crypto_random(drawn, sizeof drawn) != SL_OK)
        return sl_fail(err, SL_IO, "the system gives no random numbers");
    struct sealer *s = calloc(1, sizeof *s);
    if (!s)
        return sl_fail(err, SL_NOMEM, "out of memory");
    memcpy(s->key, key, sizeof s->key);
    mbedtls_gcm_init(&s->mine.gcm);
    mbedtls_gcm_init(&s->other.gcm);
    mbedtls_gcm_init(&s->names.gcm);
    mbedtls_md_init(&s->names.md);
    if (!set_derived(s, &s->mine, drawn)) {
        sealer_free(s);
        return sl_fail(err, SL_NOMEM, "out of memory");
    }
    *ret = s;
    return SL_OK;
}

void sealer_free(struct sealer *s)
{
    if (!s)
        return;
    mbedtls_gcm_free(&s->mine.gcm); /* wipes */
    mbedtls_gcm_free(&s->other.gcm);
    mbedtls_gcm_free(&s->names.gcm);
    mbedtls_md_free(&s->names.md);
    crypto_wipe(s, sizeof *s);
    free(s);
}

void sealer_check(const struct sealer *s, struct sl_slice about, uint8_t ret[SEAL_CHECK_BYTES])
{
    uint8_t all[32] = { 0 };
    bool ok = derive(s, "sluice check 1", about, all);
    assert(ok); /* the same call worked when the sealer was made; it allocates a few bytes */
    (void)ok;
    memcpy(ret, all, SEAL_CHECK_BYTES);
}

/* ---- sealing ---- */

static void put_u64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

enum sl_code sealer_seal(struct sealer *s, struct sl_slice beside, struct sl_slice plain,
                         struct sl_buf *out)
{
    uint8_t nonce[NONCE] = { 0 };
    uint8_t *at = sl_buf_reserve(out, plain.len + SEAL_OVERHEAD);
    if (!at)
        return SL_NOMEM;
    put_u64(nonce + NONCE - COUNTED, s->count++);
    memcpy(at, s->mine.drawn, DRAWN);
    memcpy(at + DRAWN, nonce + NONCE - COUNTED, COUNTED);
    if (mbedtls_gcm_crypt_and_tag(&s->mine.gcm, MBEDTLS_GCM_ENCRYPT, plain.len, nonce, NONCE,
                                  beside.ptr, beside.len, plain.ptr, at + DRAWN + COUNTED, TAG,
                                  at + DRAWN + COUNTED + plain.len) != 0)
        return SL_NOMEM;
    out->len += plain.len + SEAL_OVERHEAD;
    return SL_OK;
}

enum sl_code sealer_open(struct sealer *s, struct sl_slice beside, struct sl_slice sealed,
                         struct sl_buf *out)
{
    if (sealed.len < SEAL_OVERHEAD)
        return SL_CORRUPT;
    size_t plain = sealed.len - SEAL_OVERHEAD;
    uint8_t nonce[NONCE] = { 0 };
    struct derived *d = &s->mine;
    if (memcmp(d->drawn, sealed.ptr, DRAWN) != 0) {
        d = &s->other;
        if ((!d->ready || memcmp(d->drawn, sealed.ptr, DRAWN) != 0) &&
            !set_derived(s, d, sealed.ptr))
            return SL_NOMEM;
    }
    memcpy(nonce + NONCE - COUNTED, sealed.ptr + DRAWN, COUNTED);
    uint8_t *at = sl_buf_reserve(out, plain + 1); /* also of nothing there is a place */
    if (!at)
        return SL_NOMEM;
    if (mbedtls_gcm_auth_decrypt(&d->gcm, plain, nonce, NONCE, beside.ptr, beside.len,
                                 sealed.ptr + sealed.len - TAG, TAG, sealed.ptr + DRAWN + COUNTED,
                                 at) != 0)
        return SL_CORRUPT;
    out->len += plain;
    return SL_OK;
}

/* ---- names ---- */

static enum sl_code make_names_ready(struct sealer *s)
{
    struct names *n = &s->names;
    uint8_t key[32];
    if (n->ready)
        return SL_OK;
    const mbedtls_md_info_t *sha = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    mbedtls_md_free(&n->md); /* of a try that failed */
    mbedtls_md_init(&n->md);
    n->ready = derive(s, "sluice name nonce 1", sl_str(""), key) &&
               mbedtls_md_setup(&n->md, sha, 1) == 0 &&
               mbedtls_md_hmac_starts(&n->md, key, sizeof key) == 0 &&
               derive(s, "sluice name 1", sl_str(""), key) &&
               mbedtls_gcm_setkey(&n->gcm, MBEDTLS_CIPHER_ID_AES, key, 256) == 0;
    crypto_wipe(key, sizeof key);
    return n->ready ? SL_OK : SL_NOMEM;
}

/* Where one ends and the other begins counts. */
static bool name_nonce(struct sealer *s, struct sl_slice beside, struct sl_slice name,
                       uint8_t ret[NONCE])
{
    mbedtls_md_context_t *md = &s->names.md;
    uint8_t len[8], all[32];
    put_u64(len, beside.len);
    bool ok = mbedtls_md_hmac_reset(md) == 0 && mbedtls_md_hmac_update(md, len, sizeof len) == 0 &&
              mbedtls_md_hmac_update(md, beside.ptr, beside.len) == 0 &&
              mbedtls_md_hmac_update(md, name.ptr, name.len) == 0 &&
              mbedtls_md_hmac_finish(md, all) == 0;
    memcpy(ret, all, NONCE);
    return ok;
}

enum sl_code sealer_seal_name(struct sealer *s, struct sl_slice beside, struct sl_slice name,
                              struct sl_buf *out)
{
    enum sl_code code = make_names_ready(s);
    uint8_t *at = code == SL_OK ? sl_buf_reserve(out, name.len + SEAL_NAME_OVERHEAD) : NULL;
    if (!at || !name_nonce(s, beside, name, at) ||
        mbedtls_gcm_crypt_and_tag(&s->names.gcm, MBEDTLS_GCM_ENCRYPT, name.len, at, NONCE,
                                  beside.ptr, beside.len, name.ptr, at + NONCE, TAG,
                                  at + NONCE + name.len) != 0)
        return SL_NOMEM;
    out->len += name.len + SEAL_NAME_OVERHEAD;
    return SL_OK;
}

enum sl_code sealer_open_name(struct sealer *s, struct sl_slice beside, struct sl_slice sealed,
                              struct sl_buf *out)
{
    if (sealed.len < SEAL_NAME_OVERHEAD)
        return SL_CORRUPT;
    size_t plain = sealed.len - SEAL_NAME_OVERHEAD;
    enum sl_code code = make_names_ready(s);
    uint8_t *at = code == SL_OK ? sl_buf_reserve(out, plain + 1) : NULL;
    if (!at)
        return SL_NOMEM;
    if (mbedtls_gcm_auth_decrypt(&s->names.gcm, plain, sealed.ptr, NONCE, beside.ptr, beside.len,
                                 sealed.ptr + sealed.len - TAG, TAG, sealed.ptr + NONCE, at) != 0)
        return SL_CORRUPT;
    out->len += plain;
    return SL_OK;
}
