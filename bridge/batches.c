/* batches.c - outputs that gather. */
#include "batches.h"

#include "element.h"

#include <assert.h>
#include <stdlib.h>

/* Of a PUBLISH beside topic, properties and payload: headers, lengths, message expiry. */
#define PACKET_OVERHEAD 42

/* ---- limits ---- */

static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash = (hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

uint16_t bridge_batch_key(const struct bridge_batch *l)
{
    uint64_t hash = mix(mix(mix(1, l->max_bytes), l->max_count), (uint64_t)l->max_age_ms);
    uint16_t key = (uint16_t)(hash >> 40);
    return key ? key : 1;
}

uint16_t bridge_batch_linger_ms(const struct bridge_batch *l)
{
    return l->max_age_ms <= BRIDGE_LINGER_MS_MAX ? (uint16_t)l->max_age_ms : 0;
}

static const struct bridge_batch *limits_of(const struct batches *b, uint16_t key)
{
    for (size_t i = 0; i < b->rule_count; i++)
        if (b->rules[i].key == key)
            return &b->rules[i].limits;
    return &b->standard;
}

static void make_smaller(struct bridge_batch *to, const struct bridge_batch *other)
{
    if (other->max_bytes < to->max_bytes)
        to->max_bytes = other->max_bytes;
    if (other->max_count < to->max_count)
        to->max_count = other->max_count;
    if (other->max_age_ms < to->max_age_ms)
        to->max_age_ms = other->max_age_ms;
}

bool batches_set_rules(struct batches *b, const struct bridge_batch *limits, size_t count)
{
    struct batch_rule *rules = calloc(count ? count : 1, sizeof *rules);
    if (!rules)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t key = bridge_batch_key(&limits[i]);
        size_t at = 0;
        while (at < kept && rules[at].key != key)
            at++;
        if (at < kept)
            make_smaller(&rules[at].limits, &limits[i]);
        else
            rules[kept++] = (struct batch_rule){ key, limits[i] };
    }
    free(b->rules);
    b->rules = rules;
    b->rule_count = kept;
    return true;
}

/* ---- life ---- */

void batches_init(struct batches *b, const char *gateway_id, const struct bridge_batch *standard)
{
    *b = (struct batches){ .gateway_id = gateway_id,
                           .standard = *standard,
                           .payload_max = SL_BUF_MAX,
                           .packet_max = SIZE_MAX,
                           .properties = true };
}

void batches_free(struct batches *b)
{
    free(b->rules);
    sl_buf_free(&b->scratch);
    b->rules = NULL;
}

void batches_set_room(struct batches *b, size_t payload_max, size_t packet_max, bool properties)
{
    b->properties = properties;
    b->payload_max = payload_max;
    b->packet_max = packet_max;
}

void batches_forget(struct batches *b)
{
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++)
        b->open[i].first = NULL;
    b->ready_first = b->ready_count = 0;
    b->alone = b->alone_last = NULL;
}

/* ---- what is ready ---- */

static void push_ready(struct batches *b, struct outbox_item *first)
{
    assert(b->ready_count < BATCHES_READY_MAX);
    b->ready[(b->ready_first + b->ready_count++) % BATCHES_READY_MAX] = first;
}

static struct outbox_item *pop_ready(struct batches *b)
{
    struct outbox_item *first = b->ready[b->ready_first];
    b->ready_first = (b->ready_first + 1) % BATCHES_READY_MAX;
    b->ready_count--;
    return first;
}

static struct outbox_item *pop_alone(struct batches *b)
{
    struct outbox_item *item = b->alone;
    b->alone = element_next(item);
    if (!b->alone)
        b->alone_last = NULL;
    item->sender_data = NULL;
    return item;
}

void batches_split(struct batches *b, struct outbox_item *first)
{
    if (b->alone_last)
        b->alone_last->sender_data = first;
    else
        b->alone = first;
    while (element_next(first))
        first = element_next(first);
    b->alone_last = first;
}

/* ---- open ones ---- */

static void close_batch(struct batches *b, struct batch *batch)
{
    push_ready(b, batch->first);
    batch->first = NULL;
}

static struct batch *find_open(struct batches *b, const struct outbox_item *item, uint32_t hash)
{
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++) {
        struct batch *batch = &b->open[i];
        if (batch->first && batch->hash == hash && batch->first->lane == item->lane &&
            sl_slice_eq(sl_msg_topic(batch->first->msg), sl_msg_topic(item->msg)))
            return batch;
    }
    return NULL;
}

static struct batch *oldest_open(struct batches *b)
{
    struct batch *oldest = NULL;
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++)
        if (b->open[i].first && (!oldest || b->open[i].opened < oldest->opened))
            oldest = &b->open[i];
    return oldest;
}

static struct batch *free_place(struct batches *b)
{
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++)
        if (!b->open[i].first)
            return &b->open[i];
    struct batch *oldest = oldest_open(b);
    assert(oldest);
    close_batch(b, oldest);
    return oldest;
}

/* The bytes that it adds to an array, its comma included, and its time if that is not known yet. */
static size_t element_bytes(struct batches *b, const struct outbox_item *item)
{
    sl_buf_reset(&b->scratch);
    element_put(&b->scratch, item, b->gateway_id);
    size_t bytes = b->scratch.failed ? SL_BUF_MAX : b->scratch.len + 1;
    if (item->wall_ms <= 0)
        bytes += ELEMENT_TIME_BYTES;
    sl_buf_shrink(&b->scratch, 64 * 1024);
    return bytes;
}

