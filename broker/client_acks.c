/* client_acks.c - acknowledgements of what a client publishes, in the order of its packets. */
#include "broker_internal.h"
#include "client.h"
#include "session.h"

#include <stdlib.h>

void client_drop_acks(struct client *c)
{
    for (uint32_t i = 0; i < c->ack_count; i++)
        ack_unref(c->acks[(c->ack_head + i) & (c->ack_cap - 1)].ack);
    free(c->acks);
    c->acks = NULL;
    c->ack_cap = c->ack_head = c->ack_count = 0;
}

/* Says no. Older versions cannot: who may not publish is acknowledged all the same, and a message
 * that is not safe costs the connection, so that the client sends it again [MQTT-3.3.5-2 of
 * 3.1.1]. */
static void finish_refused(struct client *c, const struct ack_slot *slot, uint8_t reason)
{
    enum mqtt_type type = (enum mqtt_type)slot->type;
    if (!mqtt_reason_fits(reason, type)) /* [MQTT-3.4.2-1, 3.5.2-1] */
        reason = MQTT_RC_IMPLEMENTATION_ERROR;
    bool never = reason == MQTT_RC_NOT_AUTHORIZED || reason == MQTT_RC_TOPIC_NAME_INVALID;
    if (type == MQTT_PUBREC)
        session_qos2_remove(c->session, slot->packet_id);
    if (c->version == MQTT_V5)
        client_send_ack(c, type, slot->packet_id, reason);
    else if (never)
        client_send_ack(c, type, slot->packet_id, MQTT_RC_SUCCESS);
    else
        client_close(c, 0, "its message is not safe, and it can only be told so by closing");
}

static void finish_ack(struct client *c, const struct ack_slot *slot)
{
    uint8_t reason = slot->reason;
    if (slot->ack && slot->ack->reason > reason)
        reason = slot->ack->reason;
    if (reason >= 0x80) {
        finish_refused(c, slot, reason);
        return;
    }
    if (slot->type == MQTT_PUBREC)
        session_qos2_received(c->session, slot->packet_id);
    client_send_ack(c, (enum mqtt_type)slot->type, slot->packet_id, reason);
}

static bool push_ack(struct client *c, struct ack_slot slot)
{
    if (c->ack_count == c->ack_cap) {
        uint32_t cap = c->ack_cap ? c->ack_cap * 2 : 8;
        struct ack_slot *larger = calloc(cap, sizeof *larger);
        if (!larger)
            return false;
        for (uint32_t i = 0; i < c->ack_count; i++)
            larger[i] = c->acks[(c->ack_head + i) & (c->ack_cap - 1)];
        free(c->acks);
        c->acks = larger;
        c->ack_cap = cap;
        c->ack_head = 0;
    }
    c->acks[(c->ack_head + c->ack_count++) & (c->ack_cap - 1)] = slot;
    return true;
}

/* Frees the ring when it is empty, so that an idle connection owns none. An acknowledgement may
 * close the connection, which drops the others. */
static void flush_acks(struct client *c)
{
    while (c->ack_count > 0) {
        struct ack_slot slot = c->acks[c->ack_head];
        if (slot.ack && !ack_done(slot.ack))
            return;
        c->ack_head = (c->ack_head + 1) & (c->ack_cap - 1);
        c->ack_count--;
        finish_ack(c, &slot);
        ack_unref(slot.ack);
    }
    client_drop_acks(c);
}

void client_queue_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason,
                      struct broker_ack *ack)
{
    struct ack_slot slot = { ack, packet_id, (uint8_t)type, reason };
    bool free_to_go = !ack || ack_done(ack);
    if (free_to_go && c->ack_count == 0) {
        finish_ack(c, &slot);
        return;
    }
    if (!push_ack(c, slot)) {
        client_close(c, MQTT_RC_QUOTA_EXCEEDED, "out of memory for acknowledgements");
        return;
    }
    if (ack)
        ack_ref(ack);
    /* Older versions know no receive maximum: reading pauses until acknowledgements have gone out.
     */
    if (c->version != MQTT_V5 && c->ack_count >= c->broker->options.receive_maximum)
        client_hold_input(c, HOLD_ACKS);
}

uint32_t client_receive_window(const struct client *c)
{
    return c->ack_count + c->session->qos2_open;
}

void session_ack_resolved(struct session *s, struct broker_ack *a)
{
    (void)a; /* those before it go first, whichever it was */
    if (!s->client)
        return;
    struct client *c = s->client;
    flush_acks(c);
    if (c->ack_count <= c->broker->options.receive_maximum / 2) /* many at once are cheaper */
        client_release_input(c, HOLD_ACKS);
}
