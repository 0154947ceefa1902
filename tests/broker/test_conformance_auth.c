/* test_conformance_auth.c - enhanced authentication (MQTT 5, 4.12) with a plug-in of the test's
 * own: what the standard says, played against the broker.
 *
 * The plug-in knows two methods. "ask" asks whoever begins with "hi" a question, and lets "yes" in
 * as bob; "wait" answers only when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script.h"

#include "base/log.h"
#include "codec_bytes.h"

#include <stdlib.h>

/* What the plug-in remembers of one client. */
struct memory {
    unsigned steps;
};

static struct {
    struct broker_exchange *waits; /* for the test's answer */
    unsigned memories;             /* not freed */
    bool again;                    /* the last step's */
} plugin;

static void answer(struct broker_exchange *x, enum broker_verdict v, const char *data,
                   uint8_t reason)
{
    bool named = v == BROKER_ACCEPT;
    broker_exchange_answer(x, &(struct broker_answer){ v, sl_str(data),
                                                       named ? sl_str("bob") : sl_bytes(NULL, 0),
                                                       reason });
}

static void exchange(void *ctx, struct broker_exchange *x, const struct broker_step *step)
{
    (void)ctx;
    struct memory *m = *step->state;
    if (!m) {
        m = *step->state = calloc(1, sizeof *m);
        assert_non_null(m);
        plugin.memories++;
    }
    m->steps++;
    plugin.again = step->again;
    if (sl_slice_eq(step->method, sl_str("wait")))
        plugin.waits = x;
    else if (!sl_slice_eq(step->method, sl_str("ask")))
        answer(x, BROKER_REFUSE, "", MQTT_RC_BAD_AUTH_METHOD);
    else if (sl_slice_eq(step->data, sl_str("hi")))
        answer(x, BROKER_CONTINUE, "sure?", 0);
    else if (sl_slice_eq(step->data, sl_str("yes")))
        answer(x, BROKER_ACCEPT, "fine", 0);
    else
        answer(x, BROKER_REFUSE, "", sl_slice_eq(step->data, sl_str("ban")) ? MQTT_RC_BANNED : 0);
}

static void exchange_done(void *ctx, void *state)
{
    (void)ctx;
    plugin.memories--;
    free(state);
}

static void with_plugin(struct broker_options *o)
{
    plugin.waits = NULL;
    o->anonymous = false;
    o->hooks.exchange = exchange;
    o->hooks.exchange_done = exchange_done;
}

#define CONNECT(props) "a~ 5\n a> 10 [ 'MQTT' 05 02 003c [ " props " ] 'me' ]\n"
#define QUESTION       "a< f0 [ 18 [ 15 'ask' 16 'sure?' ] ]\n"
#define IN             CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 18 [ 15 'ask' 16 'yes' ] ]\n a? 20\n"
#define IN_EXACTLY     CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 18 [ 15 'ask' 16 'yes' ] ]\n"

