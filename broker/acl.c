/* acl.c - the access list: compiled entries, matching, a client's view. */
#include "broker/acl.h"

#include "base/topic.h"

#include <stdlib.h>

enum pattern_kind { PATTERN_DENY, PATTERN_PUBLISH, PATTERN_SUBSCRIBE };

struct pattern {
    uint32_t at; /* in the list's text */
    uint16_t len;
    uint8_t kind;
};

enum speaks_for { FOR_ALL, FOR_NAMELESS, FOR_USERS };

struct entry {
    uint32_t first, count; /* patterns, those that deny first */
    uint32_t user_at;      /* FOR_USERS */
    uint16_t user_len;
    uint8_t speaks_for;
    bool denies;
};

struct acl {
    uint32_t refs;
    uint32_t entry_count, pattern_count;
    struct entry *entries;
    struct pattern *patterns;
    uint8_t *text;
};

/* Topics asked for last, with the answers. Sensors publish to a few topics again and again. */
enum { LATELY = 4, LATELY_TOPIC_MAX = 62 };
struct lately {
    struct {
        uint8_t len, may; /* len 0: free */
        uint8_t topic[LATELY_TOPIC_MAX];
    } slots[LATELY];
};

struct value {
    struct sl_slice text;
    bool safe; /* there, and without characters that mean something in filters */
};

struct acl_view {
    struct acl *acl;
    struct value user, client_id;
    bool named, denies;
    uint8_t next;          /* slot of `lately` to give up */
    struct lately *lately; /* NULL until something is published */
    uint32_t count;
    uint16_t entries[]; /* of the list; then the user name */
};

/* ---- matching ---- */

/* What %u and %c stand for, and what a name that cannot be put in makes of the pattern. */
struct names {
    struct value user, client_id;
    bool unusable_fits;
};

static bool is_byte(struct sl_slice level, char c)
{
    return level.len == 1 && level.ptr[0] == (uint8_t)c;
}

enum level_result { LEVEL_DIFFERS, LEVEL_SAME, LEVEL_UNUSABLE };

/* A level of a pattern, names put in, against a literal one. */
static enum level_result compare_level(struct sl_slice p, struct sl_slice level,
                                       const struct names *names)
{
    if (!names || p.len == 0 || !memchr(p.ptr, '%', p.len))
        return sl_slice_eq(p, level) ? LEVEL_SAME : LEVEL_DIFFERS;
    struct sl_slice rest = level;
    bool same = true;
    for (size_t i = 0; i < p.len; i++) {
        struct sl_slice part = { p.ptr + i, 1 };
        if (p.ptr[i] == '%' && i + 1 < p.len && p.ptr[++i] != '%') {
            const struct value *v = p.ptr[i] == 'u' ? &names->user : &names->client_id;
            if (!v->safe)
                return same ? LEVEL_UNUSABLE : LEVEL_DIFFERS;
            part = v->text;
        }
        same = same && sl_slice_starts(rest, part);
        if (same)
            rest = (struct sl_slice){ rest.ptr + part.len, rest.len - part.len };
    }
    return same && rest.len == 0 ? LEVEL_SAME : LEVEL_DIFFERS;
}

static bool begins_with_wildcard(struct sl_slice filter)
{
    return filter.len > 0 && (filter.ptr[0] == '+' || filter.ptr[0] == '#');
}

/* '#' also fits its parent, but "#" and "/#" have none: no topic is empty. So they match the same as
 * these, which say that there is one more level. */
static struct sl_slice spelled_out(struct sl_slice filter)
{
    if (is_byte(filter, '#'))
        return sl_str("+/#");
    return sl_slice_eq(filter, sl_str("/#")) ? sl_str("/+/#") : filter;
}

static bool fits(struct sl_slice pattern, struct sl_slice filter, const struct names *names)
{
    if (begins_with_wildcard(pattern) && filter.len > 0 && filter.ptr[0] == '$')
        return false; /* [MQTT-4.7.2-1] */
    struct sl_levels pit = sl_levels(pattern), fit = sl_levels(spelled_out(filter));
    struct sl_slice p, f;
    while (sl_levels_next(&pit, &p)) {
        if (is_byte(p, '#'))
            return true; /* also when the filter has just ended: its parent level */
        bool more = sl_levels_next(&fit, &f);
        if (is_byte(p, '+')) {
            if (!more || is_byte(f, '#'))
                return false;
            continue;
        }
        /* Asked even when the filter has ended or holds a wildcard here: one that denies and cannot
         * be made out fits whatever comes this far. */
        switch (compare_level(p, more ? f : (struct sl_slice){ 0 }, names)) {
        case LEVEL_UNUSABLE: return names->unusable_fits;
        case LEVEL_DIFFERS: return false;
        case LEVEL_SAME: break;
        }
        if (!more)
            return false;
    }
    return !fit.more;
}

