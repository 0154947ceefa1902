/* test_bridge_client.c - the client core, conversation by conversation. The words are explained in
 * script.c. */
#include "script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UP5 "start 5\nout CONNECT v5 gw clean=0 ka=60 expiry=604800 max=1048576\n"
#define UP4 "start 4\nout CONNECT v4 gw clean=0 ka=60\n"
/* Under suspicion: the server answers a ping, and is quiet. */
#define BARREN4                                                                                    \
    UP4 "srv connack 0 0\npub normal 1 1 a x\nlost hung-up\n" UP4                                  \
        "srv connack 0 0\npub normal 1 1 a x\nlost hung-up\n"
#define CAREFUL4 UP4 "srv connack 0 0\nout PINGREQ\nroom no\nsrv pingresp\nroom 2000\nt 2000\n"
#define STRIKE   "pub normal 1 1 a x\nlost hung-up\n"
#define STRIKE2  "pub normal 2 1 a y\nlost hung-up\n"

static const struct talk {
    const char *name, *script;
} talks[] = {
    /* ---- connecting ---- */
    { "5: connect without subscriptions is up at once",
      UP5 "phase connecting\nroom no\nsrv connack 0 0\nphase up\nroom yes\nout -" },
    { "4: connect", UP4 "srv connack 0 0\nphase up\nout -" },
    { "aws: no maximum packet size is announced",
      "opt aws=1\nstart 5\nout CONNECT v5 gw clean=0 ka=60 expiry=604800" },
    { "user and password",
      "opt user=u pass=p\nstart 4\nout CONNECT v4 gw clean=0 ka=60 user=u pass=p" },
    { "a password alone is not sent", "opt pass=p\nstart 4\nout CONNECT v4 gw clean=0 ka=60" },
    { "nothing is sent before CONNACK", UP5 "t 500000\nout -\ndue never" },
    { "5: refused, not authorized", UP5 "srv connack 0 87\nphase failed\nfault refused\nout -" },
    { "5: refused version", UP5 "srv connack 0 84\nfault version" },
    { "5: an older server's refusal of the version", UP5 "hex 20 02 00 01\nfault version" },
    { "4: refused version", UP4 "hex 20 02 00 01\nfault version" },
    { "4: code 5", UP4 "hex 20 02 00 05\nfault refused" },
    { "4: AWS's code 7", UP4 "hex 20 02 00 07\nphase failed" },
    { "first packet is not CONNACK", UP5 "srv pingresp\nfault protocol\nout -" },
    { "first packet is a PUBLISH", UP4 "srv publish 0 0 a b\nfault protocol\nev -" },
    { "a second CONNACK",
      UP5 "srv connack 0 0\nsrv connack 0 0\nfault protocol\nout DISCONNECT 82" },
    { "CONNACK byte by byte", UP4 "drip 20 02 00 00\nphase up" },
    { "CONNACK with a broken length", UP5 "hex 20 ff ff ff ff\nfault protocol" },
    { "CONNACK that is too short", UP4 "hex 20 01 00\nfault protocol" },
    { "noise", UP5 "hex 00 00 00 00\nfault protocol" },
    { "an HTTP server", UP5 "hex 48 54 54 50 2f 31 2e 31 20 34 30 30\nphase connecting" },
    { "after a fault nothing more is taken",
      UP5 "srv connack 0 0\nhex 00 00\nphase failed\nsrv publish 0 0 a b\nev -\nroom no" },

    /* ---- messages that are taken later ---- */
    { "acknowledged when it is taken",
      UP5 "srv connack 0 0\nsrv publish 1 7 a later\nev message q1 a later\nev token 0\nout -\n"
          "done 0\nout PUBACK 7\ndone 0\nout -" },
    { "in the order in which they came", UP5
      "srv connack 0 0\nsrv publish 1 7 a later\nsrv publish 1 8 a now\nsrv publish 1 9 a later\n"
      "out -\ndone 2\nout -\ndone 0\nout PUBACK 7\nout PUBACK 8\nout PUBACK 9" },
    { "QoS 0 asks for nothing",
      UP5 "srv connack 0 0\nsrv publish 0 0 a later\nev message q0 a later\ndone 0\nout -" },
    { "not of another connection", UP5
      "srv connack 0 0\nsrv publish 1 7 a later\nlost\n" UP5
      "srv connack 1 0\ndone 0\nout -\nsrv publish 1 7 a later\nev message q1 a later\nev token 0\n"
      "ev message q1 a later\nev token 1\ndone 0\nout -\ndone 1\nout PUBACK 7" },
    { "5: no room is told",
      UP5 "srv connack 0 0\nsrv publish 1 7 a full\nout PUBACK 7 97\nsrv publish 1 8 a later\n"
          "done 1 97\nout PUBACK 8 97" },
    { "4: no room: it comes again, and the next is acknowledged",
      UP4 "srv connack 0 0\nsrv publish 1 7 a full\nout -\nsrv publish 1 8 a now\nout PUBACK 8" },
    { "a token nobody has", UP5 "srv connack 0 0\ndone 0\ndone 99999\nout -\nphase up" },

    /* ---- subscribing ---- */
    { "subscribe, then up",
      "opt sub=a/#>b/#:1\nopt sub=c>d:0\n" UP5 "srv connack 0 0\nphase subscribing\nroom no\n"
      "out SUBSCRIBE id=32768 a/#:1 c:0\nsrv suback 32768 1,0\nphase up\nroom yes" },
    { "in doubt: the first connection subscribes though the session is there",
      "opt sub=a/#>b/#:1\n" UP5 "srv connack 1 0\nout SUBSCRIBE id=32768 a/#:1" },
    { "session present after a subscription: no second one",
      "opt sub=a>b:1\n" UP5
      "srv connack 0 0\nout SUBSCRIBE id=32768 a:1\nsrv suback 32768 1\nlost\n" UP5
      "srv connack 1 0\nphase up\nout -" },
    { "session gone: subscribe again",
      "opt sub=a>b:1\n" UP5
      "srv connack 0 0\nout SUBSCRIBE id=32768 a:1\nsrv suback 32768 1\nlost\n" UP5
      "srv connack 0 0\nphase subscribing\nout SUBSCRIBE id=32768 a:1" },
    { "lost before SUBACK: subscribe again",
      "opt sub=a>b:1\n" UP5 "srv connack 0 0\nout SUBSCRIBE id=32768 a:1\nlost\n" UP5
      "srv connack 1 0\nout SUBSCRIBE id=32768 a:1" },
    { "another version has another session",
      "opt sub=a>b:1\n" UP5
      "srv connack 0 0\nout SUBSCRIBE id=32768 a:1\nsrv suback 32768 1\nlost\n" UP4
      "srv connack 1 0\nout SUBSCRIBE id=32768 a:1" },
    { "a refused filter is told, and asked for again next time",
      "opt sub=a>b:1\nopt sub=c>d:1\n" UP5 "srv connack 0 0\nout SUBSCRIBE id=32768 a:1 c:1\n"
      "srv suback 32768 1,87\nev unsubscribed c 87\nphase up\nlost\n" UP5
      "srv connack 1 0\nout SUBSCRIBE id=32768 a:1 c:1" },
    { "nine filters take two packets",
      "opt sub=1>1:1\nopt sub=2>2:1\nopt sub=3>3:1\nopt sub=4>4:1\nopt sub=5>5:1\nopt sub=6>6:1\n"
      "opt sub=7>7:1\nopt sub=8>8:1\nopt sub=9>9:1\n" UP5 "srv connack 0 0\n"
      "out SUBSCRIBE id=32768 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1\nout SUBSCRIBE id=32769 9:1\n"
      "srv suback 32769 1\nphase subscribing\nsrv suback 32768 1,1,1,1,1,1,1,1\nphase up" },
    { "no SUBACK: the same packet again, then the end",
      "opt sub=a>b:1 ack=5000 ka=0\n"
      "start 4\nout CONNECT v4 gw clean=0 ka=0\nsrv connack 0 0\n"
      "out SUBSCRIBE id=32768 a:1\ndue 5000\nt 5000\nout SUBSCRIBE id=32768 a:1\nt 5000\n"
      "out SUBSCRIBE id=32768 a:1\nt 5000\nfault no-suback" },
    { "SUBACK with too few codes",
      "opt sub=a>b:1\nopt sub=c>d:1\n" UP5 "srv connack 0 0\nsrv suback 32768 1\nfault protocol" },
    { "SUBACK for another packet is passed over",
      "opt sub=a>b:1\n" UP5
      "srv connack 0 0\nsrv suback 7 1\nsrv suback 33000 1\nphase subscribing" },

    /* ---- publishing ---- */
    { "5: publish and acknowledgement, with identity",
      UP5 "srv connack 0 0\npub alert 7 1 a/b hi\n"
          "out PUBLISH q1 id=1 a/b hi sluice-id=g/alert/7\nflying 1\nev -\nsrv puback 1\n"
          "ev acked alert7\nflying 0" },
    { "4: no properties",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x\nsrv puback 1\n"
          "ev acked normal1" },
    { "acknowledgements out of order", UP4
      "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nsrv puback 2\nev acked normal2\n"
      "srv puback 1\nev acked normal1" },
    { "PUBACK for nothing is passed over", UP4 "srv connack 0 0\nsrv puback 9\nphase up\nev -" },
    { "PUBACK twice counts once", UP4
      "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1\nsrv puback 1\nev acked normal1\nev -" },
    { "QoS 0 is done when it is written", UP4
      "srv connack 0 0\npub normal 1 0 a x\nout PUBLISH q0 a x\nev -\nwritten\nev acked normal1" },
    { "QoS 0 given after the hand-over waits for the next",
      UP4 "srv connack 0 0\npub normal 1 0 a x\nout PUBLISH q0 a x\npub normal 2 0 a y\nwritten\n"
          "ev acked normal1\nev -\nout PUBLISH q0 a y\nwritten\nev acked normal2" },
    { "QoS 2 is lowered to 1", UP4 "srv connack 0 0\npub normal 1 2 a x\nout PUBLISH q1 id=1 a x" },
    { "a server without QoS 1 gets QoS 0",
      UP5 "srv connack 0 0 mq=0\npub normal 1 1 a x\nout PUBLISH q0 a x sluice-id=g/normal/1" },
    { "retain is kept",
      UP4 "srv connack 0 0\npub normal 1 1 a x r\nout PUBLISH q1 id=1 retain a x" },
    { "a server without retained messages gets none", UP5
      "srv connack 0 0 ra=0\npub normal 1 1 a x r\nout PUBLISH q1 id=1 a x sluice-id=g/normal/1" },
    { "aws: no retain on reserved topics",
      "opt aws=1\nstart 4\nout CONNECT v4 gw clean=0 ka=60\nsrv connack 0 0\n"
      "pub normal 1 1 $aws/rules/r/a x r\nout PUBLISH q1 id=1 $aws/rules/r/a x" },
    { "what is left of the time to live goes along",
      UP5 "srv connack 0 0\npub normal 1 1 a x ttl=60 age=9000\n"
          "out PUBLISH q1 id=1 a x ttl=51 sluice-id=g/normal/1" },

    /* ---- window and pace ---- */
    { "the window is the smaller of ours and the server's",
      UP5 "srv connack 0 0 rm=2\npub normal 1 1 a x\npub normal 2 1 a x\nroom no\nsrv puback 1\n"
          "room yes\npub normal 3 1 a x\nroom no" },
    { "our window",
      "opt window=1\n" UP5 "srv connack 0 0 rm=50\npub normal 1 1 a x\nroom no\nsrv puback 1\n"
      "room yes" },
    { "pace: ten a second",
      "opt pps=10\n" UP4 "srv connack 0 0\npub normal 1 1 a x\nroom 100\nt 100\nroom yes\n"
      "pub normal 2 1 a x\nroom 100" },
    { "what comes in counts, too",
      "opt pps=10\n" UP4 "srv connack 0 0\nsrv publish 0 0 a x\nroom 100" },

    /* ---- sessions ---- */
    { "session present: same identifier, DUP", UP4
      "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nsrv puback 1\nlost\nflying 0\n" UP4
      "srv connack 1 0\npub normal 2 1 a y\nout PUBLISH q1 id=2 dup a y\npub normal 3 1 a z\n"
      "out PUBLISH q1 id=3 a z\nsrv puback 2\nev acked normal1\nev acked normal2" },
    { "session gone: a new publish",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nlost\n" UP4
          "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=2 a x" },
    { "an alert that overtakes does not take a remembered identifier",
      "opt window=2\n" UP4 "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nlost\n" UP4
      "srv connack 1 0\npub alert 1 1 a !\nout PUBLISH q1 id=3 a !\npub normal 1 1 a x\n"
      "out PUBLISH q1 id=1 dup a x\nroom no" },
    { "the same number in another lane is another message",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nlost\n" UP4
          "srv connack 1 0\npub alert 1 1 a x\nout PUBLISH q1 id=2 a x" },
    { "one that was dropped meanwhile is not missed",
      UP4 "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nlost\n" UP4
          "srv connack 1 0\npub normal 2 1 a y\nout PUBLISH q1 id=2 dup a y\nsrv puback 1\nev -\n"
          "srv puback 2\nev acked normal2" },
    { "QoS 0 that was not written is not remembered",
      UP4 "srv connack 0 0\npub normal 1 0 a x\nlost\nflying 0\n" UP4
          "srv connack 1 0\nwritten\nev -" },

    /* ---- acknowledgements that do not come, or say no ---- */
    { "overdue: stalled, sent again with its identifier, recovers",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x\ndue 10000\nt 9999\nout -\n"
          "t 1\nstalled 1\nroom no\nout PUBLISH q1 id=1 dup a x\nsrv puback 1\nstalled 0\n"
          "ev acked normal1\nroom yes" },
    { "silence: one is sent again at a time, then the end",
      UP4 "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nout PUBLISH q1 id=1 a x\n"
          "out PUBLISH q1 id=2 a y\nt 10000\nout PUBLISH q1 id=1 dup a x\nout -\nt 10000\n"
          "out PUBLISH q1 id=2 dup a y\nt 10000\nfault no-puback" },
    { "one lost among many is sent again alone", UP4
      "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nout PUBLISH q1 id=1 a x\n"
      "out PUBLISH q1 id=2 a y\nt 5000\nsrv puback 2\nt 5000\nout PUBLISH q1 id=1 dup a x\nout -\n"
      "stalled 1\nsrv puback 1\nstalled 0" },
    { "a slow server that works through the queue is not overdue",
      UP4 "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nt 9000\nsrv puback 1\nt 9000\n"
          "stalled 0\nsrv puback 2\nev acked normal1\nev acked normal2" },
    { "5: done, no subscribers",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 10\nev acked normal1" },
    { "5: not authorized is dead",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 87\nev dead normal1 not authorized\n"
          "phase up\nroom yes" },
    { "5: topic name invalid is dead", UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 90\n"
                                           "ev dead normal1 topic name invalid" },
    { "5: payload format invalid is dead",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 99\n"
          "ev dead normal1 payload format invalid content" },
    { "5: quota is tried again, and holds the others back", UP5
      "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x sluice-id=g/normal/1\n"
      "srv puback 1 97\nev -\nstalled 0\nroom no\ndue 1000\nt 1000\n"
      "out PUBLISH q1 id=1 a x sluice-id=g/normal/1\nstalled 0\nsrv puback 1 97\ndue 2000\nt 2000\n"
      "out PUBLISH q1 id=1 a x sluice-id=g/normal/1\nsrv puback 1\nev acked normal1\nroom yes" },
    { "5: nothing but refusals for five seconds is a stall",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 97\nt 1000\nsrv puback 1 97\nt 2000\n"
          "srv puback 1 97\nt 1999\nstalled 0\ndue 1\nt 1\nstalled 1\nroom no\nt 2000\n"
          "srv puback 1\nstalled 0\nroom yes" },
    { "5: what is refused goes again in its order, one first and more with each success",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nt 1\npub normal 2 1 a y\nt 1\npub normal 3 1 a z\n"
          "out PUBLISH q1 id=1 a x sluice-id=g/normal/1\n"
          "out PUBLISH q1 id=2 a y sluice-id=g/normal/2\n"
          "out PUBLISH q1 id=3 a z sluice-id=g/normal/3\n"
          "srv puback 2 97\nt 10\nsrv puback 3 97\nsrv puback 1 97\nt 995\nout -\nt 100\n"
          "out PUBLISH q1 id=1 a x sluice-id=g/normal/1\nout -\nroom no\nsrv puback 1\nt 0\n"
          "out PUBLISH q1 id=2 a y sluice-id=g/normal/2\n"
          "out PUBLISH q1 id=3 a z sluice-id=g/normal/3\nroom no\nsrv puback 2\nsrv puback 3\n"
          "room yes" },
    { "5: after a refusal the window opens one by one",
      "opt window=9\n" UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 97\nt 1000\n"
      "srv puback 1\nroom yes\npub normal 2 1 a x\nroom yes\npub normal 3 1 a x\nroom no\n"
      "srv puback 2\nroom yes\npub normal 4 1 a x\nroom yes\npub normal 5 1 a x\nroom no" },
    { "5: one that is refused again and again does not block the rest",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 80\nt 1000\nsrv puback 1 80\nt 2000\n"
          "srv puback 1 80\nt 4000\nsrv puback 1 80\nroom no\nt 8000\nsrv puback 1 80\nroom yes\n"
          "stalled 0" },
    { "5: a refusal is not remembered over a lost connection",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv puback 1 97\nlost\n" UP5
          "srv connack 1 0\nroom yes\npub normal 1 1 a x\nout PUBLISH q1 id=2 a x "
          "sluice-id=g/normal/1" },
    { "4: PUBACK with a reason is malformed",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nhex 40 03 00 01 00\nfault protocol\nev -" },

    /* ---- dead letters ---- */
    { "payload too large",
      "opt max=10\n" UP4
      "srv connack 0 0\nbig normal 1 11\nev dead normal1 payload of 11 bytes, limit 10\nout -" },
    { "payload just right", "opt max=10\n" UP4 "srv connack 0 0\nbig normal 1 10\nev -\nflying 1" },
    { "packet larger than the server takes",
      UP5 "srv connack 0 0 mps=100\nbig normal 1 90\n"
          "ev dead normal1 packet larger than the server takes\nflying 0\nout -\nroom yes" },
    { "aws: seven slashes",
      "opt aws=1\nstart 4\nsrv connack 0 0\npub normal 1 1 1/2/3/4/5/6/7/8 x\nev -" },
    { "aws: eight slashes",
      "opt aws=1\nstart 4\nsrv connack 0 0\npub normal 1 1 1/2/3/4/5/6/7/8/9 x\n"
      "ev dead normal1 topic with 8 slashes, AWS allows 7" },
    { "aws: basic ingest's prefix does not count",
      "opt aws=1\nstart 4\nsrv connack 0 0\npub normal 1 1 $aws/rules/r/1/2/3/4/5/6/7/8 x\nev -" },
    { "elsewhere deep topics are fine",
      "start 4\nsrv connack 0 0\npub normal 1 1 1/2/3/4/5/6/7/8/9 x\nev -" },
    { "a topic with a wildcard", UP4 "srv connack 0 0\npub normal 1 1 a/+ x\n"
                                     "ev dead normal1 not a valid topic name" },

    /* ---- a server that hangs up because of one message ---- */
    { "after two, one at a time; after three more, dead",
      UP4 "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nlost hung-up\n" UP4
          "srv connack 0 0\npub normal 1 1 a x\npub normal 2 1 a y\nlost hung-up\n" CAREFUL4
          "pub normal 1 1 a x\nroom no\nlost hung-up\n" CAREFUL4
          "pub normal 1 1 a x\nlost hung-up\n" CAREFUL4
          "pub normal 1 1 a x\nlost hung-up\nev -\n" CAREFUL4
          "pub normal 1 1 a x\nev dead normal1 the server hangs up when this is "
          "published\nout -\npub normal 2 1 a y\nroom no\nsrv puback 8\nroom yes" },
    { "after a first conviction, twice the strikes for the second",
      BARREN4 CAREFUL4 STRIKE CAREFUL4 STRIKE CAREFUL4 STRIKE CAREFUL4
      "pub normal 1 1 a x\nev dead normal1 the server hangs up when this is published\n"
      "pub normal 2 1 a y\nlost hung-up\n" CAREFUL4 STRIKE2 CAREFUL4 STRIKE2 CAREFUL4 STRIKE2
          CAREFUL4 STRIKE2 CAREFUL4 STRIKE2 "ev -\n" CAREFUL4
      "pub normal 2 1 a y\nev dead normal2 the server hangs up when this is published" },
    { "a server that hangs up before anything is sent blames nobody",
      BARREN4 UP4 "srv connack 0 0\nout PINGREQ\nroom no\nlost hung-up\n" UP4
                  "srv connack 0 0\nsrv pingresp\nroom 2000\nt 1999\nroom 1\nlost hung-up\n" UP4
                  "srv connack 0 0\nlost hung-up\n" UP4 "srv connack 0 0\nlost hung-up\n" CAREFUL4
                  "pub normal 1 1 a x\nev -\nflying 1" },
    { "a probe without an answer ends the connection",
      BARREN4 UP4 "srv connack 0 0\nt 9999\nphase up\nt 1\nfault keep-alive" },
    { "an acknowledgement ends the suspicion",
      UP4 "srv connack 0 0\npub normal 1 1 a x\nlost hung-up\n" UP4
          "srv connack 0 0\npub normal 1 1 a x\nlost hung-up\n" CAREFUL4
          "pub normal 1 1 a x\nroom no\nsrv puback 3\nev acked normal1\n"
          "pub normal 2 1 a y\nroom yes" },
    { "a broken network raises none", UP4 "srv connack 0 0\npub normal 1 1 a x\nlost\n" UP4
                                          "srv connack 0 0\npub normal 1 1 a x\nlost\n" UP4
                                          "srv connack 0 0\npub normal 1 1 a x\nlost\n" UP4
                                          "srv connack 0 0\npub normal 1 1 a x\nroom yes" },
    { "5: a DISCONNECT that blames the message does, being taken over does not",
      UP5 "srv connack 0 0\npub normal 1 1 a x\nsrv disconnect 90\nlost\n" UP5
          "srv connack 0 0\npub normal 1 1 a x\nsrv disconnect 8e\nlost\n" UP5
          "srv connack 0 0\npub normal 1 1 a x\nroom yes\nsrv disconnect 90\nlost\n" UP5
          "srv connack 0 0\nroom no\nsrv pingresp\nt 2000\npub normal 1 1 a x\nroom no" },

    /* ---- messages from the cloud ---- */
    { "QoS 0", UP4 "srv connack 0 0\nsrv publish 0 0 c/d on\nev message q0 c/d on\nout -" },
    { "QoS 1 is acknowledged",
      UP4 "srv connack 0 0\nsrv publish 1 77 c/d on\nev message q1 c/d on\nout PUBACK 77" },
    { "QoS 2, not asked for, is answered",
      UP4 "srv connack 0 0\nsrv publish 2 78 c on\nev message q2 c on\nout PUBREC 78\n"
          "srv pubrel 78\nout PUBCOMP 78" },
    { "a topic alias though none was allowed",
      UP5 "srv connack 0 0\nsrv publish 0 0 c on alias=1\nfault protocol\nev -\n"
          "out DISCONNECT 94" },
    { "before SUBACK",
      "opt sub=a>b:1\n" UP5 "srv connack 1 0\nsrv publish 1 5 a x\nev message q1 a x" },
    { "a wildcard in the topic",
      UP5 "srv connack 0 0\nhex 30 05 00 01 2b 00 78\nphase failed\nev -" },
    { "PUBLISH that is too short", UP4 "srv connack 0 0\nhex 30 01 00\nfault protocol" },
    { "packets for servers", UP5 "srv connack 0 0\nhex c0 00\nfault protocol" },
    { "above the largest packet", UP4 "srv connack 0 0\nhex 30 ff ff ff 7f\nfault protocol" },

    /* ---- keep-alive ---- */
    { "ping when silent, answer in time",
      UP4 "srv connack 0 0\ndue 60000\nt 60000\nout PINGREQ\ndue 10000\nsrv pingresp\ndue 60000\n"
          "t 60000\nout PINGREQ" },
    { "a publish in silence: the server is asked, and is silent, then gone",
      "opt ask=2000\n" UP4 "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x\n"
      "due 2000\nt 1999\nout -\nt 1\nout PINGREQ\nstalled 0\ndue 2000\nt 2000\nstalled 1\n"
      "room no\nt 7999\nphase up\nt 1\nfault keep-alive" },
    { "a slow server that answers pings is not silent",
      "opt ask=2000\n" UP4 "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x\n"
      "t 2000\nout PINGREQ\nt 1999\nsrv pingresp\nt 1\nstalled 0\ndue 1999\nt 1999\nout PINGREQ\n"
      "t 2000\nstalled 1\nsrv pingresp\nstalled 0" },
    { "a link with a long round trip is given twice that",
      "opt ask=2000\n" UP4 "srv connack 0 0\npub normal 1 1 a x\nout PUBLISH q1 id=1 a x\n"
      "t 1900\nsrv puback 1\npub normal 2 1 a x\nout PUBLISH q1 id=2 a x\ndue 3800" },
    { "nobody waits: nobody asks", "opt ask=2000\n" UP4 "srv connack 0 0\ndue 60000" },
    { "asked without a keep-alive, too",
      "opt ka=0 ask=2000\nstart 4\nout CONNECT v4 gw clean=0 ka=0\nsrv connack 0 0\ndue never\n"
      "pub normal 1 1 a x\nout PUBLISH q1 id=1 a x\nt 2000\nout PINGREQ\nt 10000\n"
      "fault keep-alive" },
    { "no answer", UP4 "srv connack 0 0\nt 60000\nt 9999\nphase up\nt 1\nfault keep-alive" },
    { "any byte is an answer", UP4 "srv connack 0 0\nt 60000\nt 9999\nhex d0\nt 9999\nphase up" },
    { "a server that only listens is asked, too", UP4
      "srv connack 0 0\nt 30000\npub normal 1 0 a x\nt 30000\nout PUBLISH q0 a x\nout PINGREQ" },
    { "the server's keep-alive counts",
      UP5 "srv connack 0 0 ka=5\ndue 5000\nt 5000\nout PINGREQ\ndue 5000" },
    { "keep-alive off", "opt ka=0\nstart 4\nsrv connack 0 0\ndue never" },

    /* ---- endings ---- */
    { "5: DISCONNECT from the server",
      UP5 "srv connack 0 0\nsrv disconnect 8e\nfault disconnected" },
    { "4: servers send no DISCONNECT", UP4 "srv connack 0 0\nhex e0 00\nfault protocol" },
    { "we disconnect",
      UP5 "srv connack 0 0\nbye\nout DISCONNECT 00\nphase ending\nroom no\ndue never" },
    { "what comes after our DISCONNECT is passed over",
      UP4 "srv connack 0 0\nbye\nsrv publish 1 5 a x\nev -\nphase ending" },
};

static void talk(void **state)
{
    run_script(((const struct talk *)*state)->script);
}

int main(void)
{
    enum { N = sizeof talks / sizeof talks[0] };
    static struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = talks[i].name,
                                        .test_func = talk,
                                        .initial_state = (void *)(uintptr_t)&talks[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
