/* msg.c - making and releasing messages. */
#include "base/msg.h"

#include <assert.h>
#include <stdlib.h>

static uint8_t *append(uint8_t *at, struct sl_slice s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

struct sl_msg *sl_msg_new(const struct sl_msg_parts *p)
{
    const size_t remaining_length_max = 268435455; /* MQTT 5 section 2.1.4 */
    if (p->topic.len > UINT16_MAX || p->sender.len > UINT16_MAX ||
        p->props.len > remaining_length_max || p->payload.len > remaining_length_max)
        return NULL;
    struct sl_msg *m =
        malloc(sizeof *m + p->topic.len + p->props.len + p->payload.len + p->sender.len);
    if (!m)
        return NULL;
    *m = (struct sl_msg){
        .refs = 1,
        .payload_len = (uint32_t)p->payload.len,
        .props_len = (uint32_t)p->props.len,
        .expiry_s = p->expiry_s,
        .topic_len = (uint16_t)p->topic.len,
        .sender_len = (uint16_t)p->sender.len,
        .qos = p->qos,
        .retain = p->retain,
        .batch = p->batch,
        .linger_ms = p->linger_ms,
        .mono_ms = p->mono_ms,
        .wall_ms = p->wall_ms,
        .origin = p->origin,
    };
    uint8_t *at = append(m->data, p->topic);
    at = append(at, p->props);
    at = append(at, p->payload);
    (void)append(at, p->sender); /* the end is not needed */
    return m;
}

void sl_msg_unref(struct sl_msg *m)
{
    if (!m)
        return;
    assert(m->refs > 0);
    if (--m->refs == 0)
        free(m);
}