bool acl_fits(struct sl_slice pattern, struct sl_slice filter)
{
    return fits(pattern, filter, NULL);
}

/* Goes back to the last '*' only: what an earlier one could take, the last one can take as well. */
bool acl_user_fits(struct sl_slice pattern, struct sl_slice user)
{
    size_t p = 0, u = 0, star = SIZE_MAX, star_u = 0;
    while (u < user.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_u = u;
        } else if (p < pattern.len && pattern.ptr[p] == user.ptr[u]) {
            p++;
            u++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            u = ++star_u;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

/* ---- the list ---- */

static void count_list(const char *const *list, size_t *patterns, size_t *bytes)
{
    for (; list && *list; list++) {
        ++*patterns;
        *bytes += strlen(*list);
    }
}

static uint32_t copy_text(struct acl *a, uint32_t *end, const char *text, uint16_t *ret_len)
{
    size_t len = strlen(text);
    uint32_t at = *end;
    memcpy(a->text + at, text, len);
    *ret_len = (uint16_t)len; /* filters and names: at most 65,535 */
    *end += (uint32_t)len;
    return at;
}

static void copy_list(struct acl *a, uint32_t *end, const char *const *list, enum pattern_kind kind)
{
    for (; list && *list; list++) {
        struct pattern *p = &a->patterns[a->pattern_count++];
        p->at = copy_text(a, end, *list, &p->len);
        p->kind = (uint8_t)kind;
    }
}

static void copy_entry(struct acl *a, uint32_t *end, const struct acl_entry_options *o)
{
    struct entry *e = &a->entries[a->entry_count++];
    e->speaks_for = o->user ? FOR_USERS : o->anonymous ? FOR_NAMELESS : FOR_ALL;
    if (o->user)
        e->user_at = copy_text(a, end, o->user, &e->user_len);
    e->first = a->pattern_count;
    copy_list(a, end, o->deny, PATTERN_DENY);
    e->denies = a->pattern_count > e->first;
    copy_list(a, end, o->publish, PATTERN_PUBLISH);
    copy_list(a, end, o->subscribe, PATTERN_SUBSCRIBE);
    e->count = a->pattern_count - e->first;
}

struct acl *acl_new(const struct acl_entry_options *entries, size_t count)
{
    size_t patterns = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].user ? strlen(entries[i].user) : 0;
        count_list(entries[i].deny, &patterns, &bytes);
        count_list(entries[i].publish, &patterns, &bytes);
        count_list(entries[i].subscribe, &patterns, &bytes);
    }
    struct acl *a = count <= ACL_ENTRIES_MAX && bytes <= UINT32_MAX ? calloc(1, sizeof *a) : NULL;
    if (!a)
        return NULL;
    a->refs = 1;
    a->entries = calloc(count + 1, sizeof *a->entries);
    a->patterns = calloc(patterns + 1, sizeof *a->patterns);
    a->text = malloc(bytes + 1);
    if (!a->entries || !a->patterns || !a->text) {
        acl_unref(a);
        return NULL;
    }
    uint32_t end = 0;
    for (size_t i = 0; i < count; i++)
        copy_entry(a, &end, &entries[i]);
    return a;
}

struct acl *acl_ref(struct acl *a)
{
    if (a)
        a->refs++;
    return a;
}

void acl_unref(struct acl *a)
{
    if (!a || --a->refs > 0)
        return;
    free(a->entries);
    free(a->patterns);
    free(a->text);
    free(a);
}

/* ---- a client's view ---- */

static struct value value_of(struct sl_slice text)
{
    static const char special[] = "+#/$";
    bool safe = text.len > 0;
    for (const char *c = special; *c && safe; c++)
        safe = !memchr(text.ptr, *c, text.len);
    return (struct value){ text, safe };
}

static bool speaks_for(const struct acl *a, const struct entry *e, struct sl_slice user)
{
    switch ((enum speaks_for)e->speaks_for) {
    case FOR_ALL: return true;
    case FOR_NAMELESS: return !user.ptr;
    case FOR_USERS:
        return user.ptr &&
               acl_user_fits((struct sl_slice){ a->text + e->user_at, e->user_len }, user);
    }
    return false;
}

