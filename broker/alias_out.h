/* alias_out.h - topic aliases towards one client (MQTT 5, 3.3.2.3.4).
 *
 * Only clients that ask (Topic Alias Maximum in CONNECT) own a table; everybody else pays nothing.
 * A topic's hash chooses its alias, so finding one is one comparison. A topic gets its alias when
 * it comes twice without the alias's present holder being sent in between: topics that are sent
 * again and again keep theirs, whatever passes by. Aliases end with the connection [MQTT-3.3.2-7].
 */
#ifndef BROKER_ALIAS_OUT_H
#define BROKER_ALIAS_OUT_H

#include "base/slice.h"

#define ALIAS_TOPIC_MIN 4    /* an alias takes three bytes: nothing is gained on shorter ones */
#define ALIAS_TOPIC_MAX 1024 /* bounds what a table holds: that many bytes an alias ... */
#define ALIAS_OUT_MAX   64   /* ... and that many aliases, whatever a client asks for */

struct alias_out;

struct alias_choice {
    uint16_t alias; /* 0: send the topic alone */
    bool known;     /* the client knows it: send it without the topic */
};

/* Aliases 1 to max. NULL when memory is out. */
SL_NODISCARD struct alias_out *alias_out_new(uint16_t max);
void alias_out_free(struct alias_out *a); /* accepts NULL */
struct alias_choice alias_out_choose(struct alias_out *a, struct sl_slice topic);
/* The packet that tells the client of a new alias is on its way. */
void alias_out_told(struct alias_out *a, struct alias_choice choice, struct sl_slice topic);

#endif