static const struct script scripts[] = {
    { "without a plug-in every method is refused", CONNECT("15 'SCRAM-SHA-256'") "a* 00 8c\n a!",
      NULL },
    { "a method the plug-in does not know is refused", CONNECT("15 'magic'") "a* 00 8c\n a!",
      with_plugin },
    { "the full exchange lets in", IN "a> c0 []\n a< d0 []\n a.", with_plugin },
    { "CONNACK carries the method and the last data", IN_EXACTLY "a* 15 'ask' 16 'fine'\n a.",
      with_plugin },
    { "a plug-in may be content at once", CONNECT("15 'ask' 16 'yes'") "a* 00 00\n a.",
      with_plugin },
    { "a plug-in may refuse at once", CONNECT("15 'ask' 16 'no'") "a* 00 87\n a!", with_plugin },
    { "a plug-in may refuse later",
      CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 18 [ 15 'ask' 16 'no' ] ]\n a* 00 87\n a!",
      with_plugin },
    { "a plug-in's reason is told",
      CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 18 [ 15 'ask' 16 'ban' ] ]\n a* 00 8a\n a!",
      with_plugin },
    { "a client that is not let in has published nothing",
      "b~ 5\n b> 10 [ 'MQTT' 05 02 003c [ 15 'ask' 16 'yes' ] 's' ]\n b? 20\n"
      "b> 82 [ 0001 [] '#' 00 ]\n b? 90\n" CONNECT("15 'ask' 16 'hi'") QUESTION
      "a> f0 [ 18 [ 15 'ask' 16 'no' ] ] 30 [ 't' [] <x> ]\n a? 20\n a!\n b.",
      with_plugin },
    { "another packet before CONNACK ends it",
      CONNECT("15 'ask' 16 'hi'") QUESTION "a> 30 [ 't' [] <x> ]\n a* 00 82\n a!", with_plugin },
    { "a second CONNECT before CONNACK ends it",
      CONNECT("15 'ask' 16 'hi'") QUESTION
      "a> 10 [ 'MQTT' 05 02 003c [ 15 'ask' ] 'me' ]\n a* 00 82\n a!",
      with_plugin },
    { "DISCONNECT before CONNACK ends it", CONNECT("15 'ask' 16 'hi'") QUESTION "a> e0 []\n a!",
      with_plugin },
    { "another method in AUTH ends it",
      CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 18 [ 15 'tell' 16 'yes' ] ]\n a* 00 82\n a!",
      with_plugin },
    { "re-authentication before CONNACK ends it",
      CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 [ 19 [ 15 'ask' 16 'yes' ] ]\n a* 00 82\n a!",
      with_plugin },
    { "an empty AUTH ends it", CONNECT("15 'ask' 16 'hi'") QUESTION "a> f0 []\n a* 00 82\n a!",
      with_plugin },
    { "AUTH's reserved flags end it", IN "a> f1 [ 19 [ 15 'ask' ] ]\n a! 81", with_plugin },
    { "AUTH with an unknown reason ends it", IN "a> f0 [ 01 [ 15 'ask' ] ]\n a! 82", with_plugin },
    { "who dawdles is not waited for", CONNECT("15 'ask' 16 'hi'") QUESTION "+9\n a.\n +3\n a!",
      with_plugin },
    { "a question that does not fit ends it",
      CONNECT("27 00000010 15 'ask' 16 'hi' 17 00") "a< 20 [ 00 95 [] ]\n a!", with_plugin },
    { "a client without a method is sent no AUTH",
      "a~ 5\n a> 10 [ 'MQTT' 05 82 003c [] 'me' 'user' ]\n a^ 15 00\n a.", with_plugin },
    { "AUTH from a client without a method ends it",
      "a~ 5\n a> 10 [ 'MQTT' 05 82 003c [] 'me' 'user' ]\n a? 20\n"
      "a> f0 [ 19 [ 15 'ask' 16 'hi' ] ]\n a! 82",
      with_plugin },
    { "AUTH from an older client ends it",
      "a~ 4\n a> 10 [ 'MQTT' 04 82 003c 'me' 'user' ]\n a? 20\n a> f0 []\n a!", with_plugin },

    /* ---- again ---- */
    { "authenticating again succeeds",
      IN "a> f0 [ 19 [ 15 'ask' 16 'hi' ] ]\n" QUESTION "a> c0 []\n a< d0 []\n"
         "a> f0 [ 18 [ 15 'ask' 16 'yes' ] ]\n a< f0 [ 00 [ 15 'ask' 16 'fine' ] ]\n"
         "a> f0 [ 19 [ 15 'ask' 16 'yes' ] ]\n a< f0 [ 00 [ 15 'ask' 16 'fine' ] ]\n a.",
      with_plugin },
    { "authenticating again fails", IN "a> f0 [ 19 [ 15 'ask' 16 'no' ] ]\n a! 87", with_plugin },
    { "authenticating again with another method ends it",
      IN "a> f0 [ 19 [ 15 'tell' 16 'hi' ] ]\n a! 8c", with_plugin },
    { "a continuation of nothing ends it", IN "a> f0 [ 18 [ 15 'ask' 16 'hi' ] ]\n a! 82",
      with_plugin },
    { "a client that says success ends it", IN "a> f0 [ 00 [ 15 'ask' ] ]\n a! 82", with_plugin },
};