static uint32_t count_entries(const struct acl *a, struct sl_slice user)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->entry_count; i++)
        count += speaks_for(a, &a->entries[i], user);
    return count;
}

struct acl_view *acl_view_new(struct acl *a, struct sl_slice user, struct sl_slice client_id)
{
    uint32_t count = count_entries(a, user);
    struct acl_view *v = malloc(sizeof *v + count * sizeof v->entries[0] + user.len);
    if (!v)
        return NULL;
    *v = (struct acl_view){ .acl = acl_ref(a), .named = user.ptr != NULL };
    for (uint32_t i = 0; i < a->entry_count; i++) {
        if (!speaks_for(a, &a->entries[i], user))
            continue;
        v->entries[v->count++] = (uint16_t)i;
        v->denies = v->denies || a->entries[i].denies;
    }
    uint8_t *copy = (uint8_t *)(v->entries + v->count);
    if (user.len > 0)
        memcpy(copy, user.ptr, user.len);
    v->user = value_of((struct sl_slice){ copy, user.len });
    v->client_id = value_of(client_id);
    return v;
}

void acl_view_free(struct acl_view *v)
{
    if (!v)
        return;
    acl_unref(v->acl);
    free(v->lately);
    free(v);
}

static struct sl_slice user_of(const struct acl_view *v)
{
    return v->named ? v->user.text : (struct sl_slice){ 0 };
}

void acl_view_replace(struct acl_view **v, struct acl *a)
{
    struct acl_view *fresh = acl_view_new(a, user_of(*v), (*v)->client_id.text);
    if (fresh) {
        acl_view_free(*v);
        *v = fresh;
        return;
    }
    (*v)->count = 0; /* no entry allows anything */
    free((*v)->lately);
    (*v)->lately = NULL;
}

bool acl_view_denies(const struct acl_view *v)
{
    return v->denies;
}

bool acl_view_is_under(const struct acl_view *v, const struct acl *a)
{
    return v->acl == a;
}

bool acl_view_is_of(const struct acl_view *v, struct sl_slice user)
{
    return v->named == (user.ptr != NULL) && sl_slice_eq(v->user.text, user);
}

enum verdict { VERDICT_NEXT, VERDICT_MAY, VERDICT_MAY_NOT };

static enum verdict ask_entry(const struct acl_view *v, const struct entry *e,
                              enum pattern_kind wanted, struct sl_slice filter)
{
    const struct acl *a = v->acl;
    struct names names = { v->user, v->client_id, false };
    for (uint32_t i = e->first; i < e->first + e->count; i++) {
        const struct pattern *p = &a->patterns[i];
        if (p->kind != PATTERN_DENY && p->kind != wanted)
            continue;
        names.unusable_fits = p->kind == PATTERN_DENY;
        if (fits((struct sl_slice){ a->text + p->at, p->len }, filter, &names))
            return p->kind == PATTERN_DENY ? VERDICT_MAY_NOT : VERDICT_MAY;
    }
    return VERDICT_NEXT;
}

bool acl_may(const struct acl_view *v, enum acl_right right, struct sl_slice filter)
{
    enum pattern_kind wanted = right == ACL_PUBLISH ? PATTERN_PUBLISH : PATTERN_SUBSCRIBE;
    for (uint32_t i = 0; i < v->count; i++)
        switch (ask_entry(v, &v->acl->entries[v->entries[i]], wanted, filter)) {
        case VERDICT_NEXT: break;
        case VERDICT_MAY: return true;
        case VERDICT_MAY_NOT: return false;
        }
    return false;
}

bool acl_may_publish(struct acl_view *v, struct sl_slice topic)
{
    if (topic.len > LATELY_TOPIC_MAX)
        return acl_may(v, ACL_PUBLISH, topic);
    if (!v->lately && !(v->lately = calloc(1, sizeof *v->lately)))
        return acl_may(v, ACL_PUBLISH, topic);
    for (size_t i = 0; i < LATELY; i++)
        if (v->lately->slots[i].len == topic.len &&
            memcmp(v->lately->slots[i].topic, topic.ptr, topic.len) == 0)
            return v->lately->slots[i].may;
    bool may = acl_may(v, ACL_PUBLISH, topic);
    v->lately->slots[v->next].len = (uint8_t)topic.len;
    v->lately->slots[v->next].may = may;
    memcpy(v->lately->slots[v->next].topic, topic.ptr, topic.len);
    v->next = (uint8_t)((v->next + 1) % LATELY);
    return may;
}
