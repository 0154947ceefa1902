/* rule_line.c - messages as lines of JSON. cJSON says whether a line is JSON; the payload's bytes
 * are then taken out of the line itself, so that they reach the rule exactly as they were written.
 */
#include "rule_line.h"

#include "base/text.h"
#include "base/topic.h"

#include <cjson/cJSON.h>
#include <math.h>

void rule_line_release(struct rule_line *l)
{
    sl_buf_free(&l->text);
    *l = (struct rule_line){ 0 };
}

/* ---- the bytes of a member ---- */

static size_t skip_space(struct sl_slice s, size_t i)
{
    while (i < s.len && s.ptr[i] <= ' ')
        i++;
    return i;
}

/* From an opening quote to behind the closing one. */
static size_t skip_string(struct sl_slice s, size_t i)
{
    for (i++; i < s.len && s.ptr[i] != '"'; i++)
        if (s.ptr[i] == '\\')
            i++;
    return i < s.len ? i + 1 : s.len;
}

/* Behind the value at i; s is known to be JSON. */
static size_t skip_value(struct sl_slice s, size_t i)
{
    size_t depth = 0;
    while (i < s.len) {
        uint8_t c = s.ptr[i];
        if (c == '"') {
            i = skip_string(s, i);
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
            break;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            i++;
        }
    }
    return i;
}

/* The text of the last member with this name (which needs no escapes), without white space around
 * it. */
static bool find_member(struct sl_slice s, const char *quoted_name, struct sl_slice *ret)
{
    bool found = false;
    size_t i = skip_space(s, skip_space(s, 0) + 1); /* behind the brace */
    while (i < s.len && s.ptr[i] == '"') {
        size_t name_end = skip_string(s, i);
        struct sl_slice name = sl_bytes(s.ptr + i, name_end - i);
        size_t from = skip_space(s, skip_space(s, name_end) + 1); /* behind the colon */
        size_t end = skip_value(s, from < s.len ? from : s.len), next = end;
        if (sl_slice_eq(name, sl_str(quoted_name))) {
            while (end > from && s.ptr[end - 1] <= ' ')
                end--;
            *ret = sl_bytes(s.ptr + from, end - from);
            found = true;
        }
        i = skip_space(s, next + 1); /* behind the comma */
    }
    return found;
}

/* ---- reading ---- */

/* Of members with one name the last counts, as in a payload. */
static const cJSON *get(const cJSON *object, const char *name)
{
    const cJSON *found = NULL;
    for (const cJSON *m = object->child; m; m = m->next)
        if (strcmp(m->string, name) == 0)
            found = m;
    return found;
}

/* Where a string lies in l->text; slices are made at the end, when the buffer stays where it is. */
struct span {
    size_t at, len;
};

static struct span keep(struct rule_line *l, const char *text)
{
    struct span s = { l->text.len, strlen(text) };
    sl_buf_put(&l->text, text, s.len);
    return s;
}

static enum sl_code take_ts(struct rule_line *l, const cJSON *root, struct sl_err *err)
{
    const cJSON *ts = get(root, "ts");
    l->has_ts = ts && !cJSON_IsNull(ts);
    if (!l->has_ts)
        return SL_OK;
    double v = cJSON_IsNumber(ts) ? ts->valuedouble : NAN;
    if (!(fabs(v) <= 9007199254740992.0) || v != trunc(v))
        return sl_fail(err, SL_INVALID, "ts is not a whole number of milliseconds");
    l->ts_ms = (int64_t)v;
    return SL_OK;
}

static enum sl_code take_members(struct rule_line *l, struct sl_slice line, const cJSON *root,
                                 struct sl_err *err)
{
    if (!cJSON_IsObject(root))
        return sl_fail(err, SL_INVALID, "the line is not a JSON object");
    const cJSON *topic = get(root, "topic"), *payload = get(root, "payload"),
                *clientid = get(root, "clientid");
    if (!topic)
        return sl_fail(err, SL_INVALID, "topic is missing");
    if (!cJSON_IsString(topic) || !sl_topic_valid(sl_str(topic->valuestring)))
        return sl_fail(err, SL_INVALID, "topic is not a valid topic name");
    if (!payload)
        return sl_fail(err, SL_INVALID, "payload is missing");
    if (clientid && !cJSON_IsString(clientid) && !cJSON_IsNull(clientid))
        return sl_fail(err, SL_INVALID, "clientid is not a string");
    if (take_ts(l, root, err) != SL_OK)
        return SL_INVALID;
    struct span t = keep(l, topic->valuestring), p = { 0 }, c = { 0 };
    if (cJSON_IsString(payload))
        p = keep(l, payload->valuestring);
    else if (!find_member(line, "\"payload\"", &l->payload))
        return sl_fail(err, SL_INVALID, "payload is written with escapes in its name");
    if (clientid && cJSON_IsString(clientid))
        c = keep(l, clientid->valuestring);
    if (l->text.failed)
        return sl_fail(err, SL_NOMEM, "out of memory");
    l->topic = sl_bytes(l->text.ptr + t.at, t.len);
    l->clientid = sl_bytes(l->text.ptr + c.at, c.len);
    if (cJSON_IsString(payload))
        l->payload = sl_bytes(l->text.ptr + p.at, p.len);
    return SL_OK;
}

enum sl_code rule_line_parse(struct rule_line *l, struct sl_slice line, struct sl_err *err)
{
    sl_buf_reset(&l->text);
    l->topic = l->payload = l->clientid = (struct sl_slice){ 0 };
    l->has_ts = false;
    l->ts_ms = 0;
    if (!sl_utf8_valid(line))
        return sl_fail(err, SL_INVALID, "the line is not valid UTF-8");
    if (line.len >= 6 && memmem(line.ptr, line.len, "\\u0000", 6))
        return sl_fail(err, SL_INVALID, "\\u0000 is not supported here");
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts((const char *)line.ptr, line.len, &end, 0);
    if (!root)
        return sl_fail(err, SL_INVALID, "the line is not JSON");
    enum sl_code rc;
    if (skip_space(line, (size_t)(end - (const char *)line.ptr)) < line.len)
        rc = sl_fail(err, SL_INVALID, "the line has text behind its JSON object");
    else
        rc = take_members(l, line, root, err);
    cJSON_Delete(root);
    return rc;
}

/* ---- writing ---- */

/* JSON may have line breaks between its parts; in a line they become spaces. */
static void put_on_one_line(struct sl_buf *out, struct sl_slice json)
{
    for (size_t i = 0; i < json.len && !out->failed; i++)
        sl_buf_put_u8(out, json.ptr[i] < ' ' ? ' ' : json.ptr[i]);
}

void rule_line_write(struct sl_buf *out, struct sl_slice topic, struct sl_slice payload,
                     bool payload_is_json, int64_t ts_ms)
{
    sl_buf_put_str(out, "{\"topic\":");
    sl_buf_put_json(out, topic);
    sl_buf_put_str(out, ",\"payload\":");
    if (payload_is_json)
        put_on_one_line(out, payload);
    else
        sl_buf_put_json(out, payload);
    sl_buf_printf(out, ",\"ts\":%lld}\n", (long long)ts_ms);
}
