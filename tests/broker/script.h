/* script.h - conversations with the broker, written so that one can read them, and played.
 *
 * A script is a line a step. A letter from a to d is a connection; BYTES are those of
 * codec_bytes.h.
 *
 *   a: 5 me KEY=VALUE...   opens, connects (version 3, 4 or 5; client id; clean), reads CONNACK.
 *                          clean=0, exp=N session expiry, keep=N, rm=N receive maximum, max=N
 *                          maximum packet size, alias=N topic alias maximum, info=0 no problem
 *                          information, will=TOPIC, wq=N, wr=1, wd=N its QoS, retain, delay; sp=1:
 *                          CONNACK must say that there was a session
 *   a~ 5                   opens, and sends nothing
 *   a> BYTES               sends
 *   a< BYTES               the next packet is exactly this
 *   a* BYTES               the next packet has these bytes in it, beginning with its first if
 *                          BYTES begin with ^
 *   a^ BYTES               the next packet has them nowhere
 *   a? 90                  the next packet is of this type; or several, "90 30 30"
 *   a.                     nothing more has come, and the connection is open
 *   a! 82                  it is closed, after a DISCONNECT with that reason in version 5, and
 *                          nothing else; without a reason: closed with no word
 *   a-                     the connection breaks
 *   +5                     seconds pass
 */
#ifndef TESTS_BROKER_SCRIPT_H
#define TESTS_BROKER_SCRIPT_H

#include "peer.h"

enum { SCRIPT_PEERS = 4 };

struct script {
    const char *name;
    const char *text;
    void (*adjust)(struct broker_options *o); /* or NULL */
};

/* Plays it against a broker of its own; fails the test at the step that goes wrong. */
void script_play(const struct script *s);
/* Appends one test a script. */
void script_tests(struct CMUnitTest *tests, const struct script *scripts, size_t count);

#endif
