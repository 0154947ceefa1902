/* problems.c - the list of problems: adding with a bound, sorting, printing. Owns its texts. */
#include "config/config.h"

#include "base/slice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 512

/* The list is at its bound: its last entry says so, and is an error as soon as one was left out. */
static void report_too_many(struct config_problems *p, bool warning)
{
    struct config_problem *last = &p->list[p->count - 1];
    bool first = strncmp(last->text, "more than ", 10) != 0;
    if (first) {
        char text[64];
        (void)snprintf(text, sizeof text, "more than %d problems; the rest is left out",
                       CONFIG_PROBLEMS_MAX - 1); /* fits */
        char *copy = strdup(text), *path = strdup("(file)");
        if (!copy || !path) {
            free(copy);
            free(path);
            return; /* the entry that stands there is still a true one */
        }
        free(last->text);
        free(last->path);
        last->text = copy;
        last->path = path;
        last->place = (struct config_place){ 0, 0 };
    }
    last->warning = last->warning && warning;
}

void config_report(struct config_problems *p, bool warning, struct config_place place,
                   const char *path, const char *fmt, ...)
{
    if (!warning)
        p->errors++; /* also when memory is out below: it must not look clean */
    if (p->count == CONFIG_PROBLEMS_MAX) {
        report_too_many(p, warning);
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long: still a sentence */
    va_end(args);
    if (!p->list)
        p->list = calloc(CONFIG_PROBLEMS_MAX, sizeof *p->list);
    char *copy = strdup(text), *path_copy = strdup(path ? path : "");
    if (!p->list || !copy || !path_copy) {
        free(copy);
        free(path_copy);
        return;
    }
    p->list[p->count++] = (struct config_problem){ warning, place, path_copy, copy };
}

static bool comes_after(const struct config_problem *a, const struct config_problem *b)
{
    if (a->place.line != b->place.line)
        return a->place.line > b->place.line;
    return a->place.column > b->place.column;
}

/* Insertion: short lists, and problems in one place keep their order. */
void config_problems_sort(struct config_problems *p)
{
    size_t n = p->count;
    if (n == CONFIG_PROBLEMS_MAX && p->list[n - 1].place.line == 0)
        n--; /* "the rest is left out" stays last */
    for (size_t i = 1; i < n; i++) {
        struct config_problem moved = p->list[i];
        size_t to = i;
        for (; to > 0 && comes_after(&p->list[to - 1], &moved); to--)
            p->list[to] = p->list[to - 1];
        p->list[to] = moved;
    }
}

/* One line, and nothing in it that a terminal would obey: text may quote the file. */
static void put_line(struct sl_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        sl_buf_put_u8(out, c < ' ' || c == 0x7f ? '?' : c);
    }
}

void config_problem_format(const struct config_problem *p, const char *file, struct sl_buf *out)
{
    sl_buf_put_str(out, p->warning ? "warning: " : "");
    if (p->place.line == 0 && !p->path[0]) { /* of the file itself: nothing in it was read */
        put_line(out, file);
        sl_buf_put_str(out, ": ");
        put_line(out, p->text);
        return;
    }
    /* What has no place of its own is about the file as a whole: its beginning. */
    unsigned line = p->place.line ? p->place.line : 1;
    unsigned column = p->place.column ? p->place.column : 1;
    put_line(out, file);
    sl_buf_printf(out, ":%u:%u: ", line, column);
    put_line(out, p->path[0] ? p->path : "(file)");
    sl_buf_put_str(out, ": ");
    put_line(out, p->text);
}

void config_problems_free(struct config_problems *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->list[i].path);
        free(p->list[i].text);
    }
    free(p->list);
    *p = (struct config_problems){ 0 };
}
