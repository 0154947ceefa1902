/* test_codec_refuse.c - packets that break the standard: each must be refused with the right reason
 * and a sentence that names the clause, and must leave the caller's packet as it was. */
#include "codec_bytes.h"

#include "broker/mqtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { V31 = 1 << 3, V311 = 1 << 4, V5 = 1 << 5, OLD = V31 | V311, ALL = OLD | V5 };
enum from { CLIENT, SERVER };
enum { MALFORMED = MQTT_RC_MALFORMED, PROTOCOL = MQTT_RC_PROTOCOL_ERROR };

static const struct bad_case {
    const char *name;
    unsigned versions;
    enum from from;
    const char *bytes;
    uint8_t want;
    const char *clause;
} bad_cases[] = {
    /* ---- CONNECT: name, version, flags ---- */
    { "connect empty", V311, CLIENT, "10 []", MALFORMED, "3.1.2.1" },
    { "connect name cut", V311, CLIENT, "10 [ 0004 <MQT> ]", MALFORMED, "3.1.2.1" },
    { "connect without version", V311, CLIENT, "10 [ 'MQTT' ]", MALFORMED, "3.1.2.2" },
    { "connect without flags", V311, CLIENT, "10 [ 'MQTT' 04 ]", MALFORMED, "3.1.2" },
    { "connect keep alive cut", V311, CLIENT, "10 [ 'MQTT' 04 02 00 ]", MALFORMED, "3.1.2" },
    { "other protocol", V311, CLIENT, "10 [ 'HTTP' 04 02 003c 'me' ]", MQTT_RC_UNSUPPORTED_VERSION,
      "[MQTT-3.1.2-1]" },
    { "name in small letters", V311, CLIENT, "10 [ 'mqtt' 04 02 003c 'me' ]",
      MQTT_RC_UNSUPPORTED_VERSION, "[MQTT-3.1.2-1]" },
    { "no name", V311, CLIENT, "10 [ '' 04 02 003c 'me' ]", MQTT_RC_UNSUPPORTED_VERSION,
      "[MQTT-3.1.2-1]" },
    { "version 6", V311, CLIENT, "10 [ 'MQTT' 06 02 003c 'me' ]", MQTT_RC_UNSUPPORTED_VERSION,
      "[MQTT-3.1.2-2]" },
    { "version 0", V311, CLIENT, "10 [ 'MQTT' 00 02 003c 'me' ]", MQTT_RC_UNSUPPORTED_VERSION,
      "[MQTT-3.1.2-2]" },
    { "version 3 with the new name", V311, CLIENT, "10 [ 'MQTT' 03 02 003c 'me' ]",
      MQTT_RC_UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]" },
    { "version 4 with the old name", V31, CLIENT, "10 [ 'MQIsdp' 04 02 003c 'me' ]",
      MQTT_RC_UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]" },
    { "a bridge of version 5", V5, CLIENT, "10 [ 'MQTT' 85 02 003c [] 'me' ]",
      MQTT_RC_UNSUPPORTED_VERSION, "[MQTT-3.1.2-2]" },
    { "connect fixed header", V311, CLIENT, "11 [ 'MQTT' 04 02 003c 'me' ]", MALFORMED,
      "[MQTT-2.1.3-1]" },
    { "reserved connect flag", V311, CLIENT, "10 [ 'MQTT' 04 03 003c 'me' ]", MALFORMED,
      "[MQTT-3.1.2-3]" },
    { "5 reserved connect flag", V5, CLIENT, "10 [ 'MQTT' 05 03 003c [] 'me' ]", MALFORMED,
      "[MQTT-3.1.2-3]" },
    { "will QoS without will", V311, CLIENT, "10 [ 'MQTT' 04 0a 003c 'me' ]", MALFORMED,
      "[MQTT-3.1.2-11]" },
    { "will QoS 3", V311, CLIENT, "10 [ 'MQTT' 04 1e 003c 'me' 't' 'p' ]", MALFORMED,
      "[MQTT-3.1.2-12]" },
    { "3.1 will QoS 3", V31, CLIENT, "10 [ 'MQIsdp' 03 1e 003c 'me' 't' 'p' ]", MALFORMED,
      "[MQTT-3.1.2-12]" },
    { "will retain without will", V311, CLIENT, "10 [ 'MQTT' 04 22 003c 'me' ]", MALFORMED,
      "[MQTT-3.1.2-13]" },
    { "3.1.1 password without name", V311, CLIENT, "10 [ 'MQTT' 04 42 003c 'me' 'pass' ]",
      MALFORMED, "[MQTT-3.1.2-22" },
    { "3.1 password without name", V31, CLIENT, "10 [ 'MQIsdp' 03 42 003c 'me' 'pass' ]", MALFORMED,
      "[MQTT-3.1.2-22" },

    /* ---- CONNECT: payload ---- */
    { "no client id", V311, CLIENT, "10 [ 'MQTT' 04 02 003c ]", MALFORMED, "[MQTT-3.1.3-3]" },
    { "client id cut", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 0003 <me> ]", MALFORMED,
      "[MQTT-3.1.3-3]" },
    { "client id not UTF-8", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 0002 c328 ]", MALFORMED,
      "[MQTT-3.1.3-4]" },
    { "client id with NUL", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 0003 610062 ]", MALFORMED,
      "[MQTT-3.1.3-4]" },
    { "client id with a surrogate", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 0003 eda080 ]", MALFORMED,
      "[MQTT-3.1.3-4]" },
    { "will missing", V311, CLIENT, "10 [ 'MQTT' 04 06 003c 'me' ]", MALFORMED, "[MQTT-3.1.2-9]" },
    { "will payload missing", V311, CLIENT, "10 [ 'MQTT' 04 06 003c 'me' 't' ]", MALFORMED,
      "[MQTT-3.1.2-9]" },
    { "will topic not UTF-8", V311, CLIENT, "10 [ 'MQTT' 04 06 003c 'me' 0001 ff 'p' ]", MALFORMED,
      "[MQTT-3.1.3-11]" },
    { "will topic empty", V311, CLIENT, "10 [ 'MQTT' 04 06 003c 'me' '' 'p' ]", MALFORMED,
      "[MQTT-4.7.3-1]" },
    { "will topic with +", V311, CLIENT, "10 [ 'MQTT' 04 06 003c 'me' 'a/+' 'p' ]",
      MQTT_RC_TOPIC_NAME_INVALID, "[MQTT-3.3.2-2]" },
    { "will topic with #", V5, CLIENT, "10 [ 'MQTT' 05 06 003c [] 'me' [] '#' 'p' ]",
      MQTT_RC_TOPIC_NAME_INVALID, "[MQTT-3.3.2-2]" },
    { "user name missing", V311, CLIENT, "10 [ 'MQTT' 04 82 003c 'me' ]", MALFORMED,
      "[MQTT-3.1.2-17]" },
    { "user name not UTF-8", V311, CLIENT, "10 [ 'MQTT' 04 82 003c 'me' 0001 80 ]", MALFORMED,
      "[MQTT-3.1.3-12]" },
    { "password missing", V311, CLIENT, "10 [ 'MQTT' 04 c2 003c 'me' 'u' ]", MALFORMED,
      "[MQTT-3.1.2-19]" },
    { "password cut", V311, CLIENT, "10 [ 'MQTT' 04 c2 003c 'me' 'u' 0005 <pass> ]", MALFORMED,
      "[MQTT-3.1.2-19]" },
    { "a byte after connect", V311, CLIENT, "10 [ 'MQTT' 04 02 003c 'me' 00 ]", MALFORMED,
      "[MQTT-3.1.3-1]" },
    { "3.1 a byte after connect", V31, CLIENT, "10 [ 'MQIsdp' 03 02 003c 'me' 00 ]", MALFORMED,
      "[MQTT-3.1.3-1]" },
    { "a name nobody announced", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [] 'me' 'user' ]", MALFORMED,
      "[MQTT-3.1.3-1]" },

    /* ---- CONNECT: properties ---- */
    { "no property length", V5, CLIENT, "10 [ 'MQTT' 05 02 003c ]", MALFORMED, "[MQTT-1.5.5-1" },
    { "property length of five bytes", V5, CLIENT, "10 [ 'MQTT' 05 02 003c 8080808001 'me' ]",
      MALFORMED, "[MQTT-1.5.5-1" },
    { "property length longer than needed", V5, CLIENT, "10 [ 'MQTT' 05 02 003c 8000 'me' ]",
      MALFORMED, "[MQTT-1.5.5-1" },
    { "properties past the packet", V5, CLIENT, "10 [ 'MQTT' 05 02 003c 7f 'me' ]", MALFORMED,
      "2.2.2.1" },
    { "receive maximum 0", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 21 0000 ] 'me' ]", PROTOCOL,
      "3.1.2.11.3" },
    { "maximum packet size 0", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 27 00000000 ] 'me' ]",
      PROTOCOL, "3.1.2.11.4" },
    { "request problem information 2", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 17 02 ] 'me' ]",
      PROTOCOL, "3.1.2.11.7" },
    { "request response information 255", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 19 ff ] 'me' ]",
      PROTOCOL, "3.1.2.11.6" },
    { "authentication data alone", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 16 'd' ] 'me' ]", PROTOCOL,
      "3.1.2.11.10" },
    { "authentication method twice", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 15 'm' 15 'm' ] 'me' ]",
      PROTOCOL, "2.2.2.2" },
    { "session expiry twice", V5, CLIENT,
      "10 [ 'MQTT' 05 02 003c [ 11 00000000 11 00000000 ] 'me' ]", PROTOCOL, "Session Expiry" },
    { "receive maximum twice", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 21 0001 21 0001 ] 'me' ]",
      PROTOCOL, "Receive Maximum" },
    { "a value cut", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 11 000000 ] 'me' ]", MALFORMED,
      "2.2.2" },
    { "a string past the block", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 15 0005 <m> ] 'me' ]",
      MALFORMED, "2.2.2" },
    { "a user property without value", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 26 'k' ] 'me' ]",
      MALFORMED, "2.2.2" },
    { "a user property not UTF-8", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 26 'k' 0001 ff ] 'me' ]",
      MALFORMED, "[MQTT-1.5.4-1" },
    { "a key not UTF-8", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 26 0001 00 'v' ] 'me' ]", MALFORMED,
      "[MQTT-1.5.4-1" },
    { "property 0", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 00 ] 'me' ]", MALFORMED, "unknown" },
    { "property 4", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 04 00 ] 'me' ]", MALFORMED, "unknown" },
    { "property 2b", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 2b 00 ] 'me' ]", MALFORMED, "unknown" },
    { "property ff", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ ff 00 ] 'me' ]", MALFORMED, "unknown" },
    { "identifier longer than needed", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ a100 0001 ] 'me' ]",
      MALFORMED, "unknown" },
    { "a will's property outside", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 18 00000001 ] 'me' ]",
      MALFORMED, "Will Delay" },
    { "a server's property from a client", V5, CLIENT, "10 [ 'MQTT' 05 02 003c [ 24 01 ] 'me' ]",
      MALFORMED, "Maximum QoS" },
    { "connect's property in a will", V5, CLIENT,
      "10 [ 'MQTT' 05 06 003c [] 'me' [ 11 00000000 ] 't' 'p' ]", MALFORMED, "Session Expiry" },
    { "an alias in a will", V5, CLIENT, "10 [ 'MQTT' 05 06 003c [] 'me' [ 23 0001 ] 't' 'p' ]",
      MALFORMED, "Topic Alias" },
    { "will delay twice", V5, CLIENT,
      "10 [ 'MQTT' 05 06 003c [] 'me' [ 18 00000001 18 00000001 ] 't' 'p' ]", PROTOCOL,
      "Will Delay" },

    /* ---- CONNACK ---- */
    { "connack empty", ALL, SERVER, "20 []", MALFORMED, "3.2.2" },
    { "connack cut", ALL, SERVER, "20 [ 00 ]", MALFORMED, "3.2.2" },
    { "connack fixed header", V311 | V5, SERVER, "22 [ 00 00 ]", MALFORMED, "[MQTT-2.1.3-1]" },
    { "connack reserved bits", V311, SERVER, "20 [ 02 00 ]", MALFORMED, "[MQTT-3.2.2-1]" },
    { "5 connack reserved bits", V5, SERVER, "20 [ 81 00 [] ]", MALFORMED, "[MQTT-3.2.2-1]" },
    { "connack code 6", OLD, SERVER, "20 [ 00 06 ]", PROTOCOL, "[MQTT-3.2.2-8]" },
    { "5 connack with an old code", V5, SERVER, "20 [ 00 05 [] ]", PROTOCOL, "[MQTT-3.2.2-8]" },
    { "5 connack session taken over", V5, SERVER, "20 [ 00 8e [] ]", PROTOCOL, "[MQTT-3.2.2-8]" },
    { "session present and refused", V311, SERVER, "20 [ 01 05 ]", PROTOCOL, "[MQTT-3.2.2-6]" },
    { "5 session present and refused", V5, SERVER, "20 [ 01 87 [] ]", PROTOCOL, "[MQTT-3.2.2-6]" },
    { "5 connack without property length", V5, SERVER, "20 [ 00 00 ]", MALFORMED, "MQTT-2.2.2-1]" },
    { "connack with more", OLD, SERVER, "20 [ 00 00 00 ]", MALFORMED, "3.2.1" },
    { "5 connack with more", V5, SERVER, "20 [ 00 00 [] 00 ]", MALFORMED, "2.2.2.1" },
    { "maximum QoS 2", V5, SERVER, "20 [ 00 00 [ 24 02 ] ]", PROTOCOL, "3.2.2.3.4" },
    { "retain available 2", V5, SERVER, "20 [ 00 00 [ 25 02 ] ]", PROTOCOL, "3.2.2.3.5" },
    { "wildcards available 2", V5, SERVER, "20 [ 00 00 [ 28 02 ] ]", PROTOCOL, "3.2.2.3.11" },
    { "identifiers available 2", V5, SERVER, "20 [ 00 00 [ 29 02 ] ]", PROTOCOL, "3.2.2.3.12" },
    { "shared available 2", V5, SERVER, "20 [ 00 00 [ 2a 02 ] ]", PROTOCOL, "3.2.2.3.13" },
    { "server's receive maximum 0", V5, SERVER, "20 [ 00 00 [ 21 0000 ] ]", PROTOCOL, "3.2.2.3.3" },
    { "server's packet size 0", V5, SERVER, "20 [ 00 00 [ 27 00000000 ] ]", PROTOCOL, "3.2.2.3.6" },
    { "client's property from a server", V5, SERVER, "20 [ 00 00 [ 17 01 ] ]", MALFORMED,
      "Request Problem" },
    { "keep alive twice", V5, SERVER, "20 [ 00 00 [ 13 0001 13 0001 ] ]", PROTOCOL,
      "Server Keep Alive" },

    /* ---- PUBLISH ---- */
    { "publish QoS 3", ALL, CLIENT, "36 [ 't' 0001 00 ]", MALFORMED, "[MQTT-3.3.1-4]" },
    { "dup with QoS 0", ALL, CLIENT, "38 [ 't' 00 ]", MALFORMED, "[MQTT-3.3.1-2]" },
    { "publish empty", ALL, CLIENT, "30 []", MALFORMED, "[MQTT-3.3.2-1]" },
    { "topic cut", ALL, CLIENT, "30 [ 0005 <abcd> ]", MALFORMED, "[MQTT-3.3.2-1]" },
    { "no topic", OLD, CLIENT, "30 [ '' <p> ]", MALFORMED, "[MQTT-4.7.3-1]" },
    { "topic +", ALL, CLIENT, "30 [ '+' 00 ]", MQTT_RC_TOPIC_NAME_INVALID, "[MQTT-3.3.2-2]" },
    { "topic # at the end", ALL, CLIENT, "30 [ 'sensors/a/#' 00 ]", MQTT_RC_TOPIC_NAME_INVALID,
      "[MQTT-3.3.2-2]" },
    { "+ inside a long level", ALL, CLIENT, "30 [ 'sensors/a+b/temperature' 00 ]",
      MQTT_RC_TOPIC_NAME_INVALID, "[MQTT-3.3.2-2]" },
    { "topic with NUL", ALL, CLIENT, "30 [ 0003 610062 00 ]", MALFORMED, "MQTT-1.5.4-2]" },
    { "long topic with NUL at its end", ALL, CLIENT, "30 [ 000a <sensors/a> 00 00 ]", MALFORMED,
      "MQTT-1.5.4-2]" },
    { "topic overlong UTF-8", ALL, CLIENT, "30 [ 0002 c0af 00 ]", MALFORMED, "[MQTT-3.3.2-1" },
    { "topic half a character", ALL, CLIENT, "30 [ 000a <sensors/a> c3 00 ]", MALFORMED,
      "[MQTT-3.3.2-1" },
    { "topic surrogate", ALL, CLIENT, "30 [ 0003 edbfbf 00 ]", MALFORMED, "[MQTT-3.3.2-1" },
    { "packet id missing", ALL, CLIENT, "32 [ 't' 00 ]", MALFORMED, "2.2.1" },
    { "packet id 0", ALL, CLIENT, "32 [ 't' 0000 00 ]", PROTOCOL, "[MQTT-2.2.1-3" },
    { "5 publish without property length", V5, CLIENT, "30 [ 't' ]", MALFORMED, "MQTT-2.2.2-1]" },
    { "5 neither topic nor alias", V5, CLIENT, "30 [ '' [] <p> ]", PROTOCOL, "3.3.2.1" },
    { "5 no topic, other property", V5, CLIENT, "30 [ '' [ 01 01 ] <p> ]", PROTOCOL, "3.3.2.1" },
    { "alias 0", V5, CLIENT, "30 [ 't' [ 23 0000 ] ]", MQTT_RC_TOPIC_ALIAS_INVALID,
      "[MQTT-3.3.2-8]" },
    { "alias 0 alone", V5, CLIENT, "30 [ '' [ 23 0000 ] ]", MQTT_RC_TOPIC_ALIAS_INVALID,
      "[MQTT-3.3.2-8]" },
    { "alias twice", V5, CLIENT, "30 [ 't' [ 23 0001 23 0001 ] ]", PROTOCOL, "Topic Alias" },
    { "payload format 2", V5, CLIENT, "30 [ 't' [ 01 02 ] ]", PROTOCOL, "3.3.2.3.2" },
    { "payload format twice", V5, CLIENT, "30 [ 't' [ 01 01 01 01 ] ]", PROTOCOL, "2.2.2.2" },
    { "expiry twice", V5, CLIENT, "30 [ 't' [ 02 00000001 02 00000001 ] ]", PROTOCOL,
      "Message Expiry" },
    { "content type twice", V5, CLIENT, "30 [ 't' [ 03 'a' 03 'a' ] ]", PROTOCOL, "Content Type" },
    { "content type not UTF-8", V5, CLIENT, "30 [ 't' [ 03 0001 fe ] ]", MALFORMED,
      "[MQTT-1.5.4-1" },
    { "response topic twice", V5, CLIENT, "30 [ 't' [ 08 'a' 08 'a' ] ]", PROTOCOL,
      "Response Topic" },
    { "response topic with #", V5, CLIENT, "30 [ 't' [ 08 'a/#' ] ]", PROTOCOL, "[MQTT-3.3.2-14]" },
    { "response topic with +", V5, CLIENT, "30 [ 't' [ 08 '+' ] ]", PROTOCOL, "[MQTT-3.3.2-14]" },
    { "response topic empty", V5, CLIENT, "30 [ 't' [ 08 '' ] ]", MALFORMED, "[MQTT-4.7.3-1]" },
    { "response topic not UTF-8", V5, CLIENT, "30 [ 't' [ 08 0001 c3 ] ]", MALFORMED,
      "[MQTT-1.5.4-1" },
    { "correlation data twice", V5, CLIENT, "30 [ 't' [ 09 'a' 09 'a' ] ]", PROTOCOL,
      "Correlation" },
    { "subscription id 0", V5, SERVER, "30 [ 't' [ 0b 00 ] ]", PROTOCOL, "3.8.2.1.2" },
    { "second subscription id 0", V5, SERVER, "30 [ 't' [ 0b 01 0b 00 ] ]", PROTOCOL, "3.8.2.1.2" },
    { "subscription id too large", V5, SERVER, "30 [ 't' [ 0b 8080808001 ] ]", MALFORMED, "2.2.2" },
    { "subscription id longer than needed", V5, SERVER, "30 [ 't' [ 0b 8100 ] ]", MALFORMED,
      "2.2.2" },
    { "subscription id cut", V5, SERVER, "30 [ 't' [ 0b 80 ] 01 ]", MALFORMED, "2.2.2" },
    { "will delay in publish", V5, CLIENT, "30 [ 't' [ 18 00000001 ] ]", MALFORMED, "Will Delay" },
    { "reason string in publish", V5, CLIENT, "30 [ 't' [ 1f 'a' ] ]", MALFORMED, "Reason String" },
    { "properties past publish", V5, CLIENT, "30 [ 't' 05 <p> ]", MALFORMED, "2.2.2.1" },

    /* ---- PUBACK and its kin ---- */
    { "puback empty", ALL, CLIENT, "40 []", MALFORMED, "2.2.1" },
    { "puback cut", ALL, CLIENT, "40 [ 01 ]", MALFORMED, "2.2.1" },
    { "puback 0", ALL, CLIENT, "40 [ 0000 ]", PROTOCOL, "[MQTT-2.2.1-3" },
    { "puback with more", OLD, CLIENT, "40 [ 0001 00 ]", MALFORMED, "3.4.1" },
    { "puback flags", V311 | V5, CLIENT, "42 [ 0001 ]", MALFORMED, "[MQTT-2.1.3-1" },
    { "pubrec flags", V311 | V5, CLIENT, "51 [ 0001 ]", MALFORMED, "[MQTT-2.1.3-1" },
    { "pubrel flags 0", V311 | V5, CLIENT, "60 [ 0001 ]", MALFORMED, "MQTT-3.6.1-1]" },
    { "pubrel again", V311 | V5, CLIENT, "6a [ 0001 ]", MALFORMED, "MQTT-3.6.1-1]" },
    { "pubcomp flags", V311 | V5, CLIENT, "72 [ 0001 ]", MALFORMED, "[MQTT-2.1.3-1" },
    { "puback unknown reason", V5, CLIENT, "40 [ 0001 01 ]", PROTOCOL, "[MQTT-3.4.2-1" },
    { "puback packet id not found", V5, CLIENT, "40 [ 0001 92 ]", PROTOCOL, "[MQTT-3.4.2-1" },
    { "pubrec reason ff", V5, CLIENT, "50 [ 0001 ff ]", PROTOCOL, "MQTT-3.5.2-1" },
    { "pubrel quota exceeded", V5, CLIENT, "62 [ 0001 97 ]", PROTOCOL, "MQTT-3.6.2-1" },
    { "pubcomp no subscribers", V5, CLIENT, "70 [ 0001 10 ]", PROTOCOL, "MQTT-3.7.2-1" },
    { "puback with a byte after", V5, CLIENT, "40 [ 0001 00 [] 00 ]", MALFORMED, "2.2.2.1" },
    { "puback properties past the end", V5, CLIENT, "40 [ 0001 00 04 26 ]", MALFORMED, "2.2.2.1" },
    { "puback with an alias", V5, CLIENT, "40 [ 0001 00 [ 23 0001 ] ]", MALFORMED, "Topic Alias" },
    { "reason string twice", V5, CLIENT, "40 [ 0001 00 [ 1f 'a' 1f 'b' ] ]", PROTOCOL,
      "Reason String" },
    { "reason string not UTF-8", V5, CLIENT, "40 [ 0001 00 [ 1f 0001 ff ] ]", MALFORMED,
      "[MQTT-1.5.4-1" },

    /* ---- SUBSCRIBE, UNSUBSCRIBE ---- */
    { "subscribe empty", ALL, CLIENT, "82 []", MALFORMED, "2.2.1" },
    { "subscribe id 0", ALL, CLIENT, "82 [ 0000 00 'a' 00 ]", PROTOCOL, "[MQTT-2.2.1-3" },
    { "subscribe flags 0", V311 | V5, CLIENT, "80 [ 0001 00 'a' 00 ]", MALFORMED, "[MQTT-3.8.1-1" },
    { "subscribe again", V311 | V5, CLIENT, "8a [ 0001 00 'a' 00 ]", MALFORMED, "[MQTT-3.8.1-1" },
    { "no filter", OLD, CLIENT, "82 [ 0001 ]", PROTOCOL, "[MQTT-3.8.3-2" },
    { "5 no filter", V5, CLIENT, "82 [ 0001 [] ]", PROTOCOL, "[MQTT-3.8.3-2" },
    { "filter cut", OLD, CLIENT, "82 [ 0001 0002 <a> ]", MALFORMED, "1.5.4" },
    { "filter without options", OLD, CLIENT, "82 [ 0001 'a' ]", MALFORMED, "3.8.3" },
    { "second filter without options", V5, CLIENT, "82 [ 0001 [] 'a' 00 'b' ]", MALFORMED,
      "3.8.3" },
    { "filter not UTF-8", OLD, CLIENT, "82 [ 0001 0001 ff 00 ]", MALFORMED, "[MQTT-1.5.4-1" },
    { "filter with NUL", OLD, CLIENT, "82 [ 0001 0001 00 00 ]", MALFORMED, "MQTT-1.5.4-2]" },
    { "requested QoS 3", OLD, CLIENT, "82 [ 0001 'a' 03 ]", MALFORMED, "[MQTT-3-8.3-4" },
    { "requested reserved bits", OLD, CLIENT, "82 [ 0001 'a' 04 ]", MALFORMED, "[MQTT-3-8.3-4" },
    { "second requested QoS 3", OLD, CLIENT, "82 [ 0001 'a' 00 'b' 03 ]", MALFORMED,
      "[MQTT-3-8.3-4" },
    { "5 maximum QoS 3", V5, CLIENT, "82 [ 0001 [] 'a' 03 ]", PROTOCOL, "3.8.3.1" },
    { "5 retain handling 3", V5, CLIENT, "82 [ 0001 [] 'a' 30 ]", PROTOCOL, "3.8.3.1" },
    { "5 option bit 6", V5, CLIENT, "82 [ 0001 [] 'a' 40 ]", MALFORMED, "[MQTT-3.8.3-5]" },
    { "5 option bit 7", V5, CLIENT, "82 [ 0001 [] 'a' 81 ]", MALFORMED, "[MQTT-3.8.3-5]" },
    { "no local, shared", V5, CLIENT, "82 [ 0001 [] '$share/g/a' 04 ]", PROTOCOL,
      "[MQTT-3.8.3-4]" },
    { "subscribe with id 0", V5, CLIENT, "82 [ 0001 [ 0b 00 ] 'a' 00 ]", PROTOCOL, "3.8.2.1.2" },
    { "subscribe with two ids", V5, CLIENT, "82 [ 0001 [ 0b 01 0b 02 ] 'a' 00 ]", PROTOCOL,
      "Subscription Identifier" },
    { "subscribe with an expiry", V5, CLIENT, "82 [ 0001 [ 02 00000001 ] 'a' 00 ]", MALFORMED,
      "Message Expiry" },
    { "unsubscribe flags 0", V311 | V5, CLIENT, "a0 [ 0001 00 'a' ]", MALFORMED, "MQTT-3.10.1-1]" },
    { "unsubscribe nothing", OLD, CLIENT, "a2 [ 0001 ]", PROTOCOL, "MQTT-3.10.3-2]" },
    { "5 unsubscribe nothing", V5, CLIENT, "a2 [ 0001 [] ]", PROTOCOL, "MQTT-3.10.3-2]" },
    { "unsubscribe id 0", OLD, CLIENT, "a2 [ 0000 'a' ]", PROTOCOL, "[MQTT-2.2.1-3" },
    { "unsubscribe not UTF-8", OLD, CLIENT, "a2 [ 0001 0001 80 ]", MALFORMED, "[MQTT-1.5.4-1" },
    { "unsubscribe with half a filter", OLD, CLIENT, "a2 [ 0001 'a' 00 ]", MALFORMED, "1.5.4" },
    { "unsubscribe with an id", V5, CLIENT, "a2 [ 0001 [ 0b 01 ] 'a' ]", MALFORMED,
      "Subscription Identifier" },

    /* ---- SUBACK, UNSUBACK ---- */
    { "suback without codes", OLD, SERVER, "90 [ 0001 ]", PROTOCOL, "[MQTT-3.9.3-1" },
    { "5 suback without codes", V5, SERVER, "90 [ 0001 [] ]", PROTOCOL, "[MQTT-3.9.3-1" },
    { "suback code 3", OLD, SERVER, "90 [ 0001 00 03 ]", PROTOCOL, "[MQTT-3.9.3-2" },
    { "suback 5's code in 3.1.1", OLD, SERVER, "90 [ 0001 87 ]", PROTOCOL, "[MQTT-3.9.3-2" },
    { "5 suback code 3", V5, SERVER, "90 [ 0001 [] 03 ]", PROTOCOL, "[MQTT-3.9.3-2" },
    { "5 suback unsuback's code", V5, SERVER, "90 [ 0001 [] 11 ]", PROTOCOL, "[MQTT-3.9.3-2" },
    { "suback id 0", OLD, SERVER, "90 [ 0000 00 ]", PROTOCOL, "[MQTT-2.2.1-3" },
    { "suback flags", V311, SERVER, "92 [ 0001 00 ]", MALFORMED, "[MQTT-2.1.3-1]" },
    { "unsuback with codes", OLD, SERVER, "b0 [ 0001 00 ]", MALFORMED, "3.11.1" },
    { "5 unsuback without codes", V5, SERVER, "b0 [ 0001 [] ]", PROTOCOL, "MQTT-3.11.3-1]" },
    { "5 unsuback suback's code", V5, SERVER, "b0 [ 0001 [] 01 ]", PROTOCOL, "MQTT-3.11.3-2]" },
    { "5 unsuback with server reference", V5, SERVER, "b0 [ 0001 [ 1c 'x' ] 00 ]", MALFORMED,
      "Server Reference" },

    /* ---- PINGREQ, PINGRESP, DISCONNECT, AUTH ---- */
    { "pingreq flags", ALL, CLIENT, "c1 []", MALFORMED, "[MQTT-2.1.3-1]" },
    { "pingreq body", ALL, CLIENT, "c0 [ 00 ]", MALFORMED, "3.12.1" },
    { "pingresp body", ALL, SERVER, "d0 [ 00 ]", MALFORMED, "3.13.1" },
    { "disconnect flags", V311 | V5, CLIENT, "e2 []", MALFORMED, "[MQTT-3.14.1-1]" },
    { "disconnect with a reason", OLD, CLIENT, "e0 [ 00 ]", MALFORMED, "3.14.1" },
    { "disconnect from an old server", OLD, SERVER, "e0 []", PROTOCOL, "3.14" },
    { "5 disconnect unknown reason", V5, CLIENT, "e0 [ 01 ]", PROTOCOL, "[MQTT-3.14.2-1]" },
    { "5 disconnect bad credentials", V5, SERVER, "e0 [ 86 ]", PROTOCOL, "[MQTT-3.14.2-1]" },
    { "5 a client shuts down", V5, CLIENT, "e0 [ 8b ]", PROTOCOL, "[MQTT-3.14.2-1]" },
    { "5 a server's will", V5, SERVER, "e0 [ 04 ]", PROTOCOL, "[MQTT-3.14.2-1]" },
    { "5 a server's session expiry", V5, SERVER, "e0 [ 8b [ 11 00000001 ] ]", PROTOCOL,
      "[MQTT-3.14.2-2]" },
    { "5 disconnect with more", V5, CLIENT, "e0 [ 00 [] 00 ]", MALFORMED, "2.2.2.1" },
    { "5 disconnect with receive maximum", V5, CLIENT, "e0 [ 00 [ 21 0001 ] ]", MALFORMED,
      "Receive Maximum" },
    { "auth flags", V5, CLIENT, "f1 [ 18 [ 15 'm' ] ]", MALFORMED, "[MQTT-3.15.1-1]" },
    { "auth unknown reason", V5, CLIENT, "f0 [ 01 [ 15 'm' ] ]", PROTOCOL, "[MQTT-3.15.2-1]" },
    { "auth reason alone", V5, CLIENT, "f0 [ 18 ]", MALFORMED, "MQTT-2.2.2-1]" },
    { "auth without method", V5, CLIENT, "f0 [ 18 [ 26 'a' 'b' ] ]", PROTOCOL, "3.15.2.2.2" },
    { "auth data without method", V5, CLIENT, "f0 [ 18 [ 16 'd' ] ]", PROTOCOL, "Authentication" },
    { "auth with more", V5, CLIENT, "f0 [ 18 [ 15 'm' ] 00 ]", MALFORMED, "2.2.2.1" },
};

