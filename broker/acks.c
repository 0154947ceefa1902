/* acks.c - held acknowledgements. */
#include "acks.h"

#include "client.h"
#include "session.h"

#include "broker/mqtt.h"

#include <assert.h>
#include <stdlib.h>

static void unlink_from_session(struct broker_ack *a)
{
    if (!a->session)
        return;
    if (a->prev)
        a->prev->next = a->next;
    else
        a->session->acks = a->next;
    if (a->next)
        a->next->prev = a->prev;
    a->next = a->prev = NULL;
    a->session = NULL;
}

void ack_unref(struct broker_ack *a)
{
    if (!a)
        return;
    assert(a->refs > 0);
    if (--a->refs > 0)
        return;
    unlink_from_session(a);
    free(a);
}

void acks_orphan(struct session *s)
{
    while (s->acks)
        unlink_from_session(s->acks);
}

struct broker_ack *broker_ack_hold(struct broker_receipt *r)
{
    if (!r)
        return NULL;
    if (!r->ack) {
        struct broker_ack *a = calloc(1, sizeof *a);
        if (!a) {
            broker_receipt_refuse(r, MQTT_RC_QUOTA_EXCEEDED);
            return NULL;
        }
        a->refs = 1; /* the receipt's */
        a->session = r->session;
        a->next = r->session->acks;
        if (a->next)
            a->next->prev = a;
        r->session->acks = a;
        r->ack = a;
    }
    r->ack->holds++;
    r->ack->refs++;
    return r->ack;
}

void broker_ack_release(struct broker_ack *a, uint8_t reason)
{
    assert(a->holds > 0);
    if (reason > a->reason)
        a->reason = reason;
    if (--a->holds == 0 && a->session)
        session_ack_resolved(a->session, a);
    else if (a->holds == 0 && a->safe)
        a->safe(a->ctx, a->token, a->reason);
    ack_unref(a);
}

void broker_receipt_refuse(struct broker_receipt *r, uint8_t reason)
{
    if (r && reason > r->reason)
        r->reason = reason;
}
