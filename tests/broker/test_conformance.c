/* test_conformance.c - CONNECT, CONNACK, wills, sessions, DISCONNECT: what the standards say,
 * played against the broker. docs/mqtt-conformance.md says which statement each of these holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

static void qos_0_only(struct broker_options *o)
{
    o->max_qos = 0;
}

static void qos_1_at_most(struct broker_options *o)
{
    o->max_qos = 1;
}

static void no_retain(struct broker_options *o)
{
    o->retain = false;
}

static void refuse_everybody(struct broker_options *o)
{
    o->anonymous = false;
}

static void short_keep_alive(struct broker_options *o)
{
    o->max_keep_alive_s = 20;
}

static const struct script scripts[] = {
    /* ---- CONNECT: first, once, the right protocol ---- */
    { "a packet before CONNECT ends it", "a~ 4\n a> c0 []\n a!", NULL },
    { "5: a packet before CONNECT ends it", "a~ 5\n a> 30 [ 't' [] <x> ]\n a!", NULL },
    { "5: AUTH before CONNECT ends it", "a~ 5\n a> f0 [ 18 [ 15 'm' ] ]\n a!", NULL },
    { "5: no CONNACK, no DISCONNECT", "a~ 5\n a> e0 []\n a!", NULL },
    { "5: a second CONNECT ends it", "a: 5 me\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a! 82",
      NULL },
    { "a second CONNECT ends it", "a: 4 me\n a> 10 [ 'MQTT' 04 02 003c 'me' ]\n a!", NULL },
    { "a second CONNECT may send the will",
      "b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n a: 4 me will=w\n"
      "a> 10 [ 'MQTT' 04 02 003c 'me' ]\n a!\n b< 30 [ 'w' <gone> ]",
      NULL },
    { "another protocol name is refused",
      "a~ 4\n a> 10 [ 'HTTP' 04 02 003c 'me' ]\n a< 20 [ 00 01 ]\n a!", NULL },
    { "an unknown version is refused",
      "a~ 4\n a> 10 [ 'MQTT' 06 02 003c 'me' ]\n a< 20 [ 00 01 ]\n a!", NULL },
    { "3.1 is spoken", "a~ 3\n a> 10 [ 'MQIsdp' 03 02 003c 'me' ]\n a< 20 [ 00 00 ]\n a.", NULL },
    { "3.1: session present is not said",
      "a: 3 me clean=0\n a-\n a~ 3\n a> 10 [ 'MQIsdp' 03 00 003c 'me' ]\n a< 20 [ 00 00 ]\n a.",
      NULL },
    { "3.1: a longer client id than 23 bytes is taken",
      "a~ 3\n a> 10 [ 'MQIsdp' 03 02 003c 'abcdefghijklmnopqrstuvwxyz' ]\n a< 20 [ 00 00 ]\n a.",
      NULL },
    { "3.1: no client id is refused",
      "a~ 3\n a> 10 [ 'MQIsdp' 03 02 003c '' ]\n a< 20 [ 00 02 ]\n a!", NULL },
    { "3.1: a repeated SUBSCRIBE may carry DUP",
      "a: 3 me\n a> 8a [ 0001 't' 01 ]\n a< 90 [ 0001 01 ]\n a.", NULL },
    { "3.1: publish and subscribe",
      "a: 3 me\n a> 82 [ 0001 't' 02 ]\n a< 90 [ 0001 02 ]\n a> 34 [ 't' 0007 <x> ]\n"
      "a? 30 50\n a> 50 [ 0001 ]\n a< 62 [ 0001 ]\n a> 70 [ 0001 ]\n a> 62 [ 0007 ]\n a< 70 [ 0007 "
      "]\n a.",
      NULL },
    { "the reserved connect flag ends it", "a~ 4\n a> 10 [ 'MQTT' 04 03 003c 'me' ]\n a!", NULL },
    { "5: the reserved connect flag ends it",
      "a~ 5\n a> 10 [ 'MQTT' 05 03 003c [] 'me' ]\n a* 00 81\n a!", NULL },
    { "a CONNECT that is wrong gets no CONNACK", "a~ 4\n a> 10 [ 'MQTT' 04 02 003c ]\n a!", NULL },
    { "user name and password are where the flags say",
      "a~ 4\n a> 10 [ 'MQTT' 04 c2 003c 'me' 'user' 'pass' ]\n a< 20 [ 00 00 ]\n a.", NULL },
    { "a user name nobody announced ends it", "a~ 4\n a> 10 [ 'MQTT' 04 02 003c 'me' 'user' ]\n a!",
      NULL },
    { "an announced user name is missing", "a~ 4\n a> 10 [ 'MQTT' 04 82 003c 'me' ]\n a!", NULL },
    { "a password nobody announced ends it",
      "a~ 4\n a> 10 [ 'MQTT' 04 82 003c 'me' 'user' 'pass' ]\n a!", NULL },
    { "an announced password is missing", "a~ 4\n a> 10 [ 'MQTT' 04 c2 003c 'me' 'user' ]\n a!",
      NULL },
    { "a password without a user name ends it",
      "a~ 4\n a> 10 [ 'MQTT' 04 42 003c 'me' 'pass' ]\n a!", NULL },
    { "5: a password without a user name is taken",
      "a~ 5\n a> 10 [ 'MQTT' 05 42 003c [] 'me' 'pass' ]\n a* ^20\n a.", NULL },
    { "the payload's fields come in order",
      "a~ 4\n a> 10 [ 'MQTT' 04 c6 003c 'me' 'w' 'm' 'user' 'pass' ]\n a< 20 [ 00 00 ]\n a.",
      NULL },
    { "nothing after a refused CONNECT is looked at",
      "b: 5 s\n b> 82 [ 0001 [] 't' 00 ]\n b? 90\n a~ 5\n"
      "a> 10 [ 'MQTT' 05 02 003c [ 15 'm' ] 'me' ] 30 [ 't' [] <x> ]\n a* 00 8c\n a!\n b.",
      NULL },
    { "what follows CONNECT at once is taken",
      "a~ 4\n a> 10 [ 'MQTT' 04 02 003c 'me' ] c0 []\n a< 20 [ 00 00 ]\n a< d0 []\n a.", NULL },

    /* ---- client ids ---- */
    { "all letters and digits make client ids",
      "a~ 4\n a> 10 [ 'MQTT' 04 02 003c '0123456789abcdefghijklm' ]\n a< 20 [ 00 00 ]\n"
      "b~ 4\n b> 10 [ 'MQTT' 04 02 003c 'nopqrstuvwxyzABCDEFGHIJ' ]\n b< 20 [ 00 00 ]\n"
      "c~ 4\n c> 10 [ 'MQTT' 04 02 003c 'KLMNOPQRSTUVWXYZ' ]\n c< 20 [ 00 00 ]\n a.\n b.\n c.",
      NULL },
    { "5: a client without an id is told one",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] '' ]\n a* 12 0015 <auto->\n a.", NULL },
    { "a client without an id, clean, is let in",
      "a~ 4\n a> 10 [ 'MQTT' 04 02 003c '' ]\n a< 20 [ 00 00 ]\n a.", NULL },
    { "a client without an id, not clean, is refused",
      "a~ 4\n a> 10 [ 'MQTT' 04 00 003c '' ]\n a< 20 [ 00 02 ]\n a!", NULL },
    { "two clients without an id do not meet",
      "a~ 4\n a> 10 [ 'MQTT' 04 02 003c '' ]\n a? 20\n"
      "b~ 4\n b> 10 [ 'MQTT' 04 02 003c '' ]\n b? 20\n a.\n b.",
      NULL },

    /* ---- sessions ---- */
    { "5: clean start forgets the session",
      "a: 5 me exp=100\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n a-\n a: 5 me exp=100 sp=0\n"
      "b: 5 p\n b> 30 [ 't' [] <x> ]\n a.",
      NULL },
    { "clean session forgets the session",
      "a: 4 me clean=0\n a> 82 [ 0001 't' 01 ]\n a? 90\n a-\n a: 4 me sp=0\n"
      "b: 4 p\n b> 30 [ 't' <x> ]\n a.",
      NULL },
    { "5: without clean start the session goes on",
      "a: 5 me exp=100\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n a-\n"
      "b: 5 p\n b> 32 [ 't' 0001 [] <x> ]\n b? 40\n a: 5 me clean=0 exp=100 sp=1\n"
      "a< 32 [ 't' 0001 [] <x> ]\n a.",
      NULL },
    { "without clean session the session goes on",
      "a: 4 me clean=0 sp=0\n a> 82 [ 0001 't' 02 ]\n a? 90\n a-\n b: 4 p\n"
      "b> 32 [ 't' 0001 <x> ]\n b? 40\n b> 34 [ 't' 0002 <y> ]\n b? 50\n b> 62 [ 0002 ]\n b? 70\n"
      "a: 4 me clean=0 sp=1\n a< 32 [ 't' 0001 <x> ]\n a< 34 [ 't' 0002 <y> ]\n a.",
      NULL },
    { "5: without a session clean start changes nothing", "a: 5 me clean=0 exp=5 sp=0\n a.", NULL },
    { "5: the session ends after its expiry",
      "a: 5 me exp=5\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n a-\n +6\n a: 5 me clean=0 sp=0\n a.",
      NULL },
    { "5: the session lasts until its expiry",
      "a: 5 me exp=5\n a-\n +4\n a: 5 me clean=0 sp=1\n a.", NULL },
    { "5: without an expiry the session ends with the connection",
      "a: 5 me\n a-\n a: 5 me clean=0 sp=0\n a.", NULL },
    { "a clean session ends with the connection", "a: 4 me\n a-\n a: 4 me clean=0 sp=0\n a.",
      NULL },
    { "a session is not lost while its client is there",
      "a: 5 me exp=5 keep=100\n a> 82 [ 0001 [] 't' 00 ]\n a? 90\n +60\n b: 5 p\n"
      "b> 30 [ 't' [] <x> ]\n a< 30 [ 't' [] <x> ]\n a.",
      NULL },
    { "retained messages outlive their session",
      "a: 4 me\n a> 31 [ 't' <x> ]\n a-\n b: 4 s\n b> 82 [ 0001 't' 00 ]\n b? 90\n"
      "b< 31 [ 't' <x> ]\n b.",
      NULL },
    { "5: DISCONNECT may change the session's expiry",
      "a: 5 me exp=100\n a> e0 [ 00 [ 11 00000002 ] ]\n a!\n +3\n a: 5 me clean=0 sp=0\n a.",
      NULL },
    { "5: DISCONNECT may end the session",
      "a: 5 me exp=100\n a> e0 [ 00 [ 11 00000000 ] ]\n a!\n a: 5 me clean=0 sp=0\n a.", NULL },
    { "5: DISCONNECT cannot make a session of none",
      "a: 5 me\n a> e0 [ 00 [ 11 00000005 ] ]\n a! 82", NULL },

    /* ---- take-over ---- */
    { "5: a session is taken over", "a: 5 me\n b: 5 me\n a! 8e\n b.", NULL },
    { "a session is taken over", "a: 4 me\n b: 4 me\n a!\n b.", NULL },
    { "5: a session is taken over with what waits",
      "a: 5 me exp=9\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n c: 5 p\n c> 32 [ 't' 0001 [] <x> ]\n"
      "c? 40\n a? 30\n b: 5 me clean=0 exp=9 sp=1\n a! 8e\n b< 3a [ 't' 0001 [] <x> ]\n b.",
      NULL },

    /* ---- CONNACK ---- */
    { "5: CONNACK says what the broker allows",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n"
      "a* 21 0004\n a.",
      NULL },
    { "5: CONNACK names the largest packet",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* 27 00010000\n a.", NULL },
    { "5: CONNACK names the topic alias maximum",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* 22 0004\n a.", NULL },
    { "5: CONNACK does not limit QoS when there is no limit",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a^ 24 02\n a.", NULL },
    { "5: CONNACK names the highest QoS",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* 24 01\n a.", qos_1_at_most },
    { "5: CONNACK says that nothing is retained",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* 25 00\n a.", no_retain },
    { "5: CONNACK names a shorter session expiry",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 11 ffffffff ] 'me' ]\n a* 11 000003e8\n a.", NULL },
    { "5: the broker's keep alive is told when it is another",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* 13 0014\n a.", short_keep_alive },
    { "5: the broker's keep alive counts when it is told",
      "a: 5 me keep=60\n +29\n a.\n +2\n a! 8d", short_keep_alive },
    { "5: the client's keep alive counts when no other is told",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 000a [] 'me' ]\n a^ 13\n +14\n a.\n +2\n a! 8d",
      short_keep_alive },
    { "5: response information is never sent",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 19 01 ] 'me' ]\n a^ 1a\n a.", NULL },
    { "5: a refusal says why",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [] 'me' ]\n a* <no user name>\n a!", refuse_everybody },
    { "5: a refusal does not say why to who does not ask",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 17 00 ] 'me' ]\n a< 20 [ 00 87 [] ]\n a!",
      refuse_everybody },
    { "5: a refusal is as short as the client takes",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 27 00000014 ] 'me' ]\n a< 20 [ 00 87 [] ]\n a!",
      refuse_everybody },
    { "5: a refusal that does not fit is silent",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 27 00000004 ] 'me' ]\n a!", refuse_everybody },
    { "5: a CONNACK that does not fit is silent",
      "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ 27 0000000a ] 'me' ]\n a!", NULL },
    { "a refusal ends the connection",
      "a~ 4\n a> 10 [ 'MQTT' 04 02 003c 'me' ]\n a< 20 [ 00 05 ]\n a!", refuse_everybody },
    { "a refusal has no session",
      "a: 4 me clean=0\n a-\n a~ 4\n a> 10 [ 'MQTT' 04 04 003c 'me' '$w' '' ]\n a< 20 [ 00 03 ]\n"
      "a!",
      NULL },
    { "CONNACK comes before what waits",
      "a: 4 me clean=0\n a> 82 [ 0001 't' 01 ]\n a? 90\n a-\n b: 4 p\n b> 32 [ 't' 0001 <x> ]\n"
      "b? 40\n a~ 4\n a> 10 [ 'MQTT' 04 00 003c 'me' ]\n a< 20 [ 01 00 ]\n a? 30\n a.",
      NULL },
    { "there is one CONNACK",
      "a: 4 me\n a> c0 []\n a< d0 []\n a> 82 [ 0001 't' 00 ]\n a< 90 [ 0001 00 ]\n a.", NULL },

    /* ---- keep alive ---- */
    { "silence of one and a half times keep alive ends it", "a: 4 me keep=10\n +14\n a.\n +2\n a!",
      NULL },
    { "a ping keeps it alive", "a: 4 me keep=10\n +14\n a> c0 []\n a< d0 []\n +14\n a.", NULL },
    { "keep alive 0 never ends it", "a: 4 me keep=0\n +7200\n a.", NULL },
    { "a keep alive that passed sends the will",
      "b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n a: 4 me keep=10 will=w\n +16\n a!\n"
      "b< 30 [ 'w' <gone> ]",
      NULL },

    /* ---- wills ---- */
    { "a lost connection's will is published",
      "b: 4 s\n b> 82 [ 0001 'w' 02 ]\n b? 90\n a: 4 me will=w wq=2\n a-\n"
      "b< 34 [ 'w' 0001 <gone> ]\n b.",
      NULL },
    { "a will that is not retained",
      "a: 4 me will=w\n a-\n b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n b.", NULL },
    { "a will that is retained",
      "a: 4 me will=w wr=1\n a-\n b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n b< 31 [ 'w' <gone> ]\n "
      "b.",
      NULL },
    { "DISCONNECT takes the will back",
      "b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n a: 4 me will=w\n a> e0 []\n a!\n b.", NULL },
    { "5: DISCONNECT takes the will back",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me will=w\n a> e0 []\n a!\n b.", NULL },
    { "5: DISCONNECT with the will sends it",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me will=w\n a> e0 [ 04 ]\n a!\n"
      "b< 30 [ 'w' [] <gone> ]\n b.",
      NULL },
    { "a will is sent once",
      "b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n a: 4 me clean=0 will=w\n a-\n"
      "b< 30 [ 'w' <gone> ]\n a: 4 me clean=0\n a-\n b.",
      NULL },
    { "without a will nothing is sent",
      "b: 4 s\n b> 82 [ 0001 '#' 00 ]\n b? 90\n a: 4 me\n a-\n b.", NULL },
    { "5: a will waits for its delay",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me exp=100 will=w wd=5\n a-\n +4\n b.\n"
      "+2\n b< 30 [ 'w' [] <gone> ]\n +100\n b.",
      NULL },
    { "5: a will comes with the session's end at the latest",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me exp=3 will=w wd=50\n a-\n +2\n b.\n"
      "+2\n b< 30 [ 'w' [] <gone> ]\n b.",
      NULL },
    { "5: a client that is back in time takes its will back",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me exp=100 will=w wd=5\n a-\n +2\n"
      "a: 5 me clean=0 exp=100 sp=1\n +10\n b.",
      NULL },
    { "5: a session that is thrown away sends its will",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a: 5 me exp=100 will=w wd=50\n a-\n +2\n b.\n"
      "a: 5 me\n b< 30 [ 'w' [] <gone> ]\n b.",
      NULL },
    { "a take-over sends the will",
      "b: 4 s\n b> 82 [ 0001 'w' 00 ]\n b? 90\n a: 4 me will=w\n c: 4 me\n a!\n"
      "b< 30 [ 'w' <gone> ]\n b.",
      NULL },
    { "5: a will keeps its properties in order",
      "b: 5 s\n b> 82 [ 0001 [] 'w' 00 ]\n b? 90\n a~ 5\n"
      "a> 10 [ 'MQTT' 05 06 003c [] 'me' [ 26 'k' '2' 01 01 26 'k' '1' 03 'c' ] 'w' 'm' ]\n"
      "a? 20\n a-\n b< 30 [ 'w' [ 26 'k' '2' 01 01 26 'k' '1' 03 'c' ] <m> ]\n b.",
      NULL },
    { "5: a will's QoS above the highest is refused",
      "a~ 5\n a> 10 [ 'MQTT' 05 16 003c [] 'me' [] 'w' 'm' ]\n a* 00 9b\n a!", qos_1_at_most },
    { "5: a will to be retained is refused",
      "a~ 5\n a> 10 [ 'MQTT' 05 26 003c [ 17 00 ] 'me' [] 'w' 'm' ]\n a< 20 [ 00 9a [] ]\n a!",
      no_retain },

    /* ---- DISCONNECT ---- */
    { "DISCONNECT ends it without a word", "a: 4 me\n a> e0 []\n a!", NULL },
    { "nothing after DISCONNECT is looked at",
      "b: 4 s\n b> 82 [ 0001 't' 00 ]\n b? 90\n a: 4 me\n a> e0 [] 30 [ 't' <x> ]\n a!\n b.",
      NULL },
    { "5: a fault is explained", "a: 5 me\n a> 82 [ 0001 [] ]\n a* <MQTT-3.8.3-2>\n a!", NULL },
    { "5: a fault is not explained to who does not ask",
      "a: 5 me info=0\n a> 82 [ 0001 [] ]\n a< e0 [ 82 ]\n a!", NULL },
    { "5: an explanation that does not fit is left out",
      "a: 5 me max=40\n a> 82 [ 0001 [] ]\n a< e0 [ 82 ]\n a!", NULL },
    { "5: the broker's DISCONNECT has no session expiry",
      "a: 5 me exp=100\n a> 82 [ 0001 [] ]\n a^ 11 00\n a!", NULL },

    /* ---- QoS that is not supported ---- */
    { "5: a QoS above the highest ends it", "a: 5 me\n a> 32 [ 't' 0001 [] <x> ]\n a! 9b",
      qos_0_only },
    { "5: a filter's QoS is lowered to the highest",
      "a: 5 me\n a> 82 [ 0001 [] 'a' 00 'b' 01 'c' 02 ]\n a< 90 [ 0001 [] 00 00 00 ]\n a.",
      qos_0_only },
    { "5: retaining where nothing is retained ends it", "a: 5 me\n a> 31 [ 't' [] <x> ]\n a! 9a",
      no_retain },
};

