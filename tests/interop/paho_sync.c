/* paho_sync.c - the synchronous Paho C client against a broker: what a program built on it does.
 *
 * paho_sync URI VERSION [CAFILE] - VERSION is 3, 4 or 5 (MQTT 3.1, 3.1.1, 5). Ends with 0, or says
 * what went wrong. */
#include <MQTTClient.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS    10000
#define LARGE_SIZE (200 * 1024)

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const char *uri, *ca;
static int version;

static MQTTClient create(const char *id)
{
    MQTTClient c = NULL;
    MQTTClient_createOptions o = MQTTClient_createOptions_initializer;
    o.MQTTVersion = version;
    EXPECT(MQTTClient_createWithOptions(&c, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &o) ==
           MQTTCLIENT_SUCCESS);
    return c;
}

/* Whether the broker had a session. expiry_s: of MQTT 5. */
static bool connect_to(MQTTClient c, bool clean, int expiry_s, MQTTClient_willOptions *will)
{
    MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
    MQTTClient_connectOptions o4 = MQTTClient_connectOptions_initializer,
                              o5 = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions *o = version == MQTTVERSION_5 ? &o5 : &o4;
    MQTTProperties props = MQTTProperties_initializer;
    o->MQTTVersion = version;
    o->keepAliveInterval = 10;
    o->will = will;
    o->cleansession = version == MQTTVERSION_5 ? 0 : clean;
    o->cleanstart = version == MQTTVERSION_5 ? clean : 0;
    ssl.trustStore = ca;
    ssl.verify = 1;
    o->ssl = ca ? &ssl : NULL;
    if (version != MQTTVERSION_5) {
        int rc = MQTTClient_connect(c, o);
        if (rc != MQTTCLIENT_SUCCESS)
            (void)fprintf(stderr, "connect: %d\n", rc);
        EXPECT(rc == MQTTCLIENT_SUCCESS);
        return o->returned.sessionPresent;
    }
    MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL };
    expiry.value.integer4 = (unsigned)expiry_s;
    EXPECT(MQTTProperties_add(&props, &expiry) == 0);
    MQTTResponse r = MQTTClient_connect5(c, o, &props, NULL);
    EXPECT(r.reasonCode == MQTTREASONCODE_SUCCESS);
    bool present = o->returned.sessionPresent;
    MQTTResponse_free(r);
    MQTTProperties_free(&props);
    return present;
}

static void subscribe(MQTTClient c, const char *filter, int qos)
{
    if (version != MQTTVERSION_5) {
        EXPECT(MQTTClient_subscribe(c, filter, qos) == MQTTCLIENT_SUCCESS);
        return;
    }
    MQTTSubscribe_options o = MQTTSubscribe_options_initializer;
    MQTTResponse r = MQTTClient_subscribe5(c, filter, qos, &o, NULL);
    EXPECT((int)r.reasonCode == qos);
    MQTTResponse_free(r);
}

static void publish(MQTTClient c, const char *topic, const void *payload, int size, int qos,
                    int retained)
{
    MQTTClient_deliveryToken token = 0;
    if (version == MQTTVERSION_5) {
        MQTTProperties props = MQTTProperties_initializer;
        MQTTProperty pair = { .identifier = MQTTPROPERTY_CODE_USER_PROPERTY };
        static char unit[] = "unit", celsius[] = "C";
        pair.value.data = (MQTTLenString){ 4, unit };
        pair.value.value = (MQTTLenString){ 1, celsius };
        EXPECT(MQTTProperties_add(&props, &pair) == 0);
        MQTTResponse r =
            MQTTClient_publish5(c, topic, size, payload, qos, retained, &props, &token);
        EXPECT(r.reasonCode == MQTTREASONCODE_SUCCESS);
        MQTTResponse_free(r);
        MQTTProperties_free(&props);
    } else {
        EXPECT(MQTTClient_publish(c, topic, size, payload, qos, retained, &token) ==
               MQTTCLIENT_SUCCESS);
    }
    int rc = MQTTClient_waitForCompletion(c, token, WAIT_MS);
    if (rc != MQTTCLIENT_SUCCESS)
        (void)fprintf(stderr, "publish %s, %d bytes, QoS %d: %d\n", topic, size, qos, rc);
    EXPECT(rc == MQTTCLIENT_SUCCESS);
}

static void say(MQTTClient c, const char *topic, const char *text, int qos, int retained)
{
    publish(c, topic, text, (int)strlen(text), qos, retained);
}

/* The next message must be this one. */
static void expect(MQTTClient c, const char *topic, const void *payload, int size, int qos,
                   bool retained)
{
    char *name = NULL;
    int len = 0;
    MQTTClient_message *m = NULL;
    int rc = MQTTCLIENT_FAILURE; /* also when another client of this program was cut off */
    for (int tries = 0; rc != MQTTCLIENT_SUCCESS && tries < 3 && MQTTClient_isConnected(c); tries++)
        rc = MQTTClient_receive(c, &name, &len, &m, WAIT_MS);
    EXPECT(rc == MQTTCLIENT_SUCCESS && m);
    EXPECT(strcmp(name, topic) == 0);
    EXPECT(m->payloadlen == size && (size == 0 || memcmp(m->payload, payload, (size_t)size) == 0));
    EXPECT(m->qos == qos && m->retained == retained);
    if (version == MQTTVERSION_5 && strcmp(topic, "s/will") != 0)
        EXPECT(MQTTProperties_hasProperty(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY));
    MQTTClient_freeMessage(&m);
    MQTTClient_free(name);
}

