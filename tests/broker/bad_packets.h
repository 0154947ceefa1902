/* bad_packets.h - packets that break the standard, each by itself: bytes, the reason that the
 * standard has for it, and its clause. The codec's tests and the broker's share them. */
#ifndef TESTS_BAD_PACKETS_H
#define TESTS_BAD_PACKETS_H

#include "broker/mqtt.h"

enum { V31 = 1 << 3, V311 = 1 << 4, V5 = 1 << 5, OLD = V31 | V311, ALL = OLD | V5 };
enum from { CLIENT, SERVER };

struct bad_packet {
    const char *name;
    unsigned versions; /* in which it is wrong */
    enum from from;
    const char *bytes; /* in the language of codec_bytes.h */
    uint8_t want;
    const char *clause;
};

extern const struct bad_packet bad_packets[];
extern const size_t bad_packet_count;

#endif
