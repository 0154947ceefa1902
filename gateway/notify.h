/* notify.h - telling systemd how we are (sd_notify's datagrams), without linking libsystemd. */
#ifndef GATEWAY_NOTIFY_H
#define GATEWAY_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; does nothing outside systemd.
 */
void notify_send(const char *state);
/* "RELOADING=1" with the time, which Type=notify-reload wants. */
void notify_reloading(void);
/* How often WATCHDOG=1 is wanted, half of systemd's limit, in ms; 0 for never. */
uint64_t notify_watchdog_ms(void);

#endif
