/* paho_async.c - the asynchronous Paho C client against a broker: many messages on the way at once.
 *
 * paho_async URI VERSION [CAFILE] - VERSION is 3, 4 or 5 (MQTT 3.1, 3.1.1, 5). Ends with 0, or says
 * what went wrong. Paho calls back from threads of its own. */
#include <MQTTAsync.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_S = 30, MESSAGES = 90, IN_FLIGHT = 20 };

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned done, published, received[3];
static int version;

static void count(unsigned *what)
{
    (void)pthread_mutex_lock(&lock);
    ++*what;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

static void wait_for(const unsigned *what, unsigned at_least)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&lock);
    while (*what < at_least)
        EXPECT(pthread_cond_timedwait(&changed, &lock, &end) == 0);
    (void)pthread_mutex_unlock(&lock);
}

static void on_success(void *ctx, MQTTAsync_successData *data)
{
    (void)data;
    count(ctx);
}

static void on_success5(void *ctx, MQTTAsync_successData5 *data)
{
    (void)data;
    count(ctx);
}

static void on_failure(void *ctx, MQTTAsync_failureData *data)
{
    (void)ctx;
    (void)fprintf(stderr, "failed: %d %s\n", data ? data->code : 0,
                  data && data->message ? data->message : "");
    exit(1);
}

static void on_failure5(void *ctx, MQTTAsync_failureData5 *data)
{
    (void)ctx;
    (void)fprintf(stderr, "failed: %d, reason %d\n", data ? data->code : 0,
                  data ? (int)data->reasonCode : 0);
    exit(1);
}

/* Messages of one QoS come in order. */
static int on_message(void *ctx, char *topic, int len, MQTTAsync_message *m)
{
    char text[32] = "";
    (void)ctx;
    (void)len;
    EXPECT(m->payloadlen > 0 && m->payloadlen < (int)sizeof text);
    memcpy(text, m->payload, (size_t)m->payloadlen);
    EXPECT(strtoul(text, NULL, 10) / 3 == received[m->qos]);
    count(&received[m->qos]);
    MQTTAsync_freeMessage(&m);
    MQTTAsync_free(topic);
    return 1;
}

static void fill(MQTTAsync_responseOptions *o, unsigned *what)
{
    o->context = what;
    if (version == MQTTVERSION_5) {
        o->onSuccess5 = on_success5;
        o->onFailure5 = on_failure5;
    } else {
        o->onSuccess = on_success;
        o->onFailure = on_failure;
    }
}

static void connect_to(MQTTAsync c, const char *ca)
{
    MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_connectOptions o4 = MQTTAsync_connectOptions_initializer,
                             o5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions *o = version == MQTTVERSION_5 ? &o5 : &o4;
    o->MQTTVersion = version;
    o->maxInflight = IN_FLIGHT;
    o->context = &done;
    if (version == MQTTVERSION_5) {
        o->cleanstart = 1;
        o->onSuccess5 = on_success5;
        o->onFailure5 = on_failure5;
    } else {
        o->onSuccess = on_success;
        o->onFailure = on_failure;
    }
    ssl.trustStore = ca;
    ssl.verify = 1;
    o->ssl = ca ? &ssl : NULL;
    EXPECT(MQTTAsync_connect(c, o) == MQTTASYNC_SUCCESS);
    wait_for(&done, 1);
}

static void publish_all(MQTTAsync c)
{
    char text[32];
    for (unsigned n = 0; n < MESSAGES; n++) {
        MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
        fill(&o, &published);
        int len = snprintf(text, sizeof text, "%u", n), rc;
        while ((rc = MQTTAsync_send(c, "async/t", len, text, (int)(n % 3), 0, &o)) ==
               MQTTASYNC_MAX_BUFFERED_MESSAGES)
            wait_for(&published, n / 2);
        EXPECT(rc == MQTTASYNC_SUCCESS);
    }
    wait_for(&published, MESSAGES);
    for (int qos = 0; qos < 3; qos++)
        wait_for(&received[qos], MESSAGES / 3);
}

int main(int argc, char **argv)
{
    MQTTAsync c = NULL;
    if (argc < 3)
        return 2;
    version = atoi(argv[2]);
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTAsync_global_init(&init);
    MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
    o.MQTTVersion = version;
    o.maxBufferedMessages = MESSAGES;
    EXPECT(MQTTAsync_createWithOptions(&c, argv[1], "paho-async", MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                       &o) == MQTTASYNC_SUCCESS);
    EXPECT(MQTTAsync_setCallbacks(c, NULL, NULL, on_message, NULL) == MQTTASYNC_SUCCESS);
    connect_to(c, argc > 3 ? argv[3] : NULL);
    MQTTAsync_responseOptions subscribed = MQTTAsync_responseOptions_initializer;
    fill(&subscribed, &done);
    EXPECT(MQTTAsync_subscribe(c, "async/#", 2, &subscribed) == MQTTASYNC_SUCCESS);
    wait_for(&done, 2);
    publish_all(c);
    MQTTAsync_disconnectOptions bye = MQTTAsync_disconnectOptions_initializer;
    bye.context = &done;
    bye.onSuccess = version == MQTTVERSION_5 ? NULL : on_success;
    bye.onSuccess5 = version == MQTTVERSION_5 ? on_success5 : NULL;
    EXPECT(MQTTAsync_disconnect(c, &bye) == MQTTASYNC_SUCCESS);
    wait_for(&done, 3);
    MQTTAsync_destroy(&c);
    return 0;
}
