/* config.c - the stages of reading a configuration, one after the other. */
#include "finish.h"
#include "schema.h"
#include "validate.h"

#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void config_free(struct config *c)
{
    if (!c)
        return;
    config_release(&config_root_table, c);
    free(c->file);
    free(c);
}

/* Of a path as given: its folder, absolute. NULL without memory or a working folder. */
static char *absolute_folder(const char *folder)
{
    char cwd[PATH_MAX];
    if (folder[0] == '/')
        return strdup(folder);
    if (!getcwd(cwd, sizeof cwd))
        return NULL;
    struct sl_buf path = { 0 };
    sl_buf_put_str(&path, cwd);
    if (folder[0] && strcmp(folder, ".") != 0)
        sl_buf_printf(&path, "/%s", folder);
    char *copy = path.failed ? NULL : sl_slice_dup(sl_buf_slice(&path));
    sl_buf_free(&path);
    return copy;
}

static void run_stages(struct config_reader *r, struct sl_slice text)
{
    if (!jsonc_parse(&r->doc, text, r->problems)) {
        r->nomem = true;
        return;
    }
    config_fill(r);
    if (!r->nomem)
        config_finish(r);
    if (!r->nomem)
        config_validate(r);
}

enum sl_code config_parse(struct sl_slice text, const char *file, const char *base_dir,
                          struct config **ret, struct config_problems *problems)
{
    SL_CLEANUP(sl_free_ptr) char *folder = absolute_folder(base_dir);
    struct config_reader r = { .problems = problems, .base_dir = folder };
    r.config = calloc(1, sizeof *r.config);
    if (r.config)
        r.config->file = strdup(file);
    size_t errors_before = problems->errors;
    r.nomem = !folder || !r.config || !r.config->file;
    if (!r.nomem)
        run_stages(&r, text);
    jsonc_free(&r.doc);
    if (r.nomem) {
        config_free(r.config);
        config_report(problems, false, (struct config_place){ 0, 0 }, "", "out of memory");
        return SL_NOMEM;
    }
    config_problems_sort(problems);
    *ret = r.config;
    return problems->errors > errors_before ? SL_INVALID : SL_OK;
}

/* What whoever named the file can do about it. */
static const char *advice(const char *path, enum sl_code rc)
{
    struct stat st;
    if (rc == SL_NOMEM || rc == SL_LIMIT)
        return NULL;
    if (stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return "there is no such file: name the configuration with -c FILE or in $SLUICE_CONFIG";
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return "is a folder: name the configuration file itself, with -c FILE or in $SLUICE_CONFIG";
    if (access(path, R_OK) != 0 && errno == EACCES)
        return "this user may not read it: give it the right (chmod, chown), or run as one who has";
    return NULL;
}

static void report_unreadable(struct config_problems *problems, const char *path, enum sl_code rc,
                              const char *reason)
{
    const struct config_place none = { 0, 0 };
    const char *what = advice(path, rc);
    size_t n = strlen(path);
    if (strncmp(reason, path, n) == 0 && strncmp(reason + n, ": ", 2) == 0)
        reason += n + 2; /* "PATH: reason": the path is printed anyway */
    if (what)
        config_report(problems, false, none, "", "%s", what);
    else
        config_report(problems, false, none, "", "cannot be read: %s", reason);
}

static bool is_blank(struct sl_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n", text.ptr[i])) /* of a NUL it finds the end, which the parser shows */
            return false;
    return true;
}

static enum sl_code parse_file(const char *path, struct sl_slice text, struct config **ret,
                               struct config_problems *problems)
{
    if (is_blank(text)) {
        config_report(problems, false, (struct config_place){ 1, 1 }, "",
                      "the file is empty: a configuration is at least {}, which sets nothing");
        return SL_INVALID;
    }
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    SL_CLEANUP(sl_free_ptr) char *folder = sl_slice_dup(sl_bytes(path, n));
    return folder ? config_parse(text, path, folder, ret, problems) : SL_NOMEM;
}

enum sl_code config_load(const char *path, struct config **ret, struct config_problems *problems)
{
    struct sl_buf text = { 0 };
    struct sl_err err = { 0 };
    enum sl_code rc = sl_file_read(path, JSONC_TEXT_MAX, &text, &err);
    if (rc == SL_OK) {
        rc = parse_file(path, sl_buf_slice(&text), ret, problems);
    } else {
        report_unreadable(problems, path, rc, err.text);
        rc = rc == SL_NOTFOUND || rc == SL_NOMEM ? rc : SL_IO;
    }
    sl_buf_free(&text);
    return rc;
}

static const char builtin_text[] =
    "{ \"listeners\": [ { \"name\": \"local\", \"protocol\": \"mqtt\","
    "                     \"bind\": \"127.0.0.1\", \"port\": 1883 } ],"
    "  \"access\": { \"anonymous\": true },"
    "  \"web\": { \"bind\": \"127.0.0.1\", \"port\": 8080, \"anonymous\": \"read\" } }";

/* Where a run without a configuration keeps its data; NULL without memory. */
static char *builtin_data_dir(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct sl_buf path = { 0 };
    if (geteuid() == 0)
        sl_buf_put_str(&path, "/var/lib/sluice");
    else if (state && state[0] == '/') /* a relative one is to be ignored, says its standard */
        sl_buf_printf(&path, "%s/sluice", state);
    else if (home && home[0] == '/')
        sl_buf_printf(&path, "%s/.local/state/sluice", home);
    else
        sl_buf_put_str(&path, "/var/lib/sluice");
    char *copy = path.failed ? NULL : sl_slice_dup(sl_buf_slice(&path));
    sl_buf_free(&path);
    return copy;
}

enum sl_code config_builtin(struct config **ret)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_parse(sl_str(builtin_text), "built-in", "/", &c, &problems);
    config_problems_free(&problems);
    if (rc != SL_OK) {
        config_free(c);
        return rc;
    }
    char *data_dir = builtin_data_dir();
    if (!data_dir) {
        config_free(c);
        return SL_NOMEM;
    }
    free(c->gateway.data_dir);
    c->gateway.data_dir = data_dir;
    *ret = c;
    return SL_OK;
}