/* Every packet a decoder fills; any of them, filled with a pattern beforehand. */
union packet {
    struct mqtt_connect connect;
    struct mqtt_connack connack;
    struct mqtt_publish publish;
    struct mqtt_ack ack;
    struct mqtt_subscribe subscribe;
    struct mqtt_suback suback;
    struct mqtt_reasoned reasoned;
};

static uint8_t decode(const struct mqtt_frame *f, enum mqtt_version v, enum from from,
                      union packet *p, const char **why)
{
    switch ((enum mqtt_type)f->type) {
    case MQTT_CONNECT: return mqtt_decode_connect(f, &p->connect, why);
    case MQTT_CONNACK: return mqtt_decode_connack(f, v, &p->connack, why);
    case MQTT_PUBLISH: return mqtt_decode_publish(f, v, &p->publish, why);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return mqtt_decode_ack(f, v, &p->ack, why);
    case MQTT_SUBSCRIBE: return mqtt_decode_subscribe(f, v, &p->subscribe, why);
    case MQTT_SUBACK: return mqtt_decode_suback(f, v, &p->suback, why);
    case MQTT_UNSUBSCRIBE: return mqtt_decode_unsubscribe(f, v, &p->subscribe, why);
    case MQTT_UNSUBACK: return mqtt_decode_unsuback(f, v, &p->suback, why);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return mqtt_decode_empty(f, why);
    case MQTT_DISCONNECT: return mqtt_decode_disconnect(f, v, from == SERVER, &p->reasoned, why);
    case MQTT_AUTH: return mqtt_decode_auth(f, &p->reasoned, why);
    }
    return MQTT_RC_MALFORMED;
}

