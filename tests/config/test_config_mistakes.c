/* test_config_mistakes.c - one mistake, one line: its exact place, path and words. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define USERS    "\"access\":{\"users_file\":\"users\"}"
#define RULE(to) "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[" to "]}]}"
#define AWS(more)                                                                                  \
    "{\"cloud\":{\"endpoint\":\"h\",\"ca\":\"ca.pem\",\"cert\":\"cert.pem\",\"key\":\"key."        \
    "pem\"\n" more "}}"
#define PLAIN(more) "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h\"\n" more "}}"
#define TLS(more)                                                                                  \
    "{\"listeners\":[{\"protocol\":\"mqtts\",\"tls\":{\"cert\":\"cert.pem\",\"key\":\"key."        \
    "pem\"\n" more "}}]}"

#define TLS_LAN(more)                                                                              \
    "{\"listeners\":[{\"protocol\":\"mqtts\",\n\"bind\":\"0.0.0.0\",\"tls\":{\"cert\":\"cert."     \
    "pem\",\"key\":\"key.pem\"\n" more "}}]}"

static const struct mistake {
    const char *name, *text, *lines; /* lines: "" for none */
} cases[] = {
    /* ---- types and ranges ---- */
    { "empty is fine", "{}", "" },
    { "not an object", "[]", "1:1: (file): expected an object, found a list" },
    { "unknown section", "{\n  \"acess\": {}\n}",
      "2:3: acess: unknown key; the nearest known key is \"access\"" },
    { "unknown key", "{\"broker\": {\"max_conections\": 5}}",
      "1:13: broker.max_conections: unknown key; the nearest known key is \"max_connections\"" },
    { "key of another level", "{\"log\": {\"web\": {}}}",
      "1:10: log.web: unknown key; the nearest known key is \"level\" (this one belongs at the top "
      "of the file: is a '}' missing?)" },
    { "unknown key deep inside",
      "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"cloud\":\"a\",\n"
      "\"Qos\":1}]}]}",
      "2:1: rules[0].to[0].Qos: unknown key; the nearest known key is \"qos\"" },
    { "text for a section", "{\"log\": \"info\"}", "1:9: log: expected an object, found \"info\"" },
    { "null for a section", "{\"web\": null}", "1:9: web: expected an object, found null" },
    { "object for a list", "{\"listeners\": {}}",
      "1:15: listeners: expected a list of objects, found an object" },
    { "number in a list of objects", "{\"gpio\": [7]}",
      "1:11: gpio[0]: expected an object, found 7" },
    { "number for a text", "{\"gateway\": {\"id\": 7}}",
      "1:20: gateway.id: expected a text, found 7" },
    { "empty text", "{\"gateway\": {\"id\": \"\"}}", "1:20: gateway.id: must not be empty" },
    { "text for a bool", "{\"broker\": {\"retain\": \"true\"}}",
      "1:23: broker.retain: expected true or false, found \"true\"" },
    { "text for an integer", "{\"broker\": {\"max_qos\": \"2\"}}",
      "1:24: broker.max_qos: expected a whole number, found \"2\"" },
    { "fraction for an integer", "{\"broker\": {\"max_qos\": 1.5}}",
      "1:24: broker.max_qos: expected a whole number, found 1.5" },
    { "integer above", "{\"broker\": {\"max_qos\": 3}}",
      "1:24: broker.max_qos: 3 is not within 0 to 2" },
    { "integer below", "{\"broker\": {\"max_qos\": -1}}",
      "1:24: broker.max_qos: -1 is not within 0 to 2" },
    { "huge integer", "{\"broker\": {\"max_connections\": 1e300}}",
      "1:32: broker.max_connections: 1e300 is not within 1 to 1000000" },
    { "port 0", "{\"listeners\": [{\"port\": 0}]}",
      "1:25: listeners[0].port: 0 is not within 1 to 65535" },
    { "port 65536", "{\"listeners\": [{\"port\": 65536}]}",
      "1:25: listeners[0].port: 65536 is not within 1 to 65535" },
    { "duration without unit", "{\"store\": {\"max_age\": \"30\"}}",
      "1:23: store.max_age: expected a duration with its unit (ms, s, m, h, d) such as \"10s\", "
      "found \"30\"" },
    { "number for a duration", "{\"store\": {\"max_age\": 30}}",
      "1:23: store.max_age: expected a duration with its unit (ms, s, m, h, d) such as \"10s\", "
      "found 30" },
    { "duration above", "{\"broker\": {\"max_keep_alive\": \"19h\"}}",
      "1:31: broker.max_keep_alive: \"19h\" is not within 1s to 65535s" },
    { "size with a wrong unit", "{\"store\": {\"max_bytes\": \"1 GiB\"}}",
      "1:25: store.max_bytes: expected a size such as \"64KiB\" or a number of bytes, found "
      "\"1 GiB\"" },
    { "size below", "{\"store\": {\"max_bytes\": 65535}}",
      "1:25: store.max_bytes: 65535 is not within 64KiB to 1TiB" },
    { "negative size", "{\"store\": {\"max_bytes\": -1}}",
      "1:25: store.max_bytes: -1 is not within 64KiB to 1TiB" },
    { "word", "{\"log\": {\"level\": \"warning\"}}",
      "1:19: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found "
      "\"warning\"" },
    { "number for a word", AWS(", \"protocol_version\": 3"),
      "2:23: cloud.protocol_version: 3 is not within 4 to 5" },
    { "long values are shortened",
      "{\"log\":{\"level\":\"0123456789012345678901234567890123456789012345678901234567890123\"}}",
      "1:17: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found "
      "\"012345678901234567890123456789012345678901234567890123456789\"..." },
    { "control characters are escaped", "{\"log\":{\"level\":\"a\\u001b[1m\"}}",
      "1:17: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found "
      "\"a\\u001b[1m\"" },

    /* ---- gateway ---- */
    { "id with a slash", "{\"gateway\": {\"id\": \"a/b\"}}",
      "1:20: gateway.id: a name is made of letters, digits, '_', '-' and '.', and of :" },
    { "data_dir is a file", "{\"gateway\": {\"data_dir\": \"users\"}}",
      "1:26: gateway.data_dir: DIR/users is not a folder" },

    /* ---- listeners ---- */
    { "open to everyone", "{\"listeners\": [{\"bind\": \"0.0.0.0\"}]}",
      "1:25: listeners[0].bind: everyone on the network could connect: choose who may with "
      "access.users_file, tls.client_cert \"required\", or access.anonymous true (everyone) or "
      "false" },
    { "open to everyone, IPv6", "{\"listeners\": [{\"bind\": \"::\"}]}",
      "1:25: listeners[0].bind: everyone on the network could connect: choose who may with "
      "access.users_file, tls.client_cert \"required\", or access.anonymous true (everyone) or "
      "false" },
    { "open to one network", "{\"listeners\": [{\"bind\": \"192.168.1.1\"}]}",
      "1:25: listeners[0].bind: everyone on the network could connect: choose who may with "
      "access.users_file, tls.client_cert \"required\", or access.anonymous true (everyone) or "
      "false" },
    { "open by choice",
      "{\"listeners\": [{\"bind\": \"0.0.0.0\"}], \"access\": {\"anonymous\": true}}", "" },
    { "open to users", "{\"listeners\": [{\"bind\": \"0.0.0.0\"}], " USERS "}", "" },
    { "loopback", "{\"listeners\": [{\"bind\": \"127.1.2.3\"}, {\"bind\": \"::1\"}]}", "" },
    { "loopback mapped", "{\"listeners\": [{\"bind\": \"::ffff:127.0.0.1\"}]}", "" },
    { "certificates are a choice", TLS_LAN(",\"ca\":\"ca.pem\",\"client_cert\":\"required\""), "" },
    { "optional certificates are none", TLS_LAN(",\"ca\":\"ca.pem\",\"client_cert\":\"optional\""),
      "2:8: listeners[0].bind: everyone on the network could connect: choose who may with "
      "access.users_file, tls.client_cert \"required\", or access.anonymous true (everyone) or "
      "false" },
    { "nobody can connect", "{\"access\": {\"anonymous\": false}}",
      "warning: 1:26: access.anonymous: nobody can connect: there is no users_file and no listener "
      "takes names from certificates" },
    { "host name to listen on", "{\"listeners\": [{\"bind\": \"localhost\"}]}",
      "1:25: listeners[0].bind: expected an IP address (127.0.0.1 for this machine, 0.0.0.0 for "
      "every interface), found \"localhost\"" },
    { "mqtts without tls", "{\"listeners\": [{\"protocol\": \"mqtts\"}]}",
      "1:16: listeners[0].tls: is missing: this protocol needs tls.cert and tls.key" },
    { "tls without mqtts", "{\"listeners\": [{\"tls\": {}}]}",
      "1:24: listeners[0].tls: only the protocols mqtts and wss have TLS" },
    { "tls without key",
      "{\"listeners\": [{\"protocol\": \"mqtts\", \"tls\": {\"cert\": "
      "\"cert.pem\"}}]}",
      "1:38: listeners[0].tls.key: is missing: the certificate's private key (a PEM file)" },
    { "certificate not there",
      "{\"listeners\":[{\"protocol\":\"mqtts\",\"tls\":{\"cert\":\"no.pem\","
      "\"key\":\"key.pem\"}}]}",
      "1:49: listeners[0].tls.cert: cannot read DIR/no.pem: No such file or directory" },
    { "certificate is a folder",
      "{\"listeners\":[{\"protocol\":\"mqtts\",\"tls\":{\"cert\":\"/tmp\","
      "\"key\":\"key.pem\"}}]}",
      "1:49: listeners[0].tls.cert: /tmp is not a regular file" },
    { "key that everyone may read",
      "{\"listeners\":[{\"protocol\":\"mqtts\",\"tls\":{\"cert\":\"cert.pem\","
      "\"key\":\"open-key.pem\"}}]}",
      "warning: 1:66: listeners[0].tls.key: every user of this machine may read "
      "DIR/open-key.pem: chmod o-r it" },
    { "client_cert without ca", TLS(", \"client_cert\": \"required\""),
      "1:35: listeners[0].tls.ca: is missing: client certificates are checked against it" },
    { "username_from_cert without client_cert", TLS(", \"username_from_cert\": true"),
      "2:25: listeners[0].tls.username_from_cert: needs client_cert \"required\" or "
      "\"optional\"" },
    { "TLS 1.1", TLS(", \"min_version\": \"1.1\""),
      "2:18: listeners[0].tls.min_version: expected one of \"1.2\", \"1.3\", found \"1.1\"" },
    { "unix and port", "{\"listeners\": [{\"unix\": \"/run/x\", \"port\": 1883}]}",
      "1:25: listeners[0].unix: a listener has either unix or bind and port, not both" },
    { "unix with TLS",
      "{\"listeners\":[{\"unix\":\"/run/x\",\"protocol\":\"mqtts\",\"tls\":{\"cert\":\"cert.pem\","
      "\"key\":\"key.pem\"}}]}",
      "1:23: listeners[0].unix: only the protocol mqtt works on a Unix socket" },
    { "long unix path",
      "{\"listeners\":[{\"unix\":\"/tmp/0123456789012345678901234567890123456789012345678901234567"
      "89012345678901234567890123456789012345678901234567890\"}]}",
      "1:23: listeners[0].unix: longer than the 107 bytes a socket's path can have" },
    { "same name", "{\"listeners\":[{\"name\":\"a\",\"port\":1},{\"name\":\"a\",\"port\":2}]}",
      "1:45: listeners[1].name: \"a\" is already the name of listeners[0]" },
    { "same port", "{\"listeners\":[{\"port\":1},{\"port\":1}]}",
      "1:34: listeners[1].port: listeners[0] already takes port 1 there" },
    { "same port by default", "{\"listeners\":[{},{}]}",
      "1:18: listeners[1].port: listeners[0] already takes port 1883 there" },
    { "every interface takes loopback along",
      "{\"access\":{\"anonymous\":true},\"listeners\":[{\"bind\":\"0.0.0.0\"},{\"port\":1883}]}",
      "1:70: listeners[1].port: listeners[0] already takes port 1883 there" },
    { "every IPv6 address takes one along",
      "{\"access\":{\"anonymous\":true},\"listeners\":[{\"bind\":\"::\"},{\"bind\":\"::1\"}]}",
      "1:57: listeners[1].port: listeners[0] already takes port 1883 there" },
    { "IPv6 any beside IPv4",
      "{\"access\":{\"anonymous\":true},\"listeners\":[{\"bind\":\"::\"},{\"bind\":\"0.0.0.0\"}]}",
      "" },
    { "other addresses do not clash",
      "{\"listeners\":[{\"bind\":\"127.0.0.1\"},{\"bind\":\"127.0.0.2\"},{\"bind\":\"::1\"}]}",
      "" },
    { "same socket", "{\"listeners\":[{\"unix\":\"/run/x\"},{\"unix\":\"/run/x\"}]}",
      "1:41: listeners[1].unix: listeners[0] has the same socket" },
    { "a wrong port is no clash", "{\"listeners\":[{\"port\":\"1\"},{}]}",
      "1:23: listeners[0].port: expected a whole number, found \"1\"" },

    /* ---- access ---- */
    { "users file not there", "{\"access\": {\"users_file\": \"nobody\"}}",
      "warning: 1:27: access.users_file: DIR/nobody is not there yet: nobody can sign in before "
      "`sluice user add NAME`" },
    { "users file is a folder", "{\"access\": {\"users_file\": \"/tmp\"}}",
      "1:27: access.users_file: /tmp is not a regular file" },
    { "access list",
      "{\"access\": {\"users_file\": \"users\", \"acl\": [\n"
      "{\"deny\": [\"private/#\"]}, {\"user\": \"s-*\", \"publish\": [\"s/%u/%c/100%%\"]},\n"
      "{\"anonymous\": true, \"subscribe\": [\"#\", \"$SYS/#\"]}]}}",
      "" },
    { "empty access list", "{\"access\": {\"acl\": []}}", "" },
    { "filter in an entry", "{\"access\": {\"acl\": [{\"deny\": [\"a/#\", \"a#\"]}]}}",
      "1:38: access.acl[0].deny[1]: not a topic filter ('+' stands for one whole level, '#' only "
      "at "
      "the end)" },
    { "entry that says nothing", "{\"access\": {\"acl\": [{\"anonymous\": true, \"deny\": []}]}}",
      "1:21: access.acl[0]: an entry needs deny, publish or subscribe: this one says nothing" },
    { "unknown placeholder", "{\"access\": {\"acl\": [{\"publish\": [\"a/%d\", \"a/%\"]}]}}",
      "1:34: access.acl[0].publish[0]: %u stands for the user name, %c for the client id and %% "
      "for "
      "'%'; nothing else follows a '%'\n"
      "1:42: access.acl[0].publish[1]: %u stands for the user name, %c for the client id and %% "
      "for "
      "'%'; nothing else follows a '%'" },
    { "shared subscription in an entry",
      "{\"access\": {\"acl\": [{\"subscribe\": [\"$share/g/a\"]}]}}",
      "1:36: access.acl[0].subscribe[0]: a shared subscription is allowed by its filter: write it "
      "without $share/NAME/" },
    { "users that nobody checks", "{\"access\": {\"acl\": [{\"user\": \"u\", \"deny\": [\"a\"]}]}}",
      "warning: 1:30: access.acl[0].user: speaks for nobody: without users_file, and without a "
      "listener that takes names from certificates, nobody's name is checked" },
    { "entry for users and for nameless",
      "{\"access\": {\"users_file\": \"users\", \"acl\": [{\"user\": \"u\", \"anonymous\": true, "
      "\"deny\": [\"a\"]}]}}",
      "1:53: access.acl[0].user: an entry is for users or for clients without a name, not for "
      "both" },

    /* ---- rules ---- */
    { "rule without anything", "{\"rules\": [{}]}",
      "1:12: rules[0].name: is missing: every rule has a name of its own\n"
      "1:12: rules[0].sql: is missing: what the rule does, SELECT ... FROM 'filter'\n"
      "1:12: rules[0].to: is missing: where the rule's output goes" },
    { "no outputs", "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[]}]}",
      "1:38: rules[0].to: a rule without outputs does nothing" },
    { "same rule name",
      "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"local\":\"a\"}]},\n"
      "{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"local\":\"a\"}]}]}",
      "2:9: rules[1].name: \"r\" is already the name of rules[0]" },
    { "rule name with a space",
      "{\"rules\":[{\"name\":\"a b\",\"sql\":\"s\",\"to\":[{\"local\":\"a\"}]}]}",
      "1:19: rules[0].name: a name is made of letters, digits, '_', '-' and '.'" },
    { "output without a target", RULE("{\"qos\":1}"),
      "1:39: rules[0].to[0]: an output needs one of cloud, local and gpio" },
    { "output with two targets", RULE("{\"cloud\":\"a\",\"local\":\"b\"}"),
      "1:60: rules[0].to[0].local: an output has only one of cloud, local and gpio; write two "
      "outputs" },
    { "unknown lane", RULE("{\"cloud\":\"a\",\"lane\":\"fast\"}"),
      "1:59: rules[0].to[0].lane: expected one of \"alert\", \"normal\", \"telemetry\", found "
      "\"fast\"" },
    { "qos 2 to the cloud", RULE("{\"cloud\":\"a\",\"qos\":2}"),
      "1:58: rules[0].to[0].qos: an output to the cloud has qos 0 or 1" },
    { "qos 2 here", RULE("{\"local\":\"a\",\"qos\":2}"), "" },
    { "lane here", RULE("{\"local\":\"a\",\"lane\":\"alert\"}"),
      "1:59: rules[0].to[0].lane: a local output has no such option" },
    { "topic of the system", RULE("{\"local\":\"$SYS/x\"}"),
      "1:48: rules[0].to[0].local: topics below $SYS are the gateway's own" },
    { "qos for gpio",
      "{\"gpio\":[{\"name\":\"g\",\"line\":1,\"direction\":\"out\",\"chip\":\"users\"}],\n"
      "\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"gpio\":\"g\",\"qos\":1}]}]}",
      "2:56: rules[0].to[0].qos: a gpio output has no such option" },
    { "unknown line",
      "{\"gpio\":[{\"name\":\"lamp\",\"line\":1,\"direction\":\"out\",\"chip\":\"users\"}],\n"
      "\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"gpio\":\"lmap\"}]}]}",
      "2:46: rules[0].to[0].gpio: no gpio line has the name \"lmap\"; the nearest is \"lamp\"" },
    { "no lines at all", RULE("{\"gpio\":\"lamp\"}"),
      "1:47: rules[0].to[0].gpio: no gpio line has the name \"lamp\"" },
    { "input line",
      "{\"gpio\":[{\"name\":\"door\",\"line\":1,\"chip\":\"users\"}],\n"
      "\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"gpio\":\"door\"}]}]}",
      "2:46: rules[0].to[0].gpio: \"door\" is an input line: its direction is not out" },
    { "batch", RULE("{\"cloud\":\"a\",\"batch\":true}"), "" },
    { "no batch", RULE("{\"cloud\":\"a\",\"batch\":false}"), "" },
    { "batch of a wrong kind", RULE("{\"cloud\":\"a\",\"batch\":1}"),
      "1:60: rules[0].to[0].batch: expected an object, true or false, found 1" },

    /* ---- store ---- */
    { "encryption", "{\"store\": {\"encryption_key\": \"k\"}}",
      "1:30: store.encryption_key: is no key: 64 hexadecimal digits, as `openssl rand -hex 32` "
      "makes them, or 44 characters of base64" },
    { "a key",
      "{\"store\": {\"encryption_key\": "
      "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}}",
      "" },
    { "thin", "{\"store\": {\"when_full\": \"thin\"}}", "" },
    { "refuse", "{\"store\": {\"when_full\": \"refuse\"}}", "" },
    { "WebSocket", "{\"listeners\": [{\"protocol\": \"ws\"}]}", "" },
    { "WebSocket with a path", "{\"listeners\": [{\"protocol\": \"ws\", \"path\": \"/a/b\"}]}",
      "" },
    { "wss without tls", "{\"listeners\": [{\"protocol\": \"wss\"}]}",
      "1:16: listeners[0].tls: is missing: this protocol needs tls.cert and tls.key" },
    { "ws on a Unix socket", "{\"listeners\": [{\"protocol\": \"ws\", \"unix\": \"/tmp/x\"}]}",
      "1:43: listeners[0].unix: only the protocol mqtt works on a Unix socket" },
    { "a path without its slash", "{\"listeners\": [{\"protocol\": \"ws\", \"path\": \"mqtt\"}]}",
      "1:43: listeners[0].path: expected a path like \"/mqtt\": it begins with / and has no ?, #, "
      "%, blank, // or /." },
    { "a path with a query", "{\"listeners\": [{\"protocol\": \"ws\", \"path\": \"/mqtt?a\"}]}",
      "1:43: listeners[0].path: expected a path like \"/mqtt\": it begins with / and has no ?, #, "
      "%, blank, // or /." },
    { "a path where none is asked for", "{\"listeners\": [{\"path\": \"/mqtt\"}]}",
      "1:25: listeners[0].path: only the protocols ws and wss have a path" },

    /* ---- cloud ---- */
    { "AWS", AWS(""), "" },
    { "AWS without anything", "{\"cloud\": {}}",
      "1:2: cloud.endpoint: is missing: the cloud's host name\n"
      "1:2: cloud.ca: is missing: AmazonRootCA1.pem, which the server is checked by\n"
      "1:2: cloud.cert: is missing: AWS IoT knows the gateway by its certificate\n"
      "1:2: cloud.key: is missing: the certificate's private key" },
    { "plain", PLAIN(""), "" },
    { "scheme", "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"mqtt://h\"}}",
      "1:36: cloud.endpoint: expected a host name alone, without a scheme or path" },
    { "port in the endpoint", "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"h:1883\"}}",
      "1:36: cloud.endpoint: expected a host name alone; the port stands in cloud.port" },
    { "IPv6 endpoint", "{\"cloud\":{\"type\":\"mqtt\",\"endpoint\":\"fd00::1\"}}", "" },
    { "password for AWS", AWS(",\"username\":\"u\",\"password\":\"p\""),
      "2:13: cloud.username: only with type \"mqtt\": AWS IoT takes certificates" },
    { "certificate without key", PLAIN(",\"ca\":\"ca.pem\",\"cert\":\"cert.pem\""),
      "1:2: cloud.key: is missing: the certificate's private key" },
    { "password without user", PLAIN(",\"ca\":\"ca.pem\",\"password\":\"p\""),
      "1:2: cloud.username: is missing: a password goes with it" },
    { "password in the clear", PLAIN(",\"username\":\"u\",\"password\":\"p\""),
      "warning: 2:28: cloud.password: goes over the network in the clear: without ca there is no "
      "TLS" },
    { "a secret from a file that everyone may read",
      PLAIN(",\"ca\":\"ca.pem\",\"username\":\"u\",\"password\":\"@file:open-secret\""),
      "warning: 2:42: cloud.password: every user of this machine may read its file: chmod o-r it" },
    { "a secret from a file of its owner's",
      PLAIN(",\"ca\":\"ca.pem\",\"username\":\"u\",\"password\":\"@file:secret\""), "" },
    { "a secret of a wrong type is not shown", PLAIN(",\"password\":{\"p\":1}"),
      "1:2: cloud.username: is missing: a password goes with it\n"
      "2:13: cloud.password: expected a text, found an object\n"
      "warning: 2:13: cloud.password: goes over the network in the clear: without ca there is no "
      "TLS" },
    { "thing name", AWS(",\"thing_name\":\"a/b\""),
      "2:15: cloud.thing_name: a name is made of letters, digits, '_', '-' and '.', and of :" },
    { "reconnect", AWS(",\"reconnect\":{\"min\":\"3m\"}"),
      "2:21: cloud.reconnect.min: min (3m) is above max (2m)" },
    { "AWS keep-alive", AWS(",\"keep_alive\":\"21m\""),
      "warning: 2:15: cloud.keep_alive: AWS IoT uses at most 20m" },
    { "AWS pace",
      AWS(",\"limits\":{\"publishes_per_second\":101,\"in_flight\":101,"
          "\"bytes_per_second\":\"1MiB\",\"max_payload\":131073}"),
      "warning: 2:35: cloud.limits.publishes_per_second: AWS IoT allows 100 a second on one "
      "connection\n"
      "warning: 2:51: cloud.limits.in_flight: AWS IoT allows 100 unacknowledged messages on one "
      "connection\n"
      "warning: 2:74: cloud.limits.bytes_per_second: AWS IoT allows 512KiB a second on one "
      "connection\n"
      "2:95: cloud.limits.max_payload: AWS IoT takes at most 128KiB" },
    { "pace of others", PLAIN(",\"limits\":{\"publishes_per_second\":0.5,\"in_flight\":1000}"),
      "" },
    { "AWS topic too deep",
      "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"cloud\":\"a/b/c/d/e/f/g/h/i\"}]}],\n"
      "\"cloud\":{\"endpoint\":\"h\",\"ca\":\"ca.pem\",\"cert\":\"cert.pem\",\"key\":\"key.pem\"}}",
      "1:48: rules[0].to[0].cloud: AWS IoT takes topics with at most 7 slashes" },
    { "Basic Ingest does not count",
      "{\"rules\":[{\"name\":\"r\",\"sql\":\"s\",\"to\":[{\"cloud\":\"$aws/rules/n/a/b/c/d/e/f/g/"
      "h\"}]}]"
      ",\n\"cloud\":{\"endpoint\":\"h\",\"ca\":\"ca.pem\",\"cert\":\"cert.pem\",\"key\":\"key."
      "pem\"}}",
      "" },
    { "subscription without anything", AWS(",\"subscribe\":[{}]"),
      "2:15: cloud.subscribe[0].cloud: is missing: the topic filter in the cloud\n"
      "2:15: cloud.subscribe[0].local: is missing: the topic here" },
    { "subscription's filter", AWS(",\"subscribe\":[{\"cloud\":\"a#\",\"local\":\"a\"}]"),
      "2:24: cloud.subscribe[0].cloud: not a topic filter ('+' stands for one whole level, '#' "
      "only at the end)" },
    { "wildcards from nowhere", AWS(",\"subscribe\":[{\"cloud\":\"a/+\",\"local\":\"a/+/+\"}]"),
      "2:38: cloud.subscribe[0].local: has wildcards that cloud has not: each takes over what one "
      "of cloud's matched" },
    { "a report's topic", AWS(",\"report_topic\":\"a/${gateway}/b\""), "" },
    { "no reports", AWS(",\"report_topic\":\"\""), "" },
    { "a report's topic with a wildcard", AWS(",\"report_topic\":\"a/#\""),
      "2:17: cloud.report_topic: not a topic (no '+', no '#')" },
    { "a report's topic that is too deep", AWS(",\"report_topic\":\"1/2/3/4/5/6/7/8/9\""),
      "2:17: cloud.report_topic: AWS IoT takes topics with at most 7 slashes" },
    { "unknown name in a subscription",
      AWS(",\"subscribe\":[{\"cloud\":\"${serial}/a\",\"local\":"
          "\"a\"}]"),
      "2:24: cloud.subscribe[0].cloud: the environment variable serial is not set" },
    { "not yet",
      AWS(",\"jobs\":true,\"shadow\":{\"gateway\":true},\"defender\":{\"interval\":\"5m\"}"),
      "warning: 2:9: cloud.jobs: jobs are not available in this version\n"
      "warning: 2:23: cloud.shadow: shadows are not available in this version\n"
      "warning: 2:51: cloud.defender: defender reports are not available in this version" },
    { "a page that may be changed by everybody", "{\"web\": {\"anonymous\": \"full\"}}",
      "warning: 1:23: web.anonymous: what would change something is not on the page in this "
      "version: it allows no more than \"read\"" },
    { "no jobs", AWS(",\"jobs\":false"), "" },

    /* ---- web ---- */
    { "page", "{\"web\": {}}", "" },
    { "page open to everyone", "{\"web\": {\"bind\": \"0.0.0.0\"}}",
      "1:18: web.bind: everyone on the network could see the page: choose who may with "
      "web.users_file, or web.anonymous (none, read or full)" },
    { "page open by choice", "{\"web\": {\"bind\": \"0.0.0.0\", \"anonymous\": \"read\"}}", "" },
    { "page for users", "{\"web\": {\"bind\": \"0.0.0.0\"}, " USERS "}", "" },
    { "page on a listener's port", "{\"web\": {\"port\": 1883}}",
      "1:18: web.port: listeners[0] already takes port 1883 there" },
    { "HTTPS without key", "{\"web\": {\"tls\": {\"cert\": \"cert.pem\"}}}",
      "1:10: web.tls.key: is missing: HTTPS needs cert and key" },
    { "bool for web.anonymous", "{\"web\": {\"anonymous\": true}}",
      "1:23: web.anonymous: expected one of \"none\", \"read\", \"full\", found true" },

    /* ---- gpio ---- */
    { "line without anything", "{\"gpio\": [{\"chip\": \"users\"}]}",
      "1:11: gpio[0].name: is missing: every line has a name of its own\n"
      "1:11: gpio[0].line: is missing: the line's number on its chip" },
    { "same line",
      "{\"gpio\":[{\"name\":\"a\",\"line\":1,\"chip\":\"users\"},\n"
      "{\"name\":\"b\",\"line\":1,\"chip\":\"users\"}]}",
      "2:20: gpio[1].line: gpio[0] already has line 1 of this chip" },
    { "same line name",
      "{\"gpio\":[{\"name\":\"a\",\"line\":1,\"chip\":\"users\"},\n"
      "{\"name\":\"a\",\"line\":2,\"chip\":\"users\"}]}",
      "2:9: gpio[1].name: \"a\" is already the name of gpio[0]" },
    { "topic with a wildcard",
      "{\"gpio\":[{\"name\":\"a\",\"line\":1,\"chip\":\"users\","
      "\"topic\":\"a/+\"}]}",
      "1:54: gpio[0].topic: not a topic: '+' and '#' cannot be in it" },
    { "debounced output",
      "{\"gpio\":[{\"name\":\"a\",\"line\":1,\"chip\":\"users\","
      "\"direction\":\"out\",\"debounce\":\"1ms\"}]}",
      "warning: 1:75: gpio[0].debounce: has no meaning for an output line" },
    { "no such chip", "{\"gpio\":[{\"name\":\"a\",\"line\":1,\"chip\":\"/dev/no-chip\"}]}",
      "warning: 1:38: gpio[0].chip: /dev/no-chip is not there on this machine" },

    /* ---- from outside ---- */
    { "variable not set", "{\"gateway\": {\"id\": \"a${SLUICE_UNSET}\"}}",
      "1:20: gateway.id: the environment variable SLUICE_UNSET is not set" },
    { "no variable's name", "{\"gateway\": {\"id\": \"${a.b}\"}}",
      "1:20: gateway.id: ${a.b} is not the name of an environment variable (a plain ${ is written "
      "$${)" },
    { "variable not closed", "{\"gateway\": {\"id\": \"${A\"}}",
      "1:20: gateway.id: a ${ without its } (a plain ${ is written $${)" },
    { "file not there", "{\"gateway\": {\"id\": \"@file:nothing\"}}",
      "1:20: gateway.id: @file: DIR/nothing: No such file or directory" },
    { "key instead of its path", TLS(", \"ca\": \"@file:secret\""),
      "2:9: listeners[0].tls.ca: this key is a path itself: write it without @file:" },
    { "password without quotes",
      PLAIN(",\"username\":\"u\",\"ca\":\"ca.pem\",\"password\":" SECRET),
      "2:42: cloud.password: not a value; texts stand in double quotes" },
    { "a line's name from a file", RULE("{\"gpio\":\"@file:secret\"}"),
      "1:47: rules[0].to[0].gpio: no gpio line has the name the text taken from outside the file" },
    { "device as a file", "{\"gateway\": {\"id\": \"@file:/dev/zero\"}}",
      "1:20: gateway.id: @file: /dev/zero is not a regular file" },
    { "a file's content is not shown", "{\"log\": {\"level\": \"@file:secret\"}}",
      "1:19: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found the text "
      "taken from outside the file" },
    { "a variable's content is not shown", "{\"log\": {\"level\": \"${SLUICE_TEST_SECRET}\"}}",
      "1:19: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found the text "
      "taken from outside the file" },

    /* ---- several at once ---- */
    { "a syntax mistake hides nothing",
      "{\n  \"gateway\": { \"id\": \"a b\" }\n  \"log\": { \"level\": \"loud\" },\n"
      "  \"web\": { \"port\": yes },\n  \"store\": { \"max_age\": \"30d }\n}",
      "2:22: gateway.id: a name is made of letters, digits, '_', '-' and '.', and of :\n"
      "2:29: (file): expected ',' here\n"
      "3:21: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found \"loud\"\n"
      "4:20: web.port: yes is no value; write true\n"
      "5:25: store.max_age: this text is not closed with \" in its line" },
    { "ten mistakes",
      "{\n"
      "  \"gateway\": { \"id\": \"barn/01\" },\n"
      "  \"log\": { \"level\": \"verbose\" },\n"
      "  \"listeners\": [ { \"bind\": \"0.0.0.0\", \"port\": 1883 } ],\n"
      "  \"broker\": { \"max_qos\": 3 },\n"
      "  \"store\": { \"max_age\": 30, },\n"
      "  \"web\": { \"prot\": 8080 },\n"
      "  \"rules\": [ { \"name\": \"r\", \"sql\": \"s\", \"to\": [ { \"gpio\": \"led\" } ] } ],\n"
      "  \"cloud\": { \"type\": \"mqtt\", \"endpoint\": \"h\", \"reconnect\": { \"max\": \"10ms\" "
      "} }\n"
      "  \"gpio\": [ { \"name\": \"a\", \"line\": 1, \"chip\": \"users\", \"bias\": \"up\" } ],\n"
      "}",
      "2:22: gateway.id: a name is made of letters, digits, '_', '-' and '.', and of :\n"
      "3:21: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", found "
      "\"verbose\"\n"
      "4:28: listeners[0].bind: everyone on the network could connect: choose who may with "
      "access.users_file, tls.client_cert \"required\", or access.anonymous true (everyone) or "
      "false\n"
      "5:26: broker.max_qos: 3 is not within 0 to 2\n"
      "6:25: store.max_age: expected a duration with its unit (ms, s, m, h, d) such as \"10s\", "
      "found 30\n"
      "7:12: web.prot: unknown key; the nearest known key is \"port\"\n"
      "8:59: rules[0].to[0].gpio: no gpio line has the name \"led\"; the nearest is \"a\"\n"
      "9:69: cloud.reconnect.max: min (1s) is above max (10ms)\n"
      "9:79: (file): expected ',' here\n"
      "10:64: gpio[0].bias: expected one of \"as-is\", \"disabled\", \"pull-up\", \"pull-down\", "
      "found \"up\"" },
};

