/* slice.c - UTF-8 validity, hashing, copies. */
#include "base/slice.h"

#include <stdlib.h>

char *sl_slice_dup(struct sl_slice s)
{
    if (s.len > 0 && memchr(s.ptr, 0, s.len))
        return NULL;
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

/* The length of the well-formed sequence at p, 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t mask, lead, len, min2, max2; /* bounds of the second byte when lead is exact */
    } forms[] = {
        { 0xE0, 0xC0, 2, 0x80, 0xBF },
        { 0xF0, 0xE0, 3, 0x80, 0xBF },
        { 0xF8, 0xF0, 4, 0x80, 0xBF },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(forms); i++) {
        if ((p[0] & forms[i].mask) != forms[i].lead)
            continue;
        size_t n = forms[i].len;
        if (n > left || p[0] < 0xC2 || p[0] > 0xF4)
            return 0;
        for (size_t k = 1; k < n; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        bool bad = (p[0] == 0xE0 && p[1] < 0xA0) || /* overlong */
                   (p[0] == 0xED && p[1] > 0x9F) || /* surrogates */
                   (p[0] == 0xF0 && p[1] < 0x90) || /* overlong */
                   (p[0] == 0xF4 && p[1] > 0x8F);   /* above U+10FFFF */
        return bad ? 0 : n;
    }
    return 0;
}

/* Whether eight bytes are all ASCII and none is NUL: taking 1 from a byte of 0 sets its top bit. */
static bool is_plain_word(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return ((w | (w - ones)) & (ones << 7)) == 0;
}

bool sl_utf8_valid(struct sl_slice s)
{
    size_t i = 0;
    while (i < s.len) {
        if (s.len - i >= 8 && is_plain_word(s.ptr + i)) {
            i += 8;
            continue;
        }
        if (s.ptr[i] < 0x80) {
            if (s.ptr[i] == 0)
                return false;
            i++;
            continue;
        }
        size_t n = utf8_sequence(s.ptr + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

uint32_t sl_hash(struct sl_slice s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.ptr[i]) * 16777619u;
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    return h;
}