static bool expires(const struct sl_msg *m)
{
    return m->expiry_s != SL_MSG_NO_EXPIRY;
}

static bool fits(const struct batch *batch, const struct outbox_item *item, size_t bytes)
{
    const struct sl_msg *a = batch->first->msg, *m = item->msg;
    return a->batch == m->batch && a->qos == m->qos && a->retain == m->retain &&
           expires(a) == expires(m) && sl_slice_eq(sl_msg_props(a), sl_msg_props(m)) &&
           batch->count < batch->limits.max_count &&
           batch->bytes + bytes <= batch->limits.max_bytes;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A whole second before its ttl is over: the server still has to see something of it. */
static int64_t expiry_ms(const struct sl_msg *m)
{
    return expires(m) ? m->mono_ms + ((int64_t)m->expiry_s - 1) * 1000 : BATCHES_NEVER;
}

/* What is full is due. */
static void note_full(struct batch *batch)
{
    if (batch->count >= batch->limits.max_count || batch->bytes >= batch->limits.max_bytes)
        batch->due_ms = 0;
}

static size_t less(size_t from, size_t n)
{
    return from > n ? from - n : 0;
}

/* How much of max_bytes is left for the payload of a batch that begins with m. */
static uint32_t payload_room(const struct batches *b, const struct sl_msg *m, uint32_t max_bytes)
{
    size_t beside = (size_t)m->topic_len;
    if (b->properties)
        beside += BRIDGE_BATCH_PROPERTY_BYTES + m->props_len;
    size_t room = less(max_bytes, beside), packet = less(b->packet_max, PACKET_OVERHEAD + beside);
    room = room < b->payload_max ? room : b->payload_max;
    return (uint32_t)(room < packet ? room : packet);
}

static void open_batch(struct batches *b, struct outbox_item *item, uint32_t hash, size_t bytes,
                       int64_t now_ms)
{
    struct batch *batch = free_place(b);
    struct bridge_batch limits = *limits_of(b, item->msg->batch);
    limits.max_bytes = payload_room(b, item->msg, limits.max_bytes);
    int64_t due = item->msg->mono_ms + limits.max_age_ms;
    int64_t gathered = now_ms + earlier(limits.max_age_ms, BATCHES_GATHER_MS);
    *batch =
        (struct batch){ .first = item,
                        .last = item,
                        .limits = limits,
                        .hash = hash,
                        .count = 1,
                        .bytes = bytes + 1, /* two brackets, and no comma */
                        .due_ms = earlier(due > gathered ? due : gathered, expiry_ms(item->msg)),
                        .opened = ++b->last_opened };
    note_full(batch);
}

static void join(struct batch *batch, struct outbox_item *item, size_t bytes)
{
    batch->last->sender_data = item;
    batch->last = item;
    batch->count++;
    batch->bytes += bytes;
    batch->due_ms = earlier(batch->due_ms, expiry_ms(item->msg));
    note_full(batch);
}

/* Pushes at most three: the one it cannot join, the oldest, and itself. */
void batches_put(struct batches *b, struct outbox_item *item, int64_t now_ms)
{
    uint32_t hash = sl_hash(sl_msg_topic(item->msg));
    struct batch *batch = find_open(b, item, hash);
    size_t bytes = item->msg->batch ? element_bytes(b, item) : 0;
    item->sender_data = NULL;
    if (batch && (!item->msg->batch || !fits(batch, item, bytes))) {
        close_batch(b, batch);
        batch = NULL;
    }
    if (!item->msg->batch)
        push_ready(b, item);
    else if (batch)
        join(batch, item, bytes);
    else
        open_batch(b, item, hash, bytes, now_ms);
}

/* ---- out ---- */

static struct batch *due_batch(struct batches *b, int64_t now_ms)
{
    struct batch *found = NULL;
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++) {
        struct batch *batch = &b->open[i];
        if (!batch->first || batch->due_ms > now_ms)
            continue;
        if (!found || batch->first->lane < found->first->lane ||
            (batch->first->lane == found->first->lane && batch->opened < found->opened))
            found = batch;
    }
    return found;
}

struct outbox_item *batches_next(struct batches *b, int64_t now_ms)
{
    if (b->alone)
        return pop_alone(b);
    if (b->ready_count > 0)
        return pop_ready(b);
    struct batch *due = due_batch(b, now_ms);
    if (!due)
        return NULL;
    struct outbox_item *first = due->first;
    due->first = NULL;
    return first;
}

int64_t batches_due(const struct batches *b)
{
    int64_t at = b->alone || b->ready_count > 0 ? 0 : BATCHES_NEVER;
    for (size_t i = 0; i < BATCHES_OPEN_MAX; i++)
        if (b->open[i].first)
            at = earlier(at, b->open[i].due_ms);
    return at;
}

bool batches_empty(const struct batches *b)
{
    return batches_due(b) == BATCHES_NEVER;
}

void batches_close_all(struct batches *b)
{
    for (struct batch *oldest; (oldest = oldest_open(b));)
        close_batch(b, oldest);
}