/* ---- what does not fit into a script ---- */

static void large_packets(struct broker_options *o)
{
    o->max_packet_size = 200000;
    o->max_queued_bytes = 200000;
}

static void a_client_id_too_long_is_refused(void **state)
{
    static const enum mqtt_version versions[] = { MQTT_V31, MQTT_V311, MQTT_V5 };
    static const uint8_t wants[] = { 2, 2, MQTT_RC_CLIENT_ID_INVALID };
    char id[BROKER_CLIENT_ID_MAX + 1];
    struct rig r;
    (void)state;
    rig_open(&r, NULL);
    memset(id, 'i', sizeof id);
    for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
        struct peer p;
        struct mqtt_connack ack;
        peer_open(&p, &r, versions[i]);
        peer_send_connect(&p, &(struct mqtt_connect){ .version = versions[i],
                                                      .clean_start = true,
                                                      .client_id = sl_bytes(id, sizeof id) });
        struct mqtt_frame f = peer_next(&p, MQTT_CONNACK);
        assert_int_equal(mqtt_decode_connack(&f, versions[i], &ack, NULL), MQTT_RC_SUCCESS);
        assert_int_equal(ack.reason, wants[i]);
        assert_false(p.open);
        sl_buf_free(&p.received);
    }
    rig_close(&r);
}

static void the_longest_topic_goes_through(void **state)
{
    static char topic[65536];
    struct rig r;
    struct peer p;
    (void)state;
    rig_open(&r, large_packets);
    peer_online(&p, &r, MQTT_V311, "me");
    peer_subscribe(&p, "#", 0);
    memset(topic, 't', sizeof topic - 1);
    peer_publish(&p, topic, "x", 0, false, 0);
    struct mqtt_publish m = peer_next_publish(&p);
    assert_int_equal(m.topic.len, 65535);
    assert_int_equal(m.payload.len, 1);
    peer_drop(&p);
    rig_close(&r);
}

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(scripts) + 2] = {
        cmocka_unit_test(a_client_id_too_long_is_refused),
        cmocka_unit_test(the_longest_topic_goes_through),
    };
    script_tests(tests + 2, scripts, SL_ARRAY_LEN(scripts));
    return _cmocka_run_group_tests("conformance: connections", tests, SL_ARRAY_LEN(tests), NULL,
                                   NULL);
}
