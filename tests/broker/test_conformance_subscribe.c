/* test_conformance_subscribe.c - SUBSCRIBE, UNSUBSCRIBE, topics and filters, shared subscriptions:
 * what the standards say, played against the broker. docs/mqtt-conformance.md says which statement
 * each of these holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

#define A_5 "a: 5 me\n"
#define A_4 "a: 4 me\n"

static void with_sys(struct broker_options *o)
{
    o->sys_interval_ms = 10000;
}

static const struct script scripts[] = {
    /* ---- SUBSCRIBE, SUBACK ---- */
    { "SUBACK has the id of its SUBSCRIBE", A_4 "a> 82 [ 1234 't' 01 ]\n a< 90 [ 1234 01 ]\n a.",
      NULL },
    { "5: SUBACK has the id of its SUBSCRIBE",
      A_5 "a> 82 [ 1234 [] 't' 02 ]\n a< 90 [ 1234 [] 02 ]\n a.", NULL },
    { "SUBACK has a code for each filter, in order",
      A_4 "a> 82 [ 0001 'a' 02 'b/#/c' 01 'c' 00 'd' 01 ]\n a< 90 [ 0001 02 80 00 01 ]\n a.",
      NULL },
    { "5: SUBACK has a code for each filter, in order",
      "a: 5 me info=0\n a> 82 [ 0001 [] 'a' 02 'b/#/c' 01 'c' 00 'd' 01 ]\n"
      "a< 90 [ 0001 [] 02 8f 00 01 ]\n a.",
      NULL },
    { "5: a refused filter says why", A_5 "a> 82 [ 0001 [] 'a+' 00 ]\n a* <filter>\n a.", NULL },
    { "5: a refused filter does not say why to who does not ask",
      "a: 5 me info=0\n a> 82 [ 0001 [] 'a+' 00 ]\n a< 90 [ 0001 [] 8f ]\n a.", NULL },
    { "5: why does not fit in SUBACK",
      "a: 5 me max=40\n a> 82 [ 0001 [] 'a+' 00 ]\n a< 90 [ 0001 [] 8f ]\n a.", NULL },
    { "5: a SUBACK that does not fit ends it",
      "a: 5 me max=30\n a> 82 [ 0001 [] 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 "
      "'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 "
      "'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 'a' 00 ]\n a! 95",
      NULL },
    { "several filters are as several SUBSCRIBEs",
      A_4 "b: 4 p\n b> 31 [ 'a' <1> ]\n b> 31 [ 'b' <2> ]\n a> 82 [ 0001 'a' 00 'b' 00 'c' 01 ]\n"
          "a< 90 [ 0001 00 00 01 ]\n a? 30 30\n a.\n b> 32 [ 'c' 0001 <3> ]\n"
          "a< 32 [ 'c' 0001 <3> ]\n a.",
      NULL },
    { "SUBSCRIBE without a filter ends it", A_4 "a> 82 [ 0001 ]\n a!", NULL },
    { "5: SUBSCRIBE without a filter ends it", A_5 "a> 82 [ 0001 [] ]\n a! 82", NULL },
    { "SUBSCRIBE's flags are checked", A_4 "a> 80 [ 0001 't' 00 ]\n a!", NULL },
    { "5: SUBSCRIBE's flags are checked", A_5 "a> 80 [ 0001 [] 't' 00 ]\n a! 81", NULL },
    { "a filter that is not UTF-8 ends it", A_4 "a> 82 [ 0001 0001 ff 00 ]\n a!", NULL },
    { "5: a filter that is not UTF-8 ends it", A_5 "a> 82 [ 0001 [] 0001 ff 00 ]\n a! 81", NULL },
    { "reserved bits of a requested QoS end it", A_4 "a> 82 [ 0001 't' 04 ]\n a!", NULL },
    { "requested QoS 3 ends it", A_4 "a> 82 [ 0001 't' 03 ]\n a!", NULL },
    { "5: reserved bits of the options end it", A_5 "a> 82 [ 0001 [] 't' 40 ]\n a! 81", NULL },
    { "5: No Local on a shared subscription ends it",
      A_5 "a> 82 [ 0001 [] '$share/g/t' 04 ]\n a! 82", NULL },

    /* ---- again, and retained messages ---- */
    { "subscribing again replaces and sends retained messages again",
      A_4 "b: 4 p\n b> 33 [ 't' 0001 <r> ]\n b? 40\n a> 82 [ 0001 't' 00 ]\n a? 90\n"
          "a< 31 [ 't' <r> ]\n a> 82 [ 0002 't' 01 ]\n a? 90\n a< 33 [ 't' 0001 <r> ]\n"
          "b> 32 [ 't' 0002 <x> ]\n a< 32 [ 't' 0002 <x> ]\n a.",
      NULL },
    { "5: subscribing again replaces all options",
      A_5 "b: 5 p\n a> 82 [ 0001 [ 0b 05 ] 't' 08 ]\n a? 90\n a> 82 [ 0002 [] 't' 01 ]\n a? 90\n"
          "b> 33 [ 't' 0001 [] <x> ]\n a< 32 [ 't' 0001 [] <x> ]\n a.",
      NULL },
    { "subscribing again loses nothing",
      "a: 4 me clean=0\n a> 82 [ 0001 't' 01 ]\n a? 90\n a-\n b: 4 p\n b> 32 [ 't' 0001 <x> ]\n"
      "a: 4 me clean=0\n a? 30\n a> 82 [ 0001 't' 01 ]\n a? 90\n a-\n a: 4 me clean=0\n"
      "a< 3a [ 't' 0001 <x> ]\n a.",
      NULL },
    { "5: retain handling 0 sends retained messages every time",
      A_5 "b: 5 p\n b> 31 [ 't' [] <r> ]\n a> 82 [ 0001 [] 't' 00 ]\n a? 90 30\n"
          "a> 82 [ 0002 [] 't' 00 ]\n a? 90 30\n a.",
      NULL },
    { "5: retain handling 1 sends them to new subscriptions only",
      A_5 "b: 5 p\n b> 31 [ 't' [] <r> ]\n a> 82 [ 0001 [] 't' 10 ]\n a? 90 30\n"
          "a> 82 [ 0002 [] 't' 10 ]\n a? 90\n a.",
      NULL },
    { "5: retain handling 2 sends none",
      A_5 "b: 5 p\n b> 31 [ 't' [] <r> ]\n a> 82 [ 0001 [] 't' 20 ]\n a? 90\n a.", NULL },
    { "5: retained messages are flagged whatever retain as published says",
      A_5 "b: 5 p\n b> 31 [ 't' [] <r> ]\n a> 82 [ 0001 [] 't' 00 ]\n a? 90\n"
          "a< 31 [ 't' [] <r> ]\n a> 82 [ 0002 [] 't' 08 ]\n a? 90\n a< 31 [ 't' [] <r> ]\n a.",
      NULL },
    { "5: No Local does not send retained messages of one's own",
      A_5 "a> 31 [ 't' [] <r> ]\n a> 82 [ 0001 [] 't' 04 ]\n a? 90\n a.", NULL },
    { "5: No Local keeps one's own messages away",
      A_5 "b: 5 p\n a> 82 [ 0001 [] 't' 04 ]\n a? 90\n a> 30 [ 't' [] <x> ]\n"
          "b> 30 [ 't' [] <y> ]\n a< 30 [ 't' [] <y> ]\n a.",
      NULL },
    { "without No Local one's own messages come back",
      A_4 "a> 82 [ 0001 't' 00 ]\n a? 90\n a> 30 [ 't' <x> ]\n a< 30 [ 't' <x> ]\n a.", NULL },
    { "every retained message that fits is sent",
      A_4 "b: 4 p\n b> 31 [ 'a/b' <1> ]\n b> 31 [ 'a' <2> ]\n b> 31 [ '$x' <3> ]\n"
          "a> 82 [ 0001 'a/b' 00 ]\n a? 90\n a< 31 [ 'a/b' <1> ]\n a.\n"
          "a> 82 [ 0002 'a/#' 00 ]\n a? 90 30 30\n a.\n a> 82 [ 0003 '+' 00 ]\n a? 90\n"
          "a< 31 [ 'a' <2> ]\n a.",
      NULL },

    /* ---- overlapping, identifiers ---- */
    { "overlapping filters give the highest QoS",
      A_4 "b: 4 p\n a> 82 [ 0001 'a/#' 00 'a/+' 02 'a/b' 01 ]\n a? 90\n b> 34 [ 'a/b' 0001 <x> ]\n"
          "a< 34 [ 'a/b' 0001 <x> ]\n a.",
      NULL },
    { "5: overlapping filters give all identifiers in one copy",
      A_5 "b: 5 p\n a> 82 [ 0001 [ 0b 07 ] 'a/#' 00 ]\n a? 90\n a> 82 [ 0002 [ 0b 09 ] 'a/+' 01 ]\n"
          "a? 90\n a> 82 [ 0003 [] 'a/b' 00 ]\n a? 90\n b> 32 [ 'a/b' 0001 [] <x> ]\n"
          "a* 0b07\n a.\n b> 32 [ 'a/b' 0002 [] <y> ]\n a* 0b09\n a.\n"
          "b> 30 [ 'a/c/d' [] <z> ]\n a< 30 [ 'a/c/d' [ 0b 07 ] <z> ]\n a.",
      NULL },
    { "5: the largest identifier is taken",
      A_5 "a> 82 [ 0001 [ 0b ffffff7f ] 't' 00 ]\n a? 90\n a> 30 [ 't' [] <x> ]\n"
          "a< 30 [ 't' [ 0b ffffff7f ] <x> ]\n a.",
      NULL },
    { "5: a retained message carries its subscription's identifier",
      A_5 "a> 31 [ 't' [] <x> ]\n a> 82 [ 0001 [ 0b 03 ] 't' 00 ]\n a? 90\n"
          "a< 31 [ 't' [ 0b 03 ] <x> ]\n a.",
      NULL },
    { "5: identifier 0 ends it", A_5 "a> 82 [ 0001 [ 0b 00 ] 't' 00 ]\n a! 82", NULL },

    /* ---- UNSUBSCRIBE ---- */
    { "UNSUBACK has the id of its UNSUBSCRIBE",
      A_4 "a> 82 [ 0001 't' 00 ]\n a? 90\n a> a2 [ 4321 't' ]\n a< b0 [ 4321 ]\n a.", NULL },
    { "UNSUBSCRIBE of nothing is answered", A_4 "a> a2 [ 0001 't' ]\n a< b0 [ 0001 ]\n a.", NULL },
    { "5: UNSUBACK has a code for each filter, in order",
      A_5 "a> 82 [ 0001 [] 'b' 00 ]\n a? 90\n a> a2 [ 0002 [] 'a' 'b' 'b' ]\n"
          "a< b0 [ 0002 [] 11 00 11 ]\n a.",
      NULL },
    { "5: an UNSUBACK that does not fit ends it",
      "a: 5 me max=30\n a> a2 [ 0001 [] 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' "
      "'a' "
      "'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' 'a' ]\n a! 95",
      NULL },
    { "after UNSUBACK nothing new comes",
      A_4 "b: 4 p\n a> 82 [ 0001 't' 01 'u' 01 ]\n a? 90\n a> a2 [ 0002 't' ]\n a? b0\n"
          "b> 32 [ 't' 0001 <x> ]\n b> 32 [ 'u' 0002 <y> ]\n a< 32 [ 'u' 0001 <y> ]\n a.",
      NULL },
    { "filters are compared byte by byte",
      A_4 "b: 4 p\n a> 82 [ 0001 'a/+' 00 ]\n a? 90\n a> a2 [ 0002 'a/b' 'a/#' 'A/+' ]\n a? b0\n"
          "b> 30 [ 'a/b' <x> ]\n a< 30 [ 'a/b' <x> ]\n a> a2 [ 0003 'a/+' ]\n a? b0\n"
          "b> 30 [ 'a/b' <y> ]\n a.",
      NULL },
    { "what is in flight is finished after UNSUBSCRIBE",
      "a: 4 me clean=0\n b: 4 p\n a> 82 [ 0001 't' 02 ]\n a? 90\n b> 34 [ 't' 0001 <x> ]\n"
      "a? 30\n a> a2 [ 0002 't' ]\n a? b0\n a-\n a: 4 me clean=0\n a< 3c [ 't' 0001 <x> ]\n"
      "a> 50 [ 0001 ]\n a< 62 [ 0001 ]\n a> 70 [ 0001 ]\n a.",
      NULL },
    { "UNSUBSCRIBE without a filter ends it", A_4 "a> a2 [ 0001 ]\n a!", NULL },
    { "5: UNSUBSCRIBE without a filter ends it", A_5 "a> a2 [ 0001 [] ]\n a! 82", NULL },
    { "UNSUBSCRIBE's flags are checked", A_4 "a> a0 [ 0001 't' ]\n a!", NULL },
    { "5: UNSUBSCRIBE's flags are checked", A_5 "a> a0 [ 0001 [] 't' ]\n a! 81", NULL },
    { "an UNSUBSCRIBE filter that is not UTF-8 ends it", A_4 "a> a2 [ 0001 0001 ff ]\n a!", NULL },
    { "5: an UNSUBSCRIBE filter that is not UTF-8 ends it", A_5 "a> a2 [ 0001 [] 0001 ff ]\n a! 81",
      NULL },

    /* ---- filters ---- */
    { "# fits below and its parent",
      A_4 "b: 4 p\n a> 82 [ 0001 'a/#' 00 ]\n a? 90\n b> 30 [ 'a' <1> ]\n b> 30 [ 'a/b' <2> ]\n"
          "b> 30 [ 'a/b/c' <3> ]\n b> 30 [ 'ab' <4> ]\n a? 30 30 30\n a.",
      NULL },
    { "+ fits one level, an empty one too",
      A_4
      "b: 4 p\n a> 82 [ 0001 'a/+' 00 ]\n a? 90\n b> 30 [ 'a/b' <1> ]\n b> 30 [ 'a/' <2> ]\n"
      "b> 30 [ 'a' <3> ]\n b> 30 [ 'a/b/c' <4> ]\n a< 30 [ 'a/b' <1> ]\n a< 30 [ 'a/' <2> ]\n a.",
      NULL },
    { "# elsewhere than at the end is refused",
      A_4 "a> 82 [ 0001 'a/#/b' 00 'a#' 00 '#/a' 00 '##' 00 ]\n a< 90 [ 0001 80 80 80 80 ]\n a.",
      NULL },
    { "+ that does not fill a level is refused",
      A_4 "a> 82 [ 0001 'a+' 00 '+a' 00 'a/b+/c' 00 '++' 00 ]\n a< 90 [ 0001 80 80 80 80 ]\n a.",
      NULL },
    { "an empty filter is refused", A_4 "a> 82 [ 0001 '' 00 ]\n a< 90 [ 0001 80 ]\n a.", NULL },
    { "a filter with NUL ends it", A_4 "a> 82 [ 0001 0003 610062 00 ]\n a!", NULL },
    { "wildcards do not fit topics that begin with $",
      A_4 "b: 4 s\n a> 82 [ 0001 '#' 00 '+/broker/version' 00 ]\n a? 90\n"
          "b> 82 [ 0001 '$SYS/+/version' 00 ]\n b? 90\n +2\n a.\n b* <sluice version>\n b.",
      with_sys },
    { "spaces and case count in filters",
      A_4 "b: 4 p\n a> 82 [ 0001 'A b' 00 ]\n a? 90\n b> 30 [ 'a b' <1> ]\n b> 30 [ 'A b' <2> ]\n"
          "a< 30 [ 'A b' <2> ]\n a.",
      NULL },

    /* ---- shared subscriptions ---- */
    { "5: a group gets each message once",
      "a: 5 a\n b: 5 b\n c: 5 p\n a> 82 [ 0001 [] '$share/g/t' 01 ]\n a? 90\n"
      "b> 82 [ 0001 [] '$share/g/t' 01 ]\n b? 90\n c> 32 [ 't' 0001 [] <1> ]\n"
      "c> 32 [ 't' 0002 [] <2> ]\n a? 30\n b? 30\n a.\n b.",
      NULL },
    { "5: a share name without a filter is refused",
      "a: 5 me info=0\n a> 82 [ 0001 [] '$share/g' 00 '$share/g/' 00 '$share//t' 00 ]\n"
      "a< 90 [ 0001 [] 8f 8f 8f ]\n a.",
      NULL },
    { "5: a share name with a wildcard is refused",
      "a: 5 me info=0\n a> 82 [ 0001 [] '$share/g+/t' 00 '$share/#/t' 00 ]\n"
      "a< 90 [ 0001 [] 8f 8f ]\n a.",
      NULL },
    { "5: a group's member gets its own QoS",
      "a: 5 a\n c: 5 p\n a> 82 [ 0001 [] '$share/g/t' 00 ]\n a? 90\n"
      "c> 34 [ 't' 0001 [] <1> ]\n a< 30 [ 't' [] <1> ]\n a.",
      NULL },
    { "5: a member that is away gets its started message when it is back",
      "a: 5 a exp=100\n b: 5 b\n c: 5 p\n a> 82 [ 0001 [] '$share/g/t' 02 ]\n a? 90\n"
      "c> 34 [ 't' 0001 [] <1> ]\n a? 30\n b> 82 [ 0001 [] '$share/g/t' 02 ]\n b? 90\n"
      "a> 50 [ 0001 ]\n a? 62\n a-\n b.\n a: 5 a exp=100 clean=0\n a< 62 [ 0001 ]\n b.",
      NULL },
    { "5: a started QoS 2 message ends with its member's session",
      "a: 5 a exp=2\n b: 5 b keep=100\n c: 5 p\n a> 82 [ 0001 [] '$share/g/t' 02 ]\n a? 90\n"
      "c> 34 [ 't' 0001 [] <1> ]\n a? 30\n b> 82 [ 0001 [] '$share/g/t' 02 ]\n b? 90\n a-\n +4\n "
      "b.",
      NULL },
    { "5: a message that a member refuses goes to nobody else",
      "a: 5 a\n b: 5 b\n c: 5 p\n a> 82 [ 0001 [] '$share/g/t' 01 ]\n a? 90\n"
      "c> 32 [ 't' 0001 [] <1> ]\n a? 30\n b> 82 [ 0001 [] '$share/g/t' 01 ]\n b? 90\n"
      "a> 40 [ 0001 97 ]\n a.\n b.",
      NULL },
};

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(scripts)];
    script_tests(tests, scripts, SL_ARRAY_LEN(scripts));
    return _cmocka_run_group_tests("conformance: subscriptions", tests, SL_ARRAY_LEN(tests), NULL,
                                   NULL);
}
