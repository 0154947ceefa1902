/* fuzz_acl.c - whether a filter lies within a pattern, against trying it out: every topic over a
 * small alphabet that the filter matches must be matched by the pattern, and the other way round.
 *
 * Input: pattern and filter, divided by a newline; their bytes choose levels, so that most inputs
 * are valid filters. A level that stands in neither is in the alphabet for all others. */
#include "broker/acl.h"

#include "base/topic.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEVELS_MAX = 4, TEXT_MAX = 32 };

/* A filter made of the bytes up to a newline or the end; returns how many were used. */
static size_t make_filter(const uint8_t *data, size_t size, char *out)
{
    static const char *const levels[] = { "+", "#", "a", "b", "", "$s", "+", "a" };
    size_t at = 0, used = 0;
    for (unsigned n = 0; used < size && data[used] != '\n'; used++, n++) {
        if (n >= LEVELS_MAX)
            continue;
        if (n > 0)
            out[at++] = '/';
        for (const char *c = levels[data[used] % SL_ARRAY_LEN(levels)]; *c; c++)
            out[at++] = *c;
    }
    out[at] = '\0';
    return used;
}

/* Whether all topics of up to LEVELS_MAX + 1 levels that the filter matches are the pattern's. */
static bool covers(struct sl_slice pattern, struct sl_slice filter, char *topic, size_t len,
                   unsigned levels)
{
    static const char *const choice[] = { "a", "b", "", "$s", "other" };
    if (levels > 0 && len > 0) {
        struct sl_slice t = sl_bytes(topic, len);
        if (sl_topic_match(filter, t) && !sl_topic_match(pattern, t))
            return false;
    }
    if (levels > LEVELS_MAX)
        return true;
    for (size_t i = 0; i < SL_ARRAY_LEN(choice); i++) {
        size_t end = len;
        if (levels > 0)
            topic[end++] = '/';
        for (const char *c = choice[i]; *c; c++)
            topic[end++] = *c;
        if (!covers(pattern, filter, topic, end, levels + 1))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pattern[TEXT_MAX], filter[TEXT_MAX], topic[TEXT_MAX * 2];
    size_t used = make_filter(data, size, pattern);
    if (used >= size)
        return 0;
    (void)make_filter(data + used + 1, size - used - 1, filter);
    struct sl_slice p = sl_str(pattern), f = sl_str(filter);
    if (!sl_filter_valid(p) || !sl_filter_valid(f))
        return 0;
    bool fits = acl_fits(p, f), tried = covers(p, f, topic, 0, 0);
    if (fits != tried)
        __builtin_trap();
    return 0;
}
