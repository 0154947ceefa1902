/* lws_loop.c - making and ending a libwebsockets context. Owns nothing: the caller keeps it. */
#include "lws_loop.h"

#include "base/log.h"
#include "base/slice.h"

#include <dlfcn.h>
#include <signal.h>

static struct sl_slice trimmed(const char *line)
{
    struct sl_slice text = sl_str(line);
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' '))
        text.len--;
    return text;
}

static void log_opening(int level, const char *line)
{
    (void)level;
    LOG_WARN("web", "libwebsockets: %.*s", SL_FMT(trimmed(line)));
}

/* While it runs, nearly all that lws has to say is about what peers do: they would fill the log. */
static void log_running(int level, const char *line)
{
    (void)level;
    LOG_DEBUG("web", "libwebsockets: %.*s", SL_FMT(trimmed(line)));
}

void lws_loop_quiet(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, log_running);
}

void lws_loop_loud(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, log_opening);
}

/* lws unloads its libuv side with the context, while libuv may be about to call back into it: it
 * stays in memory. Not loaded under this name (built in, say): nothing to pin. */
static void pin_libuv_plugin(void)
{
    (void)dlopen("libwebsockets-evlib_uv.so", RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* lws puts a SIGPIPE handler of its own in place. The process keeps what it had, but for the
 * default, by which a browser that goes away would end us. */
static void keep_sigpipe(const struct sigaction *before)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, before->sa_handler == SIG_DFL ? &ignore : before, NULL);
}

enum sl_code lws_loop_create(struct lws_context **ret, struct lws_context_creation_info *info,
                             uv_loop_t *loop, struct sl_err *err)
{
    void *loops[] = { loop };
    struct sigaction sigpipe;
    info->options |= LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                     LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    info->foreign_loops = loops; /* uid and gid stay 0: the process keeps its user */
    lws_loop_loud();
    (void)sigaction(SIGPIPE, NULL, &sigpipe); /* cannot fail: the signal exists */
    *ret = lws_create_context(info);
    keep_sigpipe(&sigpipe);
    if (!*ret)
        return sl_fail(
            err, SL_UNSUPPORTED,
            "libwebsockets did not start on libuv; is libwebsockets-evlib-uv installed?");
    pin_libuv_plugin();
    return SL_OK;
}

static void see_closing(uv_handle_t *handle, void *ctx)
{
    if (uv_is_closing(handle))
        *(bool *)ctx = true;
}

/* The second destroy frees everything at once, also what libuv still points into; so it waits for a
 * turn of the loop in which nothing is closing (lws' last two handles start to close when its
 * others have). */
void lws_loop_finish(struct lws_context *lws, uv_loop_t *loop)
{
    bool closing = false;
    uv_walk(loop, see_closing, &closing);
    if (!closing)
        lws_context_destroy(lws);
}
