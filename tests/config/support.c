/* support.c - files and lines for the configuration's tests. */
#include "support.h"

#include "base/file.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

void support_write(const char *name, struct sl_slice content)
{
    char path[256], parents[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name); /* fits: names are short */
    (void)snprintf(parents, sizeof parents, "%s", path);      /* fits as well */
    *strrchr(parents, '/') = '\0';
    must(sl_make_dirs(parents, 0700, NULL) == SL_OK, parents);
    must(sl_file_replace(path, content, 0600, NULL) == SL_OK, path);
}

const char *support_folder(void)
{
    static const char *const names[] = { "cert.pem", "key.pem", "ca.pem", "users" };
    if (folder[0])
        return folder;
    (void)snprintf(folder, sizeof folder, "/tmp/sluice-config-XXXXXX"); /* fits */
    must(mkdtemp(folder) != NULL, folder);
    for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
        support_write(names[i], sl_str("content\n"));
    support_write("secret", sl_str(SECRET "\n"));
    support_write("open-key.pem", sl_str("content\n"));
    support_write("open-secret", sl_str(SECRET "\n"));
    static const char *const open[] = { "open-key.pem", "open-secret" };
    for (size_t i = 0; i < SL_ARRAY_LEN(open); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, open[i]); /* fits */
        must(chmod(path, 0644) == 0, path);
    }
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where; /* everything goes */
    return remove(path);
}

void support_remove(void)
{
    if (folder[0])
        (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* the tests are over */
    folder[0] = '\0';
}

/* text with the folder's random name as DIR. */
static void put_stable(struct sl_buf *out, const char *text)
{
    size_t n = strlen(folder);
    for (; *text; text++) {
        if (strncmp(text, folder, n) != 0) {
            sl_buf_put_u8(out, (uint8_t)*text);
            continue;
        }
        sl_buf_put_str(out, "DIR");
        text += n - 1;
    }
}

enum sl_code support_parse(struct sl_slice text, struct config **ret, struct sl_buf *out)
{
    struct config *c = NULL;
    struct config_problems problems = { 0 };
    enum sl_code rc = config_parse(text, "f", support_folder(), &c, &problems);
    for (size_t i = 0; i < problems.count; i++) {
        struct sl_buf line = { 0 };
        config_problem_format(&problems.list[i], "f", &line);
        const char *at = sl_buf_cstr(&line), *warning = "warning: ";
        bool is_warning = strncmp(at, warning, strlen(warning)) == 0;
        sl_buf_printf(out, "%s%s", out->len > 0 ? "\n" : "", is_warning ? warning : "");
        put_stable(out, at + (is_warning ? strlen(warning) : 0) + 2); /* behind "f:" */
        sl_buf_free(&line);
    }
    config_problems_free(&problems);
    if (ret)
        *ret = c;
    else
        config_free(c);
    return rc;
}
