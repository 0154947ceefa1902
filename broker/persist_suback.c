/* persist_suback.c - SUBACK of a session that is kept waits until its subscriptions are committed.
 *
 * When they cannot be, those that are new are taken back, and SUBACK says so: a client that was
 * told yes would not ask again, and after a crash its session would be there without them. What was
 * subscribed before stays. */
#include "persist_internal.h"

#include "client.h"
#include "owed.h"

#include <stdlib.h>

/* Behind it: the packet, a byte for each entry that is not 0 where the subscription is new, and the
 * entries as they came. */
struct held_suback {
    uint32_t packet_len, list_len, count;
    enum mqtt_version version;
    uint8_t data[];
};

bool persist_is_down(const struct broker *b)
{
    return b->persist && b->persist->down;
}

uint8_t persist_refused_subscription(enum mqtt_version v)
{
    return v == MQTT_V5 ? MQTT_RC_QUOTA_EXCEEDED : MQTT_RC_UNSPECIFIED;
}

void persist_hold_suback(struct client *c, size_t start, struct sl_slice fresh,
                         struct sl_slice list)
{
    struct session *s = c->session;
    struct sl_buf *out = &c->out.bytes;
    if (!s || !s->durable || s->broker->persist->down || out->failed || out->len <= start)
        return;
    size_t packet = out->len - start;
    struct held_suback *h = malloc(sizeof *h + packet + fresh.len + list.len);
    if (!h)
        return; /* said before it is safe rather than never */
    *h = (struct held_suback){ (uint32_t)packet, (uint32_t)list.len, (uint32_t)fresh.len,
                               c->version };
    memcpy(h->data, out->ptr + start, packet);
    memcpy(h->data + packet, fresh.ptr, fresh.len);
    memcpy(h->data + packet + fresh.len, list.ptr, list.len);
    out->len = start;
    persist_hold(c, (struct item){
                        .kind = ITEM_SUBACK, .bytes = (uint8_t *)h, .sequence = (uint32_t)packet });
}

static bool take_back(struct session *s, struct sl_slice filter, bool fresh)
{
    if (!fresh)
        return !subs_has(&s->broker->subs, s,
                         filter);                   /* new in a packet before this one, perhaps */
    (void)subs_remove(&s->broker->subs, s, filter); /* in the list twice, perhaps */
    owed_forget(s, filter);
    persist_unsubscribed(s, filter);
    return true;
}

/* The codes stand at the packet's end, whatever the version. */
struct sl_slice persist_finish_suback(struct session *s, uint8_t *bytes, bool ok)
{
    struct held_suback *h = (struct held_suback *)bytes;
    uint8_t *codes = h->data + h->packet_len - h->count, *fresh = h->data + h->packet_len;
    struct sl_cursor list = sl_cursor(sl_bytes(fresh + h->count, h->list_len));
    struct mqtt_sub_entry e;
    for (uint32_t i = 0; !ok && i < h->count && mqtt_subscribe_next(&list, h->version, &e); i++)
        if (codes[i] < MQTT_RC_UNSPECIFIED && take_back(s, e.filter, fresh[i]))
            codes[i] = persist_refused_subscription(h->version);
    return sl_bytes(h->data, h->packet_len);
}
