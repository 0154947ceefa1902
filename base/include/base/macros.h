/* macros.h - compiler attributes and scope-bound release. No state. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stddef.h>

#define SL_NODISCARD                     __attribute__((warn_unused_result))
#define SL_PRINTF(f, a)                  __attribute__((format(printf, f, a)))
#define SL_CLEANUP(fn)                   __attribute__((cleanup(fn)))
#define SL_LIKELY(x)                     __builtin_expect(!!(x), 1)
#define SL_UNLIKELY(x)                   __builtin_expect(!!(x), 0)
#define SL_ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define SL_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Close *fd unless it is -1, for SL_CLEANUP. */
void sl_close_fd(int *fd);

/* Hand a descriptor over: returns *fd and leaves -1, so that SL_CLEANUP closes nothing. */
static inline int sl_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* free(*p), for SL_CLEANUP on pointers of any type. */
void sl_free_ptr(void *pp);

#endif
