/* sum64.c - xor a word in, multiply, shift: each step can be undone, so that no word is lost. */
#include "sum64.h"

#define ODD UINT64_C(0x9e3779b97f4a7c15) /* 2^64 divided by the golden ratio */

static uint64_t step(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * ODD;
    return sum ^ sum >> 29;
}

static uint64_t word_at(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

uint64_t sum64_add(uint64_t sum, const void *p, size_t n)
{
    const uint8_t *at = p;
    size_t left = n;
    for (; left >= 8; left -= 8, at += 8)
        sum = step(sum, word_at(at));
    uint64_t rest = 0;
    for (size_t i = 0; i < left; i++)
        rest |= (uint64_t)at[i] << (8 * i);
    return step(step(sum, rest), n);
}
