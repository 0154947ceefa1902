/* text.c - numbers, durations and sizes as text; JSON strings; edit distance. */
#include "base/text.h"

#include <stdlib.h>

bool sl_u64_parse(struct sl_slice text, uint64_t *ret)
{
    if (text.len == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* "NUMBER UNIT" with NUMBER possibly decimal ("1.5h"); max bounds the product. */
static bool parse_with_unit(struct sl_slice text, const struct unit *units, size_t count,
                            uint64_t max, uint64_t *ret)
{
    char copy[40];
    if (text.len == 0 || text.len >= sizeof copy || text.ptr[0] < '0' || text.ptr[0] > '9')
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    size_t digits = strspn(copy, "0123456789.");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(copy + digits, units[i].name) != 0)
            continue;
        copy[digits] = '\0';
        char *end;
        double v = strtod(copy, &end) * (double)units[i].factor;
        if (*end != '\0' || !(v >= 0) || v > (double)max)
            return false;
        *ret = (uint64_t)(v + 0.5);
        return true;
    }
    return false;
}

bool sl_duration_parse(struct sl_slice text, int64_t *ret_ms)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
    };
    const uint64_t century = UINT64_C(36525) * 86400000;
    uint64_t v;
    if (!parse_with_unit(text, units, SL_ARRAY_LEN(units), century, &v))
        return false;
    *ret_ms = (int64_t)v;
    return true;
}

bool sl_size_parse(struct sl_slice text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1024 },
        { "MiB", 1024 * 1024 },
        { "GiB", UINT64_C(1) << 30 },
        { "TiB", UINT64_C(1) << 40 },
        { "kB", 1000 },
        { "KB", 1000 },
        { "MB", 1000000 },
        { "GB", 1000000000 },
        { "TB", UINT64_C(1000000000000) },
    };
    return parse_with_unit(text, units, SL_ARRAY_LEN(units), UINT64_C(1) << 50, ret_bytes);
}

void sl_buf_put_json(struct sl_buf *b, struct sl_slice text)
{
    sl_buf_put_u8(b, '"');
    size_t i = 0;
    while (i < text.len) {
        uint8_t c = text.ptr[i];
        if (c == '"' || c == '\\') {
            uint8_t two[2] = { '\\', c };
            sl_buf_put(b, two, 2);
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            sl_buf_printf(b, "\\u%04x", c);
            i++;
        } else if (c < 0x80) {
            sl_buf_put_u8(b, c);
            i++;
        } else {
            size_t n = 2;
            while (n <= 4 && i + n <= text.len && !sl_utf8_valid(sl_bytes(text.ptr + i, n)))
                n++;
            if (n > 4 || i + n > text.len) {
                sl_buf_put_str(b, "\xEF\xBF\xBD");
                i++;
            } else {
                sl_buf_put(b, text.ptr + i, n);
                i += n;
            }
        }
    }
    sl_buf_put_u8(b, '"');
}

unsigned sl_edit_distance(struct sl_slice a, struct sl_slice b)
{
    enum { MAX = 31 };
    size_t n = a.len < MAX ? a.len : MAX, m = b.len < MAX ? b.len : MAX;
    unsigned row[MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}