static void is_refused(const struct bad_case *c, enum mqtt_version v)
{
    struct sl_buf bytes = { 0 };
    put_bytes(&bytes, c->bytes);
    uint8_t *copy = malloc(bytes.len); /* exactly: a sanitizer sees one byte past it */
    assert_non_null(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    struct sl_cursor in = { copy, bytes.len };
    struct mqtt_frame f;
    assert_int_equal(mqtt_frame_next(&in, UINT32_MAX, &f, NULL), MQTT_FRAME_OK);
    assert_int_equal(in.left, 0);

    union packet p, untouched;
    memset(&p, 0xA5, sizeof p);
    memset(&untouched, 0xA5, sizeof untouched);
    const char *why = NULL;
    assert_int_equal(decode(&f, v, c->from, &p, &why), c->want);
    assert_memory_equal(&p, &untouched, sizeof p);
    assert_non_null(why);
    if (!strstr(why, c->clause))
        fail_msg("\"%s\" does not say %s", why, c->clause);
    assert_int_equal(decode(&f, v, c->from, &p, NULL), c->want); /* nobody asks why */
    free(copy);
    sl_buf_free(&bytes);
}

static void refused(void **state)
{
    const struct bad_case *c = *state;
    for (int v = MQTT_V31; v <= MQTT_V5; v++)
        if (c->versions >> v & 1)
            is_refused(c, (enum mqtt_version)v);
}

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(bad_cases)];
    for (size_t i = 0; i < SL_ARRAY_LEN(bad_cases); i++)
        tests[i] =
            (struct CMUnitTest){ bad_cases[i].name, refused, NULL, NULL, (void *)&bad_cases[i] };
    return _cmocka_run_group_tests("codec refuses", tests, SL_ARRAY_LEN(tests), NULL, NULL);
}