/* ---- a plug-in that takes its time ---- */

static void send_text(struct peer *p, const char *text)
{
    struct sl_buf b = { 0 };
    put_bytes(&b, text);
    peer_send(p, &b);
    sl_buf_free(&b);
}

static void begin_waiting(struct rig *r, struct peer *p)
{
    sl_log_configure(SL_ERROR, SL_LOG_TEXT);
    rig_open(r, with_plugin);
    peer_open(p, r, MQTT_V5);
    send_text(p, "10 [ 'MQTT' 05 02 003c [ 15 'wait' ] 'me' ] c0 []");
    assert_non_null(plugin.waits);
    assert_true(peer_quiet(p));
    assert_false(p->reading); /* what follows CONNECT waits with it */
}

static void a_late_answer_lets_in(void **state)
{
    struct rig r;
    struct peer p;
    (void)state;
    begin_waiting(&r, &p);
    answer(plugin.waits, BROKER_ACCEPT, "", 0);
    rig_turn(&r);
    (void)peer_next(&p, MQTT_CONNACK);
    (void)peer_next(&p, MQTT_PINGRESP);
    assert_string_equal(p.client.username, "bob");
    peer_drop(&p);
    assert_int_equal(plugin.memories, 0);
    rig_close(&r);
}

static void a_late_answer_finds_nobody(void **state)
{
    struct rig r;
    struct peer p;
    (void)state;
    begin_waiting(&r, &p);
    peer_drop(&p);
    assert_int_equal(plugin.memories, 1);
    answer(plugin.waits, BROKER_ACCEPT, "", 0);
    assert_int_equal(plugin.memories, 0);
    rig_close(&r);
}

static void a_connected_client_goes_on_while_it_is_thought_about(void **state)
{
    struct rig r;
    struct peer p;
    (void)state;
    begin_waiting(&r, &p);
    answer(plugin.waits, BROKER_ACCEPT, "", 0);
    rig_turn(&r);
    (void)peer_next(&p, MQTT_CONNACK);
    (void)peer_next(&p, MQTT_PINGRESP);
    send_text(&p, "f0 [ 19 [ 15 'wait' ] ] c0 []");
    assert_true(plugin.again);
    (void)peer_next(&p, MQTT_PINGRESP);
    answer(plugin.waits, BROKER_ACCEPT, "", 0);
    rig_turn(&r);
    (void)peer_next(&p, MQTT_AUTH);
    send_text(&p, "f0 [ 19 [ 15 'wait' ] ]");
    send_text(&p, "f0 [ 18 [ 15 'wait' ] ]"); /* it is not the client's turn */
    peer_expect_disconnect(&p, MQTT_RC_PROTOCOL_ERROR);
    answer(plugin.waits, BROKER_REFUSE, "", 0);
    assert_int_equal(plugin.memories, 0);
    rig_close(&r);
}

int main(void)
{
    static struct CMUnitTest tests[SL_ARRAY_LEN(scripts) + 3] = {
        cmocka_unit_test(a_late_answer_lets_in),
        cmocka_unit_test(a_late_answer_finds_nobody),
        cmocka_unit_test(a_connected_client_goes_on_while_it_is_thought_about),
    };
    script_tests(tests + 3, scripts, SL_ARRAY_LEN(scripts));
    return _cmocka_run_group_tests("conformance: authentication", tests, SL_ARRAY_LEN(tests), NULL,
                                   NULL);
}
