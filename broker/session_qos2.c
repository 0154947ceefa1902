/* session_qos2.c - QoS 2 publishes received from a client and not released yet. */
#include "session_internal.h"

#include "durable.h"

#include <stdlib.h>

static struct sl_slice qos2_key(const void *value)
{
    const struct qos2_in *q = value;
    return sl_bytes(&q->packet_id, sizeof q->packet_id);
}

void session_qos2_free(struct session *s)
{
    struct qos2_in *q;
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));) {
        ack_unref(q->ack);
        free(q);
    }
    sl_map_free(&s->qos2);
}

/* A new connection begins with an empty receive window [MQTT-4.9.0-1]: what an earlier one left
 * unreleased, its client may have forgotten. */
void session_qos2_close_window(struct session *s)
{
    struct qos2_in *q;
    for (uint32_t i = 0; (q = sl_map_next(&s->qos2, &i));)
        q->open = false;
    s->qos2_open = 0;
}

struct qos2_in *session_qos2_find(struct session *s, uint16_t packet_id)
{
    return sl_map_get(&s->qos2, qos2_key, sl_bytes(&packet_id, sizeof packet_id));
}

bool session_qos2_add(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = calloc(1, sizeof *q);
    if (!q)
        return false;
    q->packet_id = packet_id;
    if (sl_map_put(&s->qos2, qos2_key, q))
        return true;
    free(q);
    return false;
}

void session_qos2_received(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(s, packet_id);
    if (!q)
        return;
    q->received = true;
    s->qos2_open += !q->open;
    q->open = true;
}

void session_qos2_remove(struct session *s, uint16_t packet_id)
{
    struct qos2_in *q = session_qos2_find(s, packet_id);
    if (!q)
        return;
    s->qos2_open -= q->open;
    persist_forget_received(s, q);
    sl_map_remove(&s->qos2, qos2_key, q);
    ack_unref(q->ack);
    free(q);
}
