/* topic.c - topic names and filters. */
#include "base/topic.h"

bool sl_levels_next(struct sl_levels *it, struct sl_slice *ret)
{
    if (!it->more)
        return false;
    const uint8_t *slash = it->rest.len ? memchr(it->rest.ptr, '/', it->rest.len) : NULL;
    if (!slash) {
        *ret = it->rest;
        it->more = false;
        return true;
    }
    size_t n = (size_t)(slash - it->rest.ptr);
    *ret = (struct sl_slice){ it->rest.ptr, n };
    it->rest = (struct sl_slice){ slash + 1, it->rest.len - n - 1 };
    return true;
}

/* Whether eight bytes are all ASCII and none is NUL, '+' or '#'. Taking 1 from a byte of 0 sets its
 * top bit; a borrow from the byte below happens only where that one has shown up already. */
static bool is_plain_word(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t w;
    memcpy(&w, p, sizeof w);
    uint64_t plus = w ^ ones * '+', hash = w ^ ones * '#'; /* 0 where the wildcard stands */
    return ((w | (w - ones) | (plus - ones) | (hash - ones)) & (ones << 7)) == 0;
}

/* Every publish comes by here, and nearly every topic is ASCII: eight bytes at a time, the last
 * eight overlapping those before. */
static bool is_plain_topic(struct sl_slice topic)
{
    if (topic.len < 8)
        return false;
    for (size_t i = 0; i + 8 <= topic.len; i += 8)
        if (!is_plain_word(topic.ptr + i))
            return false;
    return is_plain_word(topic.ptr + topic.len - 8);
}

bool sl_topic_valid(struct sl_slice topic)
{
    if (topic.len == 0 || topic.len > UINT16_MAX)
        return false;
    if (is_plain_topic(topic))
        return true;
    if (memchr(topic.ptr, '+', topic.len) || memchr(topic.ptr, '#', topic.len))
        return false;
    return sl_utf8_valid(topic);
}

bool sl_filter_valid(struct sl_slice filter)
{
    if (filter.len == 0 || filter.len > UINT16_MAX || !sl_utf8_valid(filter))
        return false;
    struct sl_levels it = sl_levels(filter);
    for (struct sl_slice level; sl_levels_next(&it, &level);) {
        bool hash = level.len > 0 && memchr(level.ptr, '#', level.len);
        bool plus = level.len > 0 && memchr(level.ptr, '+', level.len);
        if (hash && (level.len != 1 || it.more))
            return false;
        if (plus && level.len != 1)
            return false;
    }
    return true;
}

static bool is_byte(struct sl_slice level, char c)
{
    return level.len == 1 && level.ptr[0] == (uint8_t)c;
}

bool sl_topic_match(struct sl_slice filter, struct sl_slice topic)
{
    if (topic.len > 0 && topic.ptr[0] == '$' && filter.len > 0 &&
        (filter.ptr[0] == '+' || filter.ptr[0] == '#'))
        return false;
    struct sl_levels fit = sl_levels(filter), tit = sl_levels(topic);
    struct sl_slice f, t;
    while (sl_levels_next(&fit, &f)) {
        if (is_byte(f, '#'))
            return true; /* also when the topic has just ended: its parent level */
        if (!sl_levels_next(&tit, &t))
            return false;
        if (!is_byte(f, '+') && !sl_slice_eq(f, t))
            return false;
    }
    return !tit.more;
}
