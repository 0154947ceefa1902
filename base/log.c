/* log.c - the process-wide log. The one place with mutable globals: a log that must be handed
 * around is one that error paths do without. */
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
    enum sl_log_level level;
    enum sl_log_format format;
    sl_log_tap_fn *tap;
    void *tap_ctx;
    int64_t second;               /* the second that `lines` counts in, monotonic */
    unsigned lines[SL_DEBUG + 1]; /* of each level: a flood of what peers do hides no error */
    unsigned suppressed;
} the_log = { .level = SL_INFO };

/* A value is cut behind this many bytes. A line then has room for the longest text and ten values
 * even when every byte must be escaped into six: no peer can make its own line disappear. */
enum { TEXT_MAX = 2048, VALUE_MAX = 1000, LINE_MAX_BYTES = 6 * (TEXT_MAX + 10 * VALUE_MAX) + 1024 };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void sl_log_configure(enum sl_log_level level, enum sl_log_format format)
{
    the_log.level = level;
    the_log.format = format;
}

void sl_log_set_tap(sl_log_tap_fn *fn, void *ctx)
{
    the_log.tap = fn;
    the_log.tap_ctx = ctx;
}

bool sl_log_enabled(enum sl_log_level level)
{
    return level <= the_log.level;
}

bool sl_log_level_parse(struct sl_slice name, enum sl_log_level *ret)
{
    for (size_t i = 0; i < SL_ARRAY_LEN(level_names); i++) {
        if (sl_slice_eq(name, sl_str(level_names[i]))) {
            *ret = (enum sl_log_level)i;
            return true;
        }
    }
    return false;
}

static void put_time(struct sl_buf *b)
{
    int64_t now = sl_wall_ms(&sl_clock_system);
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    char text[32];
    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) > 0)
        sl_buf_printf(b, "%s.%03dZ", text, (int)(now % 1000));
}

static void put_value(struct sl_buf *b, const struct sl_kv *kv)
{
    if (kv->kind == SL_KV_IS_INT)
        sl_buf_printf(b, "%lld", (long long)kv->number);
    else
        sl_buf_put_json(
            b, sl_bytes(kv->text.ptr, kv->text.len < VALUE_MAX ? kv->text.len : VALUE_MAX));
}

static void put_text_line(struct sl_buf *b, enum sl_log_level level, const char *unit,
                          const struct sl_kv *kv, const char *text)
{
    put_time(b);
    sl_buf_printf(b, " %-5s %s: ", level_names[level], unit);
    for (const char *at = text; *at; at++) /* a peer's text must not forge lines or escape codes */
        sl_buf_put_u8(b, (uint8_t)*at < 0x20 || *at == 0x7f ? '?' : (uint8_t)*at);
    for (; kv && kv->key; kv++) {
        sl_buf_printf(b, " %s=", kv->key);
        put_value(b, kv);
    }
    sl_buf_put_u8(b, '\n');
}

static void put_json_line(struct sl_buf *b, enum sl_log_level level, const char *unit,
                          const struct sl_kv *kv, const char *text)
{
    sl_buf_put_str(b, "{\"time\":\"");
    put_time(b);
    sl_buf_printf(b, "\",\"level\":\"%s\",\"unit\":\"%s\",\"message\":", level_names[level], unit);
    sl_buf_put_json(b, sl_str(text));
    for (; kv && kv->key; kv++) {
        sl_buf_printf(b, ",\"%s\":", kv->key);
        put_value(b, kv);
    }
    sl_buf_put_str(b, "}\n");
}

static void emit(enum sl_log_level level, const char *unit, const struct sl_kv *kv,
                 const char *text)
{
    struct sl_buf line = { .max = LINE_MAX_BYTES };
    if (the_log.format == SL_LOG_JSON)
        put_json_line(&line, level, unit, kv, text);
    else
        put_text_line(&line, level, unit, kv, text);
    if (!line.failed && write(STDERR_FILENO, line.ptr, line.len) < 0) {
        /* nowhere left to say so */
    }
    sl_buf_free(&line);
}

/* True when this second's lines of a level are used up. Says afterwards how many were left out. */
static bool over_rate(enum sl_log_level level)
{
    int64_t second = sl_mono_ms(&sl_clock_system) / 1000;
    if (second != the_log.second) {
        unsigned left_out = the_log.suppressed;
        the_log.second = second;
        memset(the_log.lines, 0, sizeof the_log.lines);
        the_log.suppressed = 0;
        if (left_out > 0) {
            char text[64];
            (void)snprintf(text, sizeof text, "%u lines left out in one second", left_out);
            emit(SL_WARN, "log", NULL, text);
        }
    }
    if (the_log.lines[level] < SL_LOG_BURST) {
        the_log.lines[level]++;
        return false;
    }
    the_log.suppressed++;
    return true;
}

void sl_log(enum sl_log_level level, const char *unit, const struct sl_kv *kv, const char *fmt, ...)
{
    if (!sl_log_enabled(level) || over_rate(level))
        return;
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long */
    va_end(args);
    emit(level, unit, kv, text);
    if (the_log.tap)
        the_log.tap(the_log.tap_ctx, level, unit, text);
}
