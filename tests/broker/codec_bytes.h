/* codec_bytes.h - packets for tests, written so that one can read them.
 *
 * "10 [ 'MQTT' 04 02 003c 'me' ]" is: hexadecimal bytes; 'text' as MQTT's string (a 16-bit length
 * before it); <text> as bare bytes; [ ... ] with its length before it as a variable byte integer.
 */
#ifndef TESTS_CODEC_BYTES_H
#define TESTS_CODEC_BYTES_H

#include "base/buf.h"

/* Appends what text says; stops the test program when text makes no sense. */
void put_bytes(struct sl_buf *out, const char *text);

#endif
