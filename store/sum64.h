/* sum64.h - a fast checksum against rot, eight bytes a step. Not a CRC and no defence against
 * people. No state; the same on every machine. */
#ifndef STORE_SUM64_H
#define STORE_SUM64_H

#include <stddef.h>
#include <stdint.h>

/* Begin with any number, and feed the result to go on. Where one piece ends counts. A change within
 * eight bytes always shows. */
uint64_t sum64_add(uint64_t sum, const void *p, size_t n);

/* What is stored of it. */
static inline uint32_t sum64_fold(uint64_t sum)
{
    return (uint32_t)(sum ^ sum >> 32);
}

#endif
