/* crc32.h - the checksum of stored rows (CRC-32 as in IEEE 802.3). No state. */
#ifndef STORE_CRC32_H
#define STORE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Begin with 0, and feed the result to go on. */
uint32_t crc32_add(uint32_t crc, const void *p, size_t n);

#endif
