/* template.c - topic templates of outputs. A template is a list of parts; text stands between
 * ${...}. */
#include "eval.h"
#include "lexer.h"
#include "number.h"
#include "parser.h"
#include "payload.h"

#include "base/topic.h"

#include <assert.h>
#include <stdlib.h>

enum { PARTS_MAX = 64, TEMPLATE_MAX = 4096 };

enum part_kind { PART_TEXT, PART_GATEWAY, PART_THING, PART_TOPIC, PART_LEVEL, PART_FIELD };

struct part {
    enum part_kind kind;
    struct sl_slice text; /* as written; of PART_FIELD the path */
    int64_t level;        /* PART_LEVEL: from 1 */
    struct part *next;
};

struct rule_template {
    struct arena arena;
    struct part *first, **end;
    unsigned count;
};

/* Text of a template under compilation, for errors. */
struct source {
    struct sl_slice all;
    struct rule_error *error;
};

static bool add_part(struct rule_template *t, struct part part)
{
    struct part *p = arena_alloc(&t->arena, sizeof *p);
    if (!p)
        return false;
    *p = part;
    *t->end = p;
    t->end = &p->next;
    t->count++;
    return true;
}

static bool is_name_byte(uint8_t c)
{
    return c == '_' || c == '-' || (c >= '0' && c <= '9') ||
           ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c >= 0x80;
}

/* Names with dots between them: field.of.the.output. */
static bool is_path(struct sl_slice s)
{
    bool in_name = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' && !in_name)
            return false;
        if (s.ptr[i] != '.' && !is_name_byte(s.ptr[i]))
            return false;
        in_name = s.ptr[i] != '.';
    }
    return in_name;
}

static bool is_level(struct sl_slice s, int64_t *ret)
{
    struct sl_slice prefix = sl_str("topic(");
    struct value n;
    if (!sl_slice_starts(s, prefix) || s.len < prefix.len + 2 || s.ptr[s.len - 1] != ')')
        return false;
    struct sl_slice digits = sl_bytes(s.ptr + prefix.len, s.len - prefix.len - 1);
    for (size_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
    if (!number_literal(digits, &n) || n.type != V_INT || n.i < 1)
        return false;
    *ret = n.i;
    return true;
}

/* name: what stands between the braces. */
static bool add_name(struct rule_template *t, const struct source *src, struct sl_slice name)
{
    struct part part = { .text = name };
    size_t at = (size_t)(name.ptr - src->all.ptr);
    if (sl_slice_eq(name, sl_str("gateway"))) {
        part.kind = PART_GATEWAY;
    } else if (sl_slice_eq(name, sl_str("thing_name"))) {
        part.kind = PART_THING;
    } else if (sl_slice_eq(name, sl_str("topic")) || sl_slice_eq(name, sl_str("topic()"))) {
        part.kind = PART_TOPIC;
    } else if (is_level(name, &part.level)) {
        part.kind = PART_LEVEL;
    } else if (is_path(name)) {
        part.kind = PART_FIELD;
    } else {
        rule_error_at(src->error, src->all, at,
                      "expected gateway, thing_name, topic, topic(N) or a field of the output, "
                      "found '%.*s'",
                      SL_FMT(name));
        return false;
    }
    return add_part(t, part);
}

/* The offset of the next "${" from here; the length when there is none. */
static size_t find_open(struct sl_slice s, size_t from)
{
    for (size_t i = from; i + 1 < s.len; i++)
        if (s.ptr[i] == '$' && s.ptr[i + 1] == '{')
            return i;
    return s.len;
}

static bool add_parts(struct rule_template *t, const struct source *src, struct sl_slice text)
{
    for (size_t at = 0; at < text.len;) {
        if (t->count + 2 > PARTS_MAX) {
            rule_error_at(src->error, src->all, at, "a topic template has at most 64 parts");
            return false;
        }
        size_t open = find_open(text, at);
        struct sl_slice before = sl_bytes(text.ptr + at, open - at);
        if (before.len > 0 && !add_part(t, (struct part){ .kind = PART_TEXT, .text = before }))
            return false;
        if (open == text.len)
            return true;
        const uint8_t *close = memchr(text.ptr + open, '}', text.len - open);
        if (!close) {
            rule_error_at(src->error, src->all, open, "expected '}' after this '${'");
            return false;
        }
        size_t end = (size_t)(close - text.ptr);
        if (!add_name(t, src, sl_bytes(text.ptr + open + 2, end - open - 2)))
            return false;
        at = end + 1;
    }
    return true;
}

/* Text that could never be part of a topic. */
static bool check_text(const struct source *src)
{
    struct sl_slice s = src->all;
    if (s.len == 0 || s.len > TEMPLATE_MAX || !sl_utf8_valid(s)) {
        rule_error_at(src->error, s, 0, "a topic template is 1 to 4096 bytes of UTF-8");
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '+' || s.ptr[i] == '#') {
            rule_error_at(src->error, s, i, "'%c' cannot be in a topic that is published to",
                          s.ptr[i]);
            return false;
        }
    }
    return true;
}