static void expect_text(MQTTClient c, const char *topic, const char *text, int qos, bool retained)
{
    expect(c, topic, text, (int)strlen(text), qos, retained);
}

static void leave(MQTTClient *c)
{
    EXPECT(MQTTClient_disconnect(*c, WAIT_MS) == MQTTCLIENT_SUCCESS);
    MQTTClient_destroy(c);
}

/* ---- what is tried ---- */

/* Over WebSocket it is one client, since Paho keeps the frame it is in the middle of in one place
 * for all of them. */
static void every_qos_and_size(void)
{
    bool alone = strncmp(uri, "ws", 2) == 0;
    MQTTClient a = create("paho-a"), b = alone ? a : create("paho-b");
    char *large = malloc(LARGE_SIZE), text[32];
    EXPECT(large);
    memset(large, 'x', LARGE_SIZE);
    (void)connect_to(a, true, 0, NULL);
    if (!alone)
        (void)connect_to(b, true, 0, NULL);
    subscribe(b, "s/#", 2);
    for (int qos = 0; qos <= 2; qos++) {
        say(a, "s/text", "hello", qos, 0);
        expect_text(b, "s/text", "hello", qos, false);
        publish(a, "s/large", large, LARGE_SIZE, qos, 0);
        expect(b, "s/large", large, LARGE_SIZE, qos, false);
        publish(a, "s/empty", "", 0, qos, 0);
        expect(b, "s/empty", "", 0, qos, false);
    }
    for (int n = 0; n < 20; n++) {
        (void)snprintf(text, sizeof text, "small %d", n);
        say(a, "s/small", text, 1, 0);
        expect_text(b, "s/small", text, 1, false);
    }
    EXPECT(version == MQTTVERSION_5 || MQTTClient_unsubscribe(b, "s/#") == MQTTCLIENT_SUCCESS);
    leave(&a);
    if (!alone)
        leave(&b);
    free(large);
}

static void retained_messages(void)
{
    MQTTClient a = create("paho-a"), b = create("paho-b");
    (void)connect_to(a, true, 0, NULL);
    (void)connect_to(b, true, 0, NULL);
    say(a, "r/kept", "kept", 1, 1);
    subscribe(b, "r/+", 1);
    expect_text(b, "r/kept", "kept", 1, true);
    publish(a, "r/kept", "", 0, 1, 1);
    expect(b, "r/kept", "", 0, 1, false);
    leave(&a);
    leave(&b);
}

static void sessions(void)
{
    MQTTClient a = create("paho-a"), b = create("paho-session");
    (void)connect_to(a, true, 0, NULL);
    EXPECT(!connect_to(b, true, 0, NULL)); /* nothing is left of another run */
    leave(&b);
    b = create("paho-session");
    EXPECT(!connect_to(b, false, 600, NULL));
    subscribe(b, "q/#", 2);
    EXPECT(MQTTClient_disconnect(b, WAIT_MS) == MQTTCLIENT_SUCCESS);
    for (int n = 0; n < 20; n++)
        say(a, "q/x", n % 2 ? "odd" : "even", 1 + n % 2, 0);
    bool present = connect_to(b, false, 600, NULL);
    EXPECT(present || version != MQTTVERSION_3_1_1); /* Paho says so for 3.1.1 alone */
    for (int odd = 0, even = 0; odd + even < 20;) {  /* Paho hands QoS 2 out when it is released */
        char *name = NULL;
        int len = 0;
        MQTTClient_message *m = NULL;
        EXPECT(MQTTClient_receive(b, &name, &len, &m, WAIT_MS) == MQTTCLIENT_SUCCESS && m);
        odd += m->payloadlen == 3 && m->qos == 2;
        even += m->payloadlen == 4 && m->qos == 1;
        EXPECT(odd <= 10 && even <= 10);
        MQTTClient_freeMessage(&m);
        MQTTClient_free(name);
    }
    leave(&b);
    b = create("paho-session");
    EXPECT(!connect_to(b, true, 0, NULL));
    leave(&a);
    leave(&b);
}

/* Taken over by another connection of its name, a client does not say goodbye. */
static void wills(void)
{
    MQTTClient a = create("paho-a"), b = create("paho-will"), again = create("paho-will");
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    will.topicName = "s/will";
    will.message = "gone";
    will.qos = 2;
    (void)connect_to(a, true, 0, NULL);
    subscribe(a, "s/will", 2);
    (void)connect_to(b, true, 0, &will);
    (void)connect_to(again, true, 0, NULL);
    /* Paho's receive() takes the end of b's connection for a's, at the wrong moment: yield() does
     * not. */
    for (int tries = 0; tries < 100 && MQTTClient_isConnected(b); tries++)
        MQTTClient_yield();
    expect_text(a, "s/will", "gone", 2, false);
    MQTTClient_destroy(&b);
    leave(&again);
    leave(&a);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    uri = argv[1];
    version = atoi(argv[2]);
    ca = argc > 3 ? argv[3] : NULL;
    MQTTClient_init_options init = MQTTClient_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTClient_global_init(&init);
    every_qos_and_size();
    retained_messages();
    sessions();
    wills();
    return 0;
}
