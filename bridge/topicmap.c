/* topicmap.c - the cloud's topics to ours. */
#include "topicmap.h"

#include "base/topic.h"

#include <stdlib.h>

struct wildcards {
    unsigned plus;
    bool hash;
};

static struct wildcards count_wildcards(struct sl_slice filter)
{
    struct wildcards w = { 0 };
    struct sl_levels it = sl_levels(filter);
    for (struct sl_slice level; sl_levels_next(&it, &level);) {
        w.plus += sl_slice_eq(level, sl_str("+"));
        w.hash |= sl_slice_eq(level, sl_str("#"));
    }
    return w;
}

/* What a shared subscription's messages are matched with: "$share/NAME/a/b" gives "a/b". */
static struct sl_slice without_share(struct sl_slice filter)
{
    if (!sl_slice_starts(filter, sl_str("$share/")))
        return filter;
    struct sl_levels it = sl_levels(filter);
    struct sl_slice share, name;
    if (sl_levels_next(&it, &share) && sl_levels_next(&it, &name) && it.more)
        return it.rest;
    return sl_str("");
}

enum sl_code topicmap_check(struct sl_slice cloud, struct sl_slice local, struct sl_err *err)
{
    if (!sl_filter_valid(without_share(cloud)))
        return sl_fail(err, SL_INVALID, "\"%.*s\" is not a topic filter", SL_FMT(cloud));
    if (!sl_filter_valid(local))
        return sl_fail(err, SL_INVALID, "\"%.*s\" is not a topic filter", SL_FMT(local));
    struct wildcards theirs = count_wildcards(without_share(cloud)), ours = count_wildcards(local);
    if (theirs.plus > TOPICMAP_WILDCARDS_MAX)
        return sl_fail(err, SL_INVALID, "\"%.*s\" has more than %d wildcards", SL_FMT(cloud),
                       TOPICMAP_WILDCARDS_MAX);
    if (ours.plus > theirs.plus || (ours.hash && !theirs.hash))
        return sl_fail(err, SL_INVALID,
                       "\"%.*s\" has a wildcard that \"%.*s\" has nothing to fill with",
                       SL_FMT(local), SL_FMT(cloud));
    return SL_OK;
}

enum sl_code topicmap_add(struct topicmap *m, const char *cloud, const char *local, uint8_t qos,
                          struct sl_err *err)
{
    enum sl_code code = topicmap_check(sl_str(cloud), sl_str(local), err);
    if (code != SL_OK)
        return code;
    struct topicmap_pair *grown = realloc(m->pairs, (m->count + 1) * sizeof *grown);
    if (!grown)
        return sl_fail(err, SL_NOMEM, "memory is out");
    m->pairs = grown;
    struct topicmap_pair *pair = &m->pairs[m->count];
    *pair = (struct topicmap_pair){ .cloud = sl_slice_dup(sl_str(cloud)),
                                    .local = sl_slice_dup(sl_str(local)),
                                    .qos = qos > 1 ? 1 : qos };
    if (!pair->cloud || !pair->local) {
        free(pair->cloud);
        free(pair->local);
        return sl_fail(err, SL_NOMEM, "memory is out");
    }
    m->count++;
    return SL_OK;
}

struct captures {
    struct sl_slice plus[TOPICMAP_WILDCARDS_MAX];
    unsigned plus_count;
    struct sl_slice hash;
    bool hash_empty; /* "a/#" matched "a": the level is not there at all */
};

/* filter is known to match topic. */
static void capture(struct sl_slice filter, struct sl_slice topic, struct captures *ret)
{
    struct sl_levels f = sl_levels(filter), t = sl_levels(topic);
    *ret = (struct captures){ .hash_empty = true };
    for (struct sl_slice pattern, level; sl_levels_next(&f, &pattern);) {
        if (sl_slice_eq(pattern, sl_str("#"))) {
            ret->hash_empty = !t.more;
            ret->hash = t.rest;
            return;
        }
        if (!sl_levels_next(&t, &level))
            return;
        if (sl_slice_eq(pattern, sl_str("+")) && ret->plus_count < TOPICMAP_WILDCARDS_MAX)
            ret->plus[ret->plus_count++] = level;
    }
}

static void fill(struct sl_slice local, const struct captures *c, struct sl_buf *ret)
{
    struct sl_levels it = sl_levels(local);
    unsigned plus = 0;
    bool first = true;
    for (struct sl_slice level; sl_levels_next(&it, &level); first = false) {
        bool hash = sl_slice_eq(level, sl_str("#"));
        if (hash && c->hash_empty)
            return;
        if (!first)
            sl_buf_put_u8(ret, '/');
        if (hash)
            sl_buf_put_slice(ret, c->hash);
        else if (sl_slice_eq(level, sl_str("+")) && plus < c->plus_count)
            sl_buf_put_slice(ret, c->plus[plus++]);
        else
            sl_buf_put_slice(ret, level);
    }
}

bool topicmap_apply(const struct topicmap *m, struct sl_slice topic, struct sl_buf *ret)
{
    for (size_t i = 0; i < m->count; i++) {
        struct sl_slice filter = without_share(sl_str(m->pairs[i].cloud));
        if (!sl_topic_match(filter, topic))
            continue;
        struct captures c;
        capture(filter, topic, &c);
        fill(sl_str(m->pairs[i].local), &c, ret);
        return !ret->failed && sl_topic_valid(sl_buf_slice(ret));
    }
    return false;
}

void topicmap_free(struct topicmap *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free(m->pairs[i].cloud);
        free(m->pairs[i].local);
    }
    free(m->pairs);
    *m = (struct topicmap){ 0 };
}