enum sl_code rule_template_compile(struct sl_slice text, struct rule_template **ret,
                                   struct rule_error *ret_error)
{
    struct rule_template *t = calloc(1, sizeof *t);
    if (ret_error)
        *ret_error = (struct rule_error){ .line = 1, .column = 1, .text = "out of memory" };
    if (!t)
        return SL_NOMEM;
    t->end = &t->first;
    struct source src = { arena_copy(&t->arena, text), ret_error };
    bool ok = !t->arena.failed && check_text(&src) && add_parts(t, &src, src.all);
    if (!ok || t->arena.failed) {
        enum sl_code rc = t->arena.failed ? SL_NOMEM : SL_INVALID;
        rule_template_free(t);
        return rc;
    }
    if (ret_error)
        *ret_error = (struct rule_error){ 0 };
    *ret = t;
    return SL_OK;
}

void rule_template_free(struct rule_template *t)
{
    if (!t)
        return;
    arena_free(&t->arena);
    free(t);
}

/* ---- rendering ---- */

static struct value output_of(const struct rule_output *output)
{
    struct scratch *s = output ? output->object : NULL;
    struct value root;
    if (!s)
        return VALUE_UNDEFINED;
    if (!s->whole_payload)
        return s->output;
    return payload_root(s->in, &root) ? root : VALUE_UNDEFINED;
}

static struct value find_field(const struct rule_output *output, struct sl_slice path)
{
    struct value v = output_of(output);
    while (path.len > 0 && v.type == V_OBJECT) {
        const uint8_t *dot = memchr(path.ptr, '.', path.len);
        size_t n = dot ? (size_t)(dot - path.ptr) : path.len;
        v = value_member(v, sl_bytes(path.ptr, n));
        path = dot ? sl_bytes(dot + 1, path.len - n - 1) : (struct sl_slice){ 0 };
    }
    return path.len == 0 ? v : VALUE_UNDEFINED;
}

static enum sl_code put_field(const struct part *part, const struct rule_output *output,
                              struct sl_buf *out, struct sl_err *err)
{
    struct value v = find_field(output, part->text);
    char text[NUMBER_TEXT_MAX];
    switch (v.type) {
    case V_STRING: sl_buf_put_slice(out, v.s); return SL_OK;
    case V_BOOL: sl_buf_put_str(out, v.b ? "true" : "false"); return SL_OK;
    case V_INT:
    case V_DECIMAL: sl_buf_put(out, text, number_format(v, text)); return SL_OK;
    case V_UNDEFINED:
    case V_NULL:
    case V_ARRAY:
    case V_OBJECT: break;
    }
    return sl_fail(err, SL_INVALID, "topic template: ${%.*s} is %s", SL_FMT(part->text),
                   value_type_name(v.type));
}

static enum sl_code put_level(const struct part *part, const struct rule_input *in,
                              struct sl_buf *out, struct sl_err *err)
{
    struct sl_levels it = sl_levels(rule_topic(in->topic));
    struct sl_slice level;
    for (int64_t n = 0; sl_levels_next(&it, &level);) {
        if (++n == part->level) {
            sl_buf_put_slice(out, level);
            return SL_OK;
        }
    }
    return sl_fail(err, SL_INVALID, "topic template: ${%.*s}: the topic has fewer levels",
                   SL_FMT(part->text));
}

static enum sl_code put_part(const struct part *part, const struct rule_names *names,
                             const struct rule_input *in, const struct rule_output *output,
                             struct sl_buf *out, struct sl_err *err)
{
    switch (part->kind) {
    case PART_TEXT: sl_buf_put_slice(out, part->text); return SL_OK;
    case PART_GATEWAY: sl_buf_put_slice(out, names->gateway); return SL_OK;
    case PART_THING: sl_buf_put_slice(out, names->thing_name); return SL_OK;
    case PART_TOPIC: sl_buf_put_slice(out, rule_topic(in->topic)); return SL_OK;
    case PART_LEVEL: return put_level(part, in, out, err);
    case PART_FIELD: return put_field(part, output, out, err);
    }
    return SL_OK;
}

enum sl_code rule_template_render(const struct rule_template *t, const struct rule_names *names,
                                  const struct rule_input *in, const struct rule_output *output,
                                  struct sl_buf *out, struct sl_err *err)
{
    size_t start = out->len;
    for (const struct part *p = t->first; p; p = p->next) {
        enum sl_code rc = put_part(p, names, in, output, out, err);
        if (rc != SL_OK) {
            out->len = start;
            return rc;
        }
    }
    if (out->failed)
        return sl_fail(err, SL_NOMEM, "topic template: no memory for the topic");
    struct sl_slice topic = sl_bytes(out->ptr + start, out->len - start);
    if (!sl_topic_valid(topic)) {
        enum sl_code rc =
            sl_fail(err, SL_INVALID, "topic template: '%.*s' is not a valid topic name",
                    (int)(topic.len > 200 ? 200 : topic.len), (const char *)topic.ptr);
        out->len = start;
        return rc;
    }
    assert(t->first); /* no parts make no topic */
    /* A device must not reach the system's topics by what it writes into a field. */
    if (topic.ptr[0] == '$' && t->first->kind == PART_FIELD) {
        out->len = start;
        return sl_fail(err, SL_INVALID, "topic template: the field ${%.*s} begins with '$'",
                       SL_FMT(t->first->text));
    }
    return SL_OK;
}