static void complains(void **state)
{
    const struct mistake *m = *state;
    struct sl_buf lines = { 0 };
    enum sl_code rc = support_parse(sl_str(m->text), NULL, &lines);
    const char *got = sl_buf_cstr(&lines);
    assert_string_equal(got, m->lines);
    assert_null(strstr(got, SECRET));
    bool only_warnings = true;
    for (const char *at = m->lines; at && *at; at = strchr(at, '\n'))
        only_warnings = strncmp(at += *at == '\n', "warning: ", 9) == 0 && only_warnings;
    assert_int_equal(rc, only_warnings ? SL_OK : SL_INVALID);
    sl_buf_free(&lines);
}

static void stops_at_its_bound(void **state)
{
    (void)state;
    struct sl_buf text = { 0 }, lines = { 0 };
    sl_buf_put_str(&text, "{");
    for (int i = 0; i < CONFIG_PROBLEMS_MAX + 50; i++)
        sl_buf_printf(&text, "\"key%d\": 1,\n", i);
    sl_buf_put_str(&text, "}");
    assert_int_equal(support_parse(sl_buf_slice(&text), NULL, &lines), SL_INVALID);
    const char *at = sl_buf_cstr(&lines), *last = strrchr(at, '\n') + 1;
    int count = 1;
    for (; (at = strchr(at, '\n')); at++)
        count++;
    assert_int_equal(count, CONFIG_PROBLEMS_MAX);
    assert_string_equal(last, "1:1: (file): more than 199 problems; the rest is left out");
    sl_buf_free(&text);
    sl_buf_free(&lines);
}

static int tear_down(void **state)
{
    (void)state;
    support_remove();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(cases) + 1];
    size_t n = 0;
    (void)setenv("SLUICE_TEST_SECRET", SECRET, 1);
    (void)unsetenv("SLUICE_UNSET");
    (void)unsetenv("serial");
    for (; n < SL_ARRAY_LEN(cases); n++)
        tests[n] = (struct CMUnitTest){ .name = cases[n].name,
                                        .test_func = complains,
                                        .initial_state = (void *)(uintptr_t)&cases[n] };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(stops_at_its_bound);
    return _cmocka_run_group_tests("mistakes", tests, n, NULL, tear_down);
}
