/* metering.h - how AWS IoT Core counts what it charges for: a message is metered in steps of 5 KiB,
 * counting topic, payload and, with MQTT 5, user properties and the like. Pure. */
#ifndef BRIDGE_METERING_H
#define BRIDGE_METERING_H

#include <stdint.h>

#define BRIDGE_METER_BYTES 5120

/* Steps of a message of so many bytes; at least one. */
static inline uint64_t bridge_metered(uint64_t bytes)
{
    return bytes <= BRIDGE_METER_BYTES ? 1 : (bytes - 1) / BRIDGE_METER_BYTES + 1;
}

#endif
