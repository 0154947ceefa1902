/* test_conformance_publish.c - PUBLISH and its acknowledgements, both ways: what the standards say,
 * played against the broker. docs/mqtt-conformance.md says which statement each of these holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

/* b subscribes to everything at QoS 2. */
#define B_5 "b: 5 s rm=3\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
#define B_4 "b: 4 s\n b> 82 [ 0001 '#' 02 ]\n b? 90\n"
#define A_5 "a: 5 me\n"
#define A_4 "a: 4 me\n"

static void keep_one(struct broker_options *o)
{
    o->max_queued_messages = 1;
    o->max_inflight = 1;
}

static const struct script scripts[] = {
    /* ---- answers ---- */
    { "QoS 0 has no answer", A_4 B_4 "a> 30 [ 't' <x> ]\n b< 30 [ 't' <x> ]\n a.\n b.", NULL },
    { "QoS 1 is answered with PUBACK",
      A_4 B_4 "a> 32 [ 't' 1234 <x> ]\n a< 40 [ 1234 ]\n b< 32 [ 't' 0001 <x> ]\n a.\n b.", NULL },
    { "QoS 2 is answered with PUBREC, then PUBCOMP",
      A_4 B_4 "a> 34 [ 't' 1234 <x> ]\n a< 50 [ 1234 ]\n b< 34 [ 't' 0001 <x> ]\n"
              "a> 62 [ 1234 ]\n a< 70 [ 1234 ]\n a.\n b.",
      NULL },
    { "5: nobody subscribed is said", A_5 "a> 32 [ 't' 0001 [] <x> ]\n a< 40 [ 0001 10 ]\n a.",
      NULL },
    { "5: nobody subscribed is said in PUBREC",
      A_5 "a> 34 [ 't' 0001 [] <x> ]\n a< 50 [ 0001 10 ]\n a> 62 [ 0001 ]\n a< 70 [ 0001 ]\n a.",
      NULL },
    { "5: a refused publish says why", A_5 "a> 32 [ '$SYS/x' 0001 [] <x> ]\n a* <access list>\n a.",
      NULL },
    { "5: a refused QoS 2 publish says why",
      A_5 "a> 34 [ '$SYS/x' 0001 [] <x> ]\n a* <access list>\n a.", NULL },
    { "5: a refused publish does not say why to who does not ask",
      "a: 5 me info=0\n a> 32 [ '$SYS/x' 0001 [] <x> ]\n a< 40 [ 0001 87 ]\n a.", NULL },
    { "5: why does not fit in PUBACK",
      "a: 5 me max=50\n a> 32 [ '$SYS/x' 0001 [] <x> ]\n a< 40 [ 0001 87 ]\n a.", NULL },
    { "5: why does not fit in PUBREC",
      "a: 5 me max=50\n a> 34 [ '$SYS/x' 0001 [] <x> ]\n a< 50 [ 0001 87 ]\n a.", NULL },
    { "5: why does not fit in PUBCOMP", "a: 5 me max=50\n a> 62 [ 0001 ]\n a< 70 [ 0001 92 ]\n a.",
      NULL },
    { "5: why does not fit in PUBREL", "a: 5 me max=50\n a> 50 [ 0001 ]\n a< 62 [ 0001 92 ]\n a.",
      NULL },
    { "5: an unknown id in PUBREL says why", A_5 "a> 62 [ 0001 ]\n a* <nothing is in flight>\n a.",
      NULL },
    { "5: an unknown id in PUBREC says why", A_5 "a> 50 [ 0001 ]\n a* <nothing is in flight>\n a.",
      NULL },
    { "5: an acknowledgement of nothing is let pass",
      A_5 "a> 40 [ 0007 ]\n a> 70 [ 0007 ]\n a> c0 []\n a< d0 []\n a.", NULL },
    { "a refused publish is acknowledged all the same",
      A_4 B_4 "a> 32 [ '$SYS/x' 0001 <x> ]\n a< 40 [ 0001 ]\n b.\n a.", NULL },

    /* ---- flags ---- */
    { "DUP is not handed on",
      A_4 B_4 "a> 3a [ 't' 0001 <x> ]\n a< 40 [ 0001 ]\n b< 32 [ 't' 0001 <x> ]\n b.", NULL },
    { "DUP with QoS 0 ends it", A_4 "a> 38 [ 't' <x> ]\n a!", NULL },
    { "5: DUP with QoS 0 ends it", A_5 "a> 38 [ 't' [] <x> ]\n a! 81", NULL },
    { "QoS 3 ends it", A_4 "a> 36 [ 't' 0001 <x> ]\n a!", NULL },
    { "5: QoS 3 ends it", A_5 "a> 36 [ 't' 0001 [] <x> ]\n a! 81", NULL },
    { "what is sent again has DUP, QoS 1",
      "a: 4 me clean=0\n a> 82 [ 0001 't' 01 ]\n a? 90\n b: 4 p\n b> 32 [ 't' 0001 <x> ]\n b? 40\n"
      "a< 32 [ 't' 0001 <x> ]\n a-\n a: 4 me clean=0 sp=1\n a< 3a [ 't' 0001 <x> ]\n"
      "a> 40 [ 0001 ]\n a-\n a: 4 me clean=0 sp=1\n a.",
      NULL },
    { "what is sent again has DUP, QoS 2",
      "a: 4 me clean=0\n a> 82 [ 0001 't' 02 ]\n a? 90\n b: 4 p\n b> 34 [ 't' 0001 <x> ]\n b? 50\n"
      "b> 62 [ 0001 ]\n b? 70\n a< 34 [ 't' 0001 <x> ]\n a-\n a: 4 me clean=0 sp=1\n"
      "a< 3c [ 't' 0001 <x> ]\n a> 50 [ 0001 ]\n a< 62 [ 0001 ]\n a-\n"
      "a: 4 me clean=0 sp=1\n a< 62 [ 0001 ]\n a> 70 [ 0001 ]\n a-\n a: 4 me clean=0 sp=1\n a.",
      NULL },
    { "nothing is sent again on a living connection",
      A_4 B_4 "a> 32 [ 't' 0001 <x> ]\n b< 32 [ 't' 0001 <x> ]\n +300\n b.", NULL },
    { "what is sent again keeps its order",
      "a: 4 me clean=0\n a> 82 [ 0001 '#' 02 ]\n a? 90\n b: 4 p\n b> 32 [ 't' 0001 <1> ]\n b? 40\n"
      "b> 34 [ 't' 0002 <2> ]\n b? 50\n b> 32 [ 't' 0003 <3> ]\n b? 40\n a? 30 30 30\n a-\n"
      "a: 4 me clean=0\n a< 3a [ 't' 0001 <1> ]\n a< 3c [ 't' 0002 <2> ]\n"
      "a< 3a [ 't' 0003 <3> ]\n a.",
      NULL },

    /* ---- topics ---- */
    { "a wildcard in a topic ends it", A_4 "a> 30 [ 'a/+' <x> ]\n a!", NULL },
    { "5: a wildcard in a topic ends it", A_5 "a> 30 [ 'a/#' [] <x> ]\n a! 90", NULL },
    { "a topic that is not UTF-8 ends it", A_4 "a> 30 [ 0002 c328 <x> ]\n a!", NULL },
    { "a topic with NUL ends it", A_4 "a> 30 [ 0003 610062 <x> ]\n a!", NULL },
    { "an empty topic ends it", A_4 "a> 30 [ '' <x> ]\n a!", NULL },
    { "a byte order mark stays in its topic",
      A_4 B_4 "a> 30 [ 0004 efbbbf 74 <x> ]\n b< 30 [ 0004 efbbbf 74 <x> ]\n b.", NULL },
    { "topics are not tidied up",
      A_4
      "b: 4 s\n b> 82 [ 0001 '/a//b' 00 ]\n b? 90\n a> 30 [ 'a/b' <x> ]\n a> 30 [ '/A//b' <x> ]\n"
      "a> 30 [ '/a//b' <y> ]\n b< 30 [ '/a//b' <y> ]\n b.",
      NULL },
    { "topics are case sensitive",
      A_4
      "b: 4 s\n b> 82 [ 0001 'a/B' 00 ]\n b? 90\n a> 30 [ 'a/b' <x> ]\n a> 30 [ 'A/B' <x> ]\n b.",
      NULL },

    /* ---- retained ---- */
    { "a retained message is kept with its QoS",
      A_4 "a> 33 [ 't' 0001 <x> ]\n a? 40\n" B_4 "b< 33 [ 't' 0001 <x> ]\n b.", NULL },
    { "a retained message replaces the one before",
      A_4 "a> 31 [ 't' <x> ]\n a> 31 [ 't' <y> ]\n" B_4 "b< 31 [ 't' <y> ]\n b.", NULL },
    { "an empty retained message forgets the one before",
      A_4 "c: 4 c\n c> 82 [ 0001 't' 00 ]\n c? 90\n a> 31 [ 't' <x> ]\n a> 31 [ 't' ]\n"
          "c< 30 [ 't' <x> ]\n c< 30 [ 't' ]\n c.\n" B_4 "b.",
      NULL },
    { "a message that is not retained leaves the retained one",
      A_4 "a> 31 [ 't' <x> ]\n a> 30 [ 't' <y> ]\n a> 30 [ 't' ]\n" B_4 "b< 31 [ 't' <x> ]\n b.",
      NULL },
    { "what comes as it is published is not flagged",
      A_4 B_4 "a> 31 [ 't' <x> ]\n b< 30 [ 't' <x> ]\n b.", NULL },
    { "5: retain as published keeps the flag",
      A_5
      "b: 5 s\n b> 82 [ 0001 [] 't' 08 ]\n b? 90\n a> 31 [ 't' [] <x> ]\n a> 30 [ 't' [] <y> ]\n"
      "b< 31 [ 't' [] <x> ]\n b< 30 [ 't' [] <y> ]\n b.",
      NULL },
    { "5: without retain as published the flag is cleared",
      A_5 "b: 5 s\n b> 82 [ 0001 [] 't' 00 ]\n b? 90\n a> 31 [ 't' [] <x> ]\n"
          "b< 30 [ 't' [] <x> ]\n b.",
      NULL },
    { "5: an expired retained message is not sent",
      A_5 "a> 31 [ 't' [ 02 00000005 ] <x> ]\n +6\n" B_5 "b.", NULL },
    { "5: a retained message's expiry is counted down",
      A_5 "a> 31 [ 't' [ 02 00000005 ] <x> ]\n +2\n" B_5 "b< 31 [ 't' [ 02 00000003 ] <x> ]\n b.",
      NULL },

    /* ---- properties ---- */
    { "5: properties are handed on",
      A_5 B_5 "a> 30 [ 't' [ 01 01 03 'json' 08 'answers' 09 'id7' ] <x> ]\n"
              "b< 30 [ 't' [ 01 01 03 'json' 08 'answers' 09 'id7' ] <x> ]\n b.",
      NULL },
    { "5: payload format is handed on, and the payload not judged",
      A_5 B_5 "a> 30 [ 't' [ 01 01 ] ff ]\n b< 30 [ 't' [ 01 01 ] ff ]\n b.", NULL },
    { "5: user properties keep their order",
      A_5 B_5 "a> 30 [ 't' [ 26 'b' '2' 26 'a' '1' 26 'b' '2' ] <x> ]\n"
              "b< 30 [ 't' [ 26 'b' '2' 26 'a' '1' 26 'b' '2' ] <x> ]\n b.",
      NULL },
    { "5: properties do not reach older clients",
      A_5 B_4 "a> 30 [ 't' [ 26 'b' '2' 03 'c' ] <x> ]\n b< 30 [ 't' <x> ]\n b.", NULL },
    { "5: a message without properties has an empty block",
      A_4 B_5 "a> 30 [ 't' <x> ]\n b< 30 [ 't' [] <x> ]\n b.", NULL },
    { "5: a response topic with a wildcard ends it", A_5 "a> 30 [ 't' [ 08 'a/+' ] <x> ]\n a! 82",
      NULL },
    { "5: a response topic that is not UTF-8 ends it",
      A_5 "a> 30 [ 't' [ 08 0001 ff ] <x> ]\n a! 81", NULL },
    { "5: a content type that is not UTF-8 ends it", A_5 "a> 30 [ 't' [ 03 0001 ff ] <x> ]\n a! 81",
      NULL },
    { "5: a user property that is not UTF-8 ends it",
      A_5 "a> 30 [ 't' [ 26 'k' 0001 ff ] <x> ]\n a! 81", NULL },
    { "5: a client's subscription identifier ends it", A_5 "a> 30 [ 't' [ 0b 01 ] <x> ]\n a! 82",
      NULL },
    { "5: request and answer find each other",
      "a: 5 asks\n a> 82 [ 0001 [] 'answers/a' 01 ]\n a? 90\n b: 5 knows\n"
      "b> 82 [ 0001 [] 'questions' 01 ]\n b? 90\n"
      "a> 32 [ 'questions' 0001 [ 08 'answers/a' 09 'q1' ] <?> ]\n a? 40\n"
      "b< 32 [ 'questions' 0001 [ 08 'answers/a' 09 'q1' ] <?> ]\n"
      "b> 32 [ 'answers/a' 0001 [ 09 'q1' ] <42> ]\n b? 40\n"
      "a< 32 [ 'answers/a' 0001 [ 09 'q1' ] <42> ]\n a.\n b.",
      NULL },

    /* ---- expiry ---- */
    { "5: expiry is counted down while a message waits",
      "a: 5 me exp=100\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n a-\n b: 5 p\n"
      "b> 32 [ 't' 0001 [ 02 0000000a ] <x> ]\n b? 40\n +4\n a: 5 me clean=0 exp=100\n"
      "a< 32 [ 't' 0001 [ 02 00000006 ] <x> ]\n a.",
      NULL },
    { "5: what has expired is not sent",
      "a: 5 me exp=100\n a> 82 [ 0001 [] 't' 01 ]\n a? 90\n a-\n b: 5 p\n"
      "b> 32 [ 't' 0001 [ 02 00000003 ] <x> ]\n b? 40\n b> 32 [ 't' 0002 [] <y> ]\n b? 40\n +4\n"
      "a: 5 me clean=0 exp=100\n a* <y>\n a.",
      NULL },
    { "5: what was sent once does not expire",
      "a: 5 me exp=100\n a> 82 [ 0001 [] 't' 02 ]\n a? 90\n b: 5 p\n"
      "b> 34 [ 't' 0001 [ 02 00000003 ] <x> ]\n b? 50\n a? 30\n a-\n +9\n"
      "a: 5 me clean=0 exp=100\n a< 3c [ 't' 0001 [ 02 00000000 ] <x> ]\n a> 50 [ 0001 ]\n"
      "a< 62 [ 0001 ]\n +9\n a> 70 [ 0001 ]\n a.",
      NULL },
    { "5: the publisher's sequence goes on although its message has expired",
      A_5 B_5 "a> 34 [ 't' 0001 [ 02 00000001 ] <x> ]\n a? 50\n +5\n a> 62 [ 0001 ]\n"
              "a< 70 [ 0001 ]\n a.",
      NULL },

    /* ---- topic aliases ---- */
    { "5: a client's alias stands for its topic",
      A_5 B_5 "a> 30 [ 'topic' [ 23 0001 ] <x> ]\n a> 30 [ '' [ 23 0001 ] <y> ]\n"
              "b< 30 [ 'topic' [] <x> ]\n b< 30 [ 'topic' [] <y> ]\n b.",
      NULL },
    { "5: the highest alias is taken",
      A_5 B_5
      "a> 30 [ 'topic' [ 23 0004 ] <x> ]\n a> 30 [ '' [ 23 0004 ] <y> ]\n b? 30 30\n a.\n b.",
      NULL },
    { "5: an alias can be given anew",
      A_5 B_5 "a> 30 [ 'one' [ 23 0001 ] <x> ]\n a> 30 [ 'two' [ 23 0001 ] <y> ]\n"
              "a> 30 [ '' [ 23 0001 ] <z> ]\n b? 30 30\n b< 30 [ 'two' [] <z> ]\n b.",
      NULL },
    { "5: an alias above the maximum ends it", A_5 "a> 30 [ 't' [ 23 0005 ] <x> ]\n a! 94", NULL },
    { "5: alias 0 ends it", A_5 "a> 30 [ 't' [ 23 0000 ] <x> ]\n a! 94", NULL },
    { "5: an alias nobody gave ends it", A_5 "a> 30 [ '' [ 23 0001 ] <x> ]\n a! 82", NULL },
    { "5: aliases end with the connection",
      "a: 5 me exp=100\n a> 30 [ 't' [ 23 0001 ] <x> ]\n a-\n a: 5 me clean=0 exp=100\n"
      "a> 30 [ '' [ 23 0001 ] <x> ]\n a! 82",
      NULL },
    { "5: who does not ask is sent no aliases",
      A_5 B_5 "a> 30 [ 'topic' [] <x> ]\n a> 30 [ 'topic' [] <x> ]\n a> 30 [ 'topic' [] <x> ]\n"
              "b< 30 [ 'topic' [] <x> ]\n b< 30 [ 'topic' [] <x> ]\n b< 30 [ 'topic' [] <x> ]\n b.",
      NULL },
    { "5: who asks for no aliases is sent none",
      A_5 "b: 5 s alias=0\n b> 82 [ 0001 [] '#' 00 ]\n b? 90\n"
          "a> 30 [ 'topic' [] <x> ]\n a> 30 [ 'topic' [] <x> ]\n"
          "b< 30 [ 'topic' [] <x> ]\n b< 30 [ 'topic' [] <x> ]\n b.",
      NULL },
    { "5: a topic that comes again is sent by its alias",
      A_5 "b: 5 s alias=1\n b> 82 [ 0001 [] '#' 01 ]\n b? 90\n"
          "a> 30 [ 'topic' [] <1> ]\n a> 30 [ 'topic' [] <2> ]\n a> 30 [ 'topic' [] <3> ]\n"
          "a> 32 [ 'topic' 0001 [ 26 'k' 'v' ] <4> ]\n"
          "b< 30 [ 'topic' [] <1> ]\n b< 30 [ 'topic' [ 23 0001 ] <2> ]\n"
          "b< 30 [ '' [ 23 0001 ] <3> ]\n b< 32 [ '' 0001 [ 23 0001 26 'k' 'v' ] <4> ]\n b.",
      NULL },
    { "5: an alias goes to another topic",
      A_5
      "b: 5 s alias=1\n b> 82 [ 0001 [] '#' 01 ]\n b? 90\n"
      "a> 30 [ 'topic' [] <1> ]\n a> 30 [ 'topic' [] <2> ]\n a> 30 [ 'other' [] <3> ]\n"
      "a> 30 [ 'other' [] <4> ]\n a> 30 [ 'other' [] <5> ]\n a> 30 [ 'topic' [] <6> ]\n b? 30 30\n"
      "b< 30 [ 'other' [] <3> ]\n b< 30 [ 'other' [ 23 0001 ] <4> ]\n"
      "b< 30 [ '' [ 23 0001 ] <5> ]\n b< 30 [ 'topic' [] <6> ]\n b.",
      NULL },
    { "5: what is sent in between does not take an alias away",
      A_5
      "b: 5 s alias=1\n b> 82 [ 0001 [] '#' 01 ]\n b? 90\n"
      "a> 30 [ 'topic' [] <1> ]\n a> 30 [ 'topic' [] <2> ]\n a> 30 [ 'other' [] <3> ]\n"
      "a> 30 [ 'topic' [] <4> ]\n a> 30 [ 'other' [] <5> ]\n a> 30 [ 'topic' [] <6> ]\n b? 30 30\n"
      "b< 30 [ 'other' [] <3> ]\n b< 30 [ '' [ 23 0001 ] <4> ]\n"
      "b< 30 [ 'other' [] <5> ]\n b< 30 [ '' [ 23 0001 ] <6> ]\n b.",
      NULL },
    { "5: a short topic is sent as it is",
      A_5 "b: 5 s alias=1\n b> 82 [ 0001 [] '#' 00 ]\n b? 90\n"
          "a> 30 [ 'abc' [] <1> ]\n a> 30 [ 'abc' [] <2> ]\n a> 30 [ 'abc' [] <3> ]\n"
          "b< 30 [ 'abc' [] <1> ]\n b< 30 [ 'abc' [] <2> ]\n b< 30 [ 'abc' [] <3> ]\n b.",
      NULL },
    { "5: the broker's aliases end with the connection",
      A_5
      "b: 5 s alias=1 exp=100\n b> 82 [ 0001 [] '#' 00 ]\n b? 90\n"
      "a> 30 [ 'topic' [] <1> ]\n a> 30 [ 'topic' [] <2> ]\n b? 30 30\n b-\n"
      "b: 5 s alias=1 exp=100 clean=0\n a> 30 [ 'topic' [] <3> ]\n b< 30 [ 'topic' [] <3> ]\n b.",
      NULL },
    { "5: an alias does not make a packet too large",
      A_5 "b: 5 s alias=1 max=38\n b> 82 [ 0001 [] '#' 00 ]\n b? 90\n"
          "a> 30 [ 'topic' [] <01234567890123456789012345> ]\n"
          "a> 30 [ 'topic' [] <0123456789012345678901234567> ]\n"
          "b< 30 [ 'topic' [] <01234567890123456789012345> ]\n"
          "b< 30 [ 'topic' [] <0123456789012345678901234567> ]\n b.",
      NULL },

    /* ---- receive maximum ---- */
    { "5: more unacknowledged than receive maximum ends it",
      A_5 B_5 "a> 34 [ 't' 0001 [] <x> ]\n a> 34 [ 't' 0002 [] <x> ]\n a> 34 [ 't' 0003 [] <x> ]\n"
              "a> 34 [ 't' 0004 [] <x> ]\n a? 50 50 50 50\n a> 34 [ 't' 0005 [] <x> ]\n a! 93",
      NULL },
    { "5: no more go out than the client's receive maximum",
      A_5 "b: 5 s rm=2\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
          "a> 32 [ 't' 0001 [] <1> ]\n a> 34 [ 't' 0002 [] <2> ]\n a> 32 [ 't' 0003 [] <3> ]\n"
          "a? 40 50 40\n b< 32 [ 't' 0001 [] <1> ]\n b< 34 [ 't' 0002 [] <2> ]\n b.\n"
          "b> 50 [ 0002 ]\n b? 62\n b.\n b> 70 [ 0002 ]\n b< 32 [ 't' 0003 [] <3> ]\n b.",
      NULL },
    { "5: a full window does not hold other packets back",
      A_5 "b: 5 s rm=1\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
          "a> 32 [ 't' 0001 [] <1> ]\n a> 32 [ 't' 0002 [] <2> ]\n a? 40 40\n b? 30\n b.\n"
          "a> 30 [ 't' [] <0> ]\n b< 30 [ 't' [] <0> ]\n b> c0 []\n b< d0 []\n"
          "b> 82 [ 0002 [] 'u' 00 ]\n b? 90\n b> 32 [ 'u' 0001 [] <u> ]\n b< 40 [ 0001 ]\n b.",
      NULL },
    { "5: a refused QoS 1 delivery makes room",
      A_5 "b: 5 s rm=1\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
          "a> 32 [ 't' 0001 [] <1> ]\n a> 32 [ 't' 0002 [] <2> ]\n a? 40 40\n b? 30\n"
          "b> 40 [ 0001 97 ]\n b< 32 [ 't' 0002 [] <2> ]\n b.",
      NULL },
    { "5: a refused QoS 2 delivery is over",
      A_5 "b: 5 s rm=1 exp=100\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
          "a> 34 [ 't' 0001 [] <1> ]\n a? 50\n b? 30\n b> 50 [ 0001 80 ]\n b.\n b-\n"
          "b: 5 s clean=0 exp=100 sp=1\n b.",
      NULL },

    /* ---- maximum packet size ---- */
    { "5: what is too large for the client is left out",
      A_5 "b: 5 s max=30\n b> 82 [ 0001 [] '#' 02 ]\n b? 90\n"
          "a> 32 [ 't' 0001 [] <0123456789012345678901234567890123> ]\n"
          "a> 34 [ 't' 0002 [] <0123456789012345678901234567890123> ]\n"
          "a> 32 [ 't' 0003 [] <x> ]\n a? 40 50 40\n b* <x>\n b.",
      NULL },
    { "5: what just fits is sent",
      A_5
      "b: 5 s max=30\n b> 82 [ 0001 [] '#' 00 ]\n b? 90\n"
      "a> 30 [ 't' [] <012345678901234567890123> ]\n b< 30 [ 't' [] <012345678901234567890123> ]\n"
      "a> 30 [ 't' [] <0123456789012345678901234> ]\n b.",
      NULL },

    /* ---- QoS 2 and packet ids ---- */
    { "a QoS 2 publish that comes again is taken once",
      A_4 B_4 "a> 34 [ 't' 0001 <x> ]\n a? 50\n a> 3c [ 't' 0001 <x> ]\n a< 50 [ 0001 ]\n"
              "b? 30\n b.\n a> 62 [ 0001 ]\n a? 70\n a> 34 [ 't' 0001 <y> ]\n a? 50\n"
              "b< 34 [ 't' 0002 <y> ]\n b.",
      NULL },
    { "a QoS 2 publish is taken once over two connections",
      "a: 4 me clean=0\n" B_4 "a> 34 [ 't' 0001 <x> ]\n a? 50\n b? 30\n a-\n a: 4 me clean=0\n"
      "a> 3c [ 't' 0001 <x> ]\n a< 50 [ 0001 ]\n b.\n a> 62 [ 0001 ]\n a< 70 [ 0001 ]\n a.",
      NULL },
    { "5: an id whose publish was refused is free",
      A_5 B_5 "a> 34 [ '$SYS/x' 0001 [] <x> ]\n a? 50\n a> 34 [ 't' 0001 [] <y> ]\n"
              "a< 50 [ 0001 ]\n b< 34 [ 't' 0001 [] <y> ]\n b.",
      NULL },
    { "an id is new after PUBACK, whatever DUP says",
      A_4 B_4 "a> 32 [ 't' 0001 <x> ]\n a? 40\n a> 3a [ 't' 0001 <y> ]\n a? 40\n"
              "b< 32 [ 't' 0001 <x> ]\n b< 32 [ 't' 0002 <y> ]\n b.",
      NULL },
    { "PUBREC is answered with PUBREL of the same id",
      A_4 B_4 "a> 34 [ 't' 0001 <x> ]\n b? 30\n b> 50 [ 0001 ]\n b< 62 [ 0001 ]\n"
              "b> 50 [ 0001 ]\n b< 62 [ 0001 ]\n b> 70 [ 0001 ]\n b.",
      NULL },
    { "PUBREL of an unknown id is answered", A_4 "a> 62 [ 0009 ]\n a< 70 [ 0009 ]\n a.", NULL },
    { "packet ids that are out are not used again",
      A_4 B_4 "a> 32 [ 't' 0001 <1> ]\n a> 32 [ 't' 0002 <2> ]\n b< 32 [ 't' 0001 <1> ]\n"
              "b< 32 [ 't' 0002 <2> ]\n b> 40 [ 0002 ]\n a> 32 [ 't' 0003 <3> ]\n"
              "b< 32 [ 't' 0003 <3> ]\n b> 40 [ 0001 ]\n a> 32 [ 't' 0004 <4> ]\n"
              "b< 32 [ 't' 0004 <4> ]\n b.",
      NULL },
    { "packet id 0 ends it", A_4 "a> 32 [ 't' 0000 <x> ]\n a!", NULL },
    { "5: packet id 0 ends it", A_5 "a> 32 [ 't' 0000 [] <x> ]\n a! 82", NULL },
    { "5: PUBREL's flags are checked", A_5 "a> 60 [ 0001 ]\n a! 81", NULL },
    { "PUBREL's flags are checked", A_4 "a> 60 [ 0001 ]\n a!", NULL },

    /* ---- order ---- */
    { "a topic's messages come in their order",
      A_4 B_4 "a> 32 [ 't' 0001 <1> ] 32 [ 't' 0002 <2> ] 32 [ 't' 0003 <3> ]\n"
              "b< 32 [ 't' 0001 <1> ]\n b< 32 [ 't' 0002 <2> ]\n b< 32 [ 't' 0003 <3> ]\n b.",
      NULL },
    { "what waits comes before what is new",
      "b: 4 s clean=0\n b> 82 [ 0001 't' 01 ]\n b? 90\n b-\n" A_4
      "a> 32 [ 't' 0001 <1> ]\n a> 32 [ 't' 0002 <2> ]\n b: 4 s clean=0\n a> 32 [ 't' 0003 <3> ]\n"
      "b< 32 [ 't' 0001 <1> ]\n b< 32 [ 't' 0002 <2> ]\n b< 32 [ 't' 0003 <3> ]\n b.",
      NULL },
    { "acknowledgements come in the order of their publishes",
      A_4 B_4 "a> 32 [ 't' 0005 <1> ] 34 [ 't' 0004 <2> ] 32 [ 't' 0003 <3> ]\n a< 40 [ 0005 ]\n"
              "a< 50 [ 0004 ]\n a< 40 [ 0003 ]\n a.",
      NULL },
    { "5: a full session does not lose what it took",
      "b: 5 s exp=100\n b> 82 [ 0001 [] 't' 01 ]\n b? 90\n b-\n" A_5
      "a> 32 [ 't' 0001 [] <1> ]\n a> 32 [ 't' 0002 [] <2> ]\n b: 5 s exp=100 clean=0\n"
      "b< 32 [ 't' 0001 [] <1> ]\n b.",
      keep_one },
    { "delivery goes at the lower QoS",
      A_4 "b: 4 s\n b> 82 [ 0001 't' 01 ]\n b? 90\n c: 4 c\n c> 82 [ 0001 't' 00 ]\n c? 90\n"
          "a> 34 [ 't' 0001 <x> ]\n b< 32 [ 't' 0001 <x> ]\n c< 30 [ 't' <x> ]\n"
          "a> 30 [ 't' <y> ]\n b< 30 [ 't' <y> ]\n c< 30 [ 't' <y> ]\n b.\n c.",
      NULL },
    { "every session that fits gets a message",
      A_4 "b: 4 s clean=0\n b> 82 [ 0001 't' 01 ]\n b? 90\n b-\n c: 4 c\n c> 82 [ 0001 '+' 01 ]\n"
          "c? 90\n a> 32 [ 't' 0001 <x> ]\n a? 40\n c? 30\n b: 4 s clean=0\n b? 30\n b.\n c.",
      NULL },
};

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(scripts)];
    script_tests(tests, scripts, SL_ARRAY_LEN(scripts));
    return _cmocka_run_group_tests("conformance: publishes", tests, SL_ARRAY_LEN(tests), NULL,
                                   NULL);
}
