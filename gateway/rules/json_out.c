/* json_out.c - the JSON writer. */
#include "json_out.h"

#include "number.h"

#include "base/text.h"

/* Bytes that stand for themselves inside a JSON string. */
static size_t plain_run(struct sl_slice s, size_t from)
{
    size_t i = from;
    while (i < s.len && s.ptr[i] >= 0x20 && s.ptr[i] != '"' && s.ptr[i] != '\\')
        i++;
    return i - from;
}

static void escape(struct sl_buf *out, uint8_t c)
{
    static const char letters[] = "btn_fr"; /* 0x08 to 0x0d */
    if (c == '"' || c == '\\') {
        sl_buf_put(out, (const uint8_t[]){ '\\', c }, 2);
    } else if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        sl_buf_put(out, (const uint8_t[]){ '\\', (uint8_t)letters[c - 0x08] }, 2);
    } else {
        sl_buf_printf(out, "\\u%04x", c);
    }
}

void json_write_string(struct sl_buf *out, struct sl_slice s)
{
    sl_buf_put_u8(out, '"');
    for (size_t i = 0; i < s.len && !out->failed;) {
        size_t n = plain_run(s, i);
        sl_buf_put(out, s.ptr + i, n);
        i += n;
        if (i < s.len)
            escape(out, s.ptr[i++]);
    }
    sl_buf_put_u8(out, '"');
}

static void write_collection(struct sl_buf *out, struct value v)
{
    bool object = v.type == V_OBJECT, first = true;
    struct value_iter it = value_iterate(v);
    struct sl_slice key;
    struct value member;
    sl_buf_put_u8(out, object ? '{' : '[');
    while (!out->failed && value_next(&it, &key, &member)) {
        if (!first)
            sl_buf_put_u8(out, ',');
        first = false;
        if (object) {
            json_write_string(out, key);
            sl_buf_put_u8(out, ':');
        }
        json_write(out, member);
    }
    sl_buf_put_u8(out, object ? '}' : ']');
}

void json_write(struct sl_buf *out, struct value v)
{
    switch (v.type) {
    case V_UNDEFINED: break;
    case V_NULL: sl_buf_put(out, "null", 4); break;
    case V_BOOL: sl_buf_put_str(out, v.b ? "true" : "false"); break;
    case V_INT:
    case V_DECIMAL: {
        char text[NUMBER_TEXT_MAX];
        sl_buf_put(out, text, number_format(v, text));
        break;
    }
    case V_STRING: json_write_string(out, v.s); break;
    case V_ARRAY:
    case V_OBJECT: write_collection(out, v); break;
    }
}
