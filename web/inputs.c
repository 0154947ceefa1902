/* inputs.c - see inputs.h. The only file here that knows cJSON. */
#include "inputs.h"

#include "base/crypto.h"
#include "base/text.h"
#include "base/topic.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool same_text(struct sl_slice a, struct sl_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

static struct sl_slice skip(struct sl_slice s, size_t n)
{
    return sl_bytes(s.ptr + n, s.len - n);
}

bool input_same_origin(struct sl_slice origin, struct sl_slice host)
{
    static const char *const schemes[] = { "http://", "https://" };
    if (host.len == 0)
        return false;
    for (size_t i = 0; i < SL_ARRAY_LEN(schemes); i++) {
        struct sl_slice scheme = sl_str(schemes[i]);
        if (origin.len > scheme.len && same_text(sl_bytes(origin.ptr, scheme.len), scheme))
            return same_text(skip(origin, scheme.len), host);
    }
    return false;
}

bool input_etag_match(struct sl_slice header, struct sl_slice etag)
{
    if (sl_slice_eq(header, sl_str("*")))
        return true;
    if (etag.len == 0)
        return false;
    /* The tag begins and ends with quotes, so it cannot be found inside another one. */
    for (size_t at = 0; at + etag.len <= header.len; at++)
        if (memcmp(header.ptr + at, etag.ptr, etag.len) == 0)
            return true;
    return false;
}

static bool split_user(struct sl_slice plain, struct sl_slice *ret_user,
                       struct sl_slice *ret_password)
{
    const uint8_t *colon = plain.len > 0 ? memchr(plain.ptr, ':', plain.len) : NULL;
    if (!colon)
        return false;
    struct sl_slice user = sl_bytes(plain.ptr, (size_t)(colon - plain.ptr));
    struct sl_slice password = skip(plain, user.len + 1);
    if (user.len == 0 || user.len > INPUT_USER_MAX || password.len > INPUT_PASSWORD_MAX ||
        !sl_utf8_valid(user) || memchr(password.ptr, 0, password.len))
        return false;
    *ret_user = user;
    *ret_password = password;
    return true;
}

bool input_basic(struct sl_slice header, struct sl_buf *plain, struct sl_slice *ret_user,
                 struct sl_slice *ret_password)
{
    struct sl_slice scheme = sl_str("basic ");
    if (header.len <= scheme.len || header.len > INPUT_BASIC_MAX ||
        !same_text(sl_bytes(header.ptr, scheme.len), scheme))
        return false;
    struct sl_slice text = skip(header, scheme.len);
    while (text.len > 0 && text.ptr[0] == ' ')
        text = skip(text, 1);
    if (crypto_base64_take(plain, text) && !plain->failed &&
        split_user(sl_buf_slice(plain), ret_user, ret_password))
        return true;
    if (plain->len > 0)
        crypto_wipe(plain->ptr, plain->len);
    sl_buf_reset(plain);
    return false;
}

void input_watch_release(struct input_watch *w)
{
    for (unsigned i = 0; i < w->count; i++)
        free(w->filters[i]);
    *w = (struct input_watch){ 0 };
}

static const char *take_filter(const cJSON *item, struct input_watch *w)
{
    if (!cJSON_IsString(item))
        return "every filter is a string";
    struct sl_slice filter = sl_str(item->valuestring);
    if (w->count == INPUT_FILTERS_MAX)
        return "at most 16 filters can be watched";
    if (filter.len > INPUT_FILTER_MAX)
        return "a filter has at most 1024 bytes";
    if (!sl_filter_valid(filter))
        return "not an MQTT topic filter: '+' stands alone in its level, '#' alone in the last";
    for (unsigned i = 0; i < w->count; i++)
        if (sl_slice_eq(sl_str(w->filters[i]), filter))
            return NULL; /* said twice, watched once */
    char *copy = sl_slice_dup(filter);
    if (!copy)
        return "out of memory";
    w->filters[w->count++] = copy;
    return NULL;
}

static const char *take_watch(const cJSON *json, struct input_watch *w)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "watch");
    if (!cJSON_IsArray(list))
        return "expected {\"watch\":[\"topic/filter\", ...]}";
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *why = take_filter(item, w);
        if (why)
            return why;
    }
    return NULL;
}

bool input_watch_parse(struct sl_slice text, struct input_watch *ret, const char **why)
{
    struct input_watch w = { 0 };
    cJSON *json = text.len <= INPUT_COMMAND_MAX
                      ? cJSON_ParseWithLength((const char *)text.ptr, text.len)
                      : NULL;
    const char *wrong = json ? take_watch(json, &w) : "not JSON";
    cJSON_Delete(json);
    if (wrong) {
        input_watch_release(&w);
        *why = wrong;
        return false;
    }
    *ret = w;
    return true;
}

/* A payload with a NUL is no text for us: sl_utf8_valid() refuses U+0000, and JSON readers stumble.
 */
void input_message_json(struct sl_buf *out, struct sl_slice topic, struct sl_slice payload,
                        int64_t wall_ms, bool retain)
{
    sl_buf_put_str(out, "{\"type\":\"message\",\"topic\":");
    sl_buf_put_json(out, topic);
    if (sl_utf8_valid(payload)) {
        sl_buf_put_str(out, ",\"payload\":");
        sl_buf_put_json(out, payload);
    } else {
        sl_buf_put_str(out, ",\"payload_base64\":\"");
        crypto_base64_put(out, payload);
        sl_buf_put_str(out, "\"");
    }
    sl_buf_printf(out, ",\"ts\":%" PRId64 "%s}", wall_ms, retain ? ",\"retain\":true" : "");
}
