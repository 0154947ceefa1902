/* finish.h - what was not written is worked out from what was. Private to config/. */
#ifndef CONFIG_FINISH_H
#define CONFIG_FINISH_H

#include "reader.h"

/* After config_fill(). Sets r->nomem. Complains only about templates it has to resolve. */
void config_finish(struct config_reader *r);

/* An IP address as IPv6 (IPv4 mapped into it); false when it is none. */
SL_NODISCARD bool config_address(const char *text, uint8_t ret[16]);
/* 127.0.0.0/8 and ::1. False also for what is no address. */
bool config_is_loopback(const char *text);
/* Whether anybody on the network can reach the listener and no certificate is asked for. */
bool config_listener_is_open(const struct config_listener *l);

#endif
