/* log.h - leveled, structured log on standard error, as text or as JSON lines.
 *
 * One process-wide log, configured once by main(). Only whoever handles an event logs it; libraries
 * return errors. Every line is one write(2). A flood is cut to SL_LOG_BURST lines a second of each
 * level and the number left out is said, so that no peer can fill a disk, nor hide an error. Loop
 * thread only. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum sl_log_level { SL_ERROR, SL_WARN, SL_INFO, SL_DEBUG };
enum sl_log_format { SL_LOG_TEXT, SL_LOG_JSON };

#define SL_LOG_BURST 100

/* A field of a log line: key and one value. End the array with SL_KV_END. Never put a secret here.
 */
struct sl_kv {
    const char *key; /* NULL ends the array */
    enum { SL_KV_IS_STR, SL_KV_IS_SLICE, SL_KV_IS_INT } kind;
    struct sl_slice text;
    int64_t number;
};
#define SL_KV_STR(k, v)   ((struct sl_kv){ .key = (k), .kind = SL_KV_IS_STR, .text = sl_str(v) })
#define SL_KV_SLICE(k, v) ((struct sl_kv){ .key = (k), .kind = SL_KV_IS_SLICE, .text = (v) })
#define SL_KV_INT(k, v)   ((struct sl_kv){ .key = (k), .kind = SL_KV_IS_INT, .number = (int64_t)(v) })
#define SL_KV_END         ((struct sl_kv){ .key = NULL })

/* Lines below this level are left out; before the first call it is info, as text. */
void sl_log_configure(enum sl_log_level level, enum sl_log_format format);

/* Also hand every line that is logged to fn (for the status page's events); NULL ends it. */
typedef void sl_log_tap_fn(void *ctx, enum sl_log_level level, const char *unit, const char *text);
void sl_log_set_tap(sl_log_tap_fn *fn, void *ctx);

/* unit is the module's name, "bridge" say. kv may be NULL. */
void sl_log(enum sl_log_level level, const char *unit, const struct sl_kv *kv, const char *fmt, ...)
    SL_PRINTF(4, 5);
bool sl_log_enabled(enum sl_log_level level);
SL_NODISCARD bool sl_log_level_parse(struct sl_slice name, enum sl_log_level *ret);

#define LOG_ERROR(unit, ...) sl_log(SL_ERROR, unit, NULL, __VA_ARGS__)
#define LOG_WARN(unit, ...)  sl_log(SL_WARN, unit, NULL, __VA_ARGS__)
#define LOG_INFO(unit, ...)  sl_log(SL_INFO, unit, NULL, __VA_ARGS__)
#define LOG_DEBUG(unit, ...)                                                                       \
    do {                                                                                           \
        if (sl_log_enabled(SL_DEBUG))                                                              \
            sl_log(SL_DEBUG, unit, NULL, __VA_ARGS__);                                             \
    } while (0)

#endif
