/* codec_echo.h - decodes a packet of any type and encodes it again, for tests and the fuzzer. */
#ifndef TESTS_CODEC_ECHO_H
#define TESTS_CODEC_ECHO_H

#include "broker/mqtt.h"

/* How the properties go back: as the block that came, or field by field in the encoder's order with
 * only what may repeat taken from the block. */
enum echo_way { ECHO_RAW, ECHO_FIELDS };

/* The decoder's verdict. On success the packet is appended to out. A packet of a type that the
 * version does not know is 0x82. */
uint8_t echo(const struct mqtt_frame *f, enum mqtt_version v, bool from_server, enum echo_way way,
             struct sl_buf *out, const char **why);

#endif
