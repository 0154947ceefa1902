/* fake_lines.c - see fake_lines.h. An eventfd a line stands for the descriptor to poll. */
#include "fake_lines.h"

#include "lines.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_MAX 16 /* as in the kernel; what does not fit is lost */

struct port {
    unsigned line;
    int fd; /* -1 for outputs */
    int queue[QUEUE_MAX];
    size_t queued;
};

static struct {
    bool plugged, held[FAKE_LINES];
    int level[FAKE_LINES];
    struct port *port[FAKE_LINES];
    unsigned open, opens, reads;
} chip;

void fake_reset(void)
{
    assert(chip.open == 0);
    memset(&chip, 0, sizeof chip);
    chip.plugged = true;
}

void fake_plug(bool plugged)
{
    chip.plugged = plugged;
}

void fake_hold(unsigned line, bool held)
{
    chip.held[line] = held;
}

void fake_wake(unsigned line)
{
    uint64_t one = 1;
    ssize_t n = write(chip.port[line]->fd, &one, sizeof one);
    assert(n == sizeof one);
}

void fake_level(unsigned line, int level)
{
    chip.level[line] = level;
}

void fake_edge(unsigned line, int level)
{
    struct port *p = chip.port[line];
    chip.level[line] = level;
    if (p->queued < QUEUE_MAX)
        p->queue[p->queued++] = level;
    fake_wake(line);
}

int fake_get(unsigned line)
{
    return chip.level[line];
}

unsigned fake_open_ports(void)
{
    return chip.open;
}

unsigned fake_opens(void)
{
    return chip.opens;
}

unsigned fake_reads(void)
{
    return chip.reads;
}

enum sl_code port_open(struct port **ret, const struct port_options *o, struct sl_err *err)
{
    if (!chip.plugged)
        return sl_fail(err, SL_IO, "%s: no such chip", o->chip);
    if (chip.held[o->line])
        return sl_fail(err, SL_BUSY, "line %u of %s is held", o->line, o->chip);
    struct port *p = calloc(1, sizeof *p);
    assert(p && !chip.port[o->line]);
    p->line = o->line;
    p->fd = o->output ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (o->output)
        chip.level[o->line] = o->level;
    chip.port[o->line] = p;
    chip.open++;
    chip.opens++;
    *ret = p;
    return SL_OK;
}

void port_close(struct port *p)
{
    if (!p)
        return;
    chip.port[p->line] = NULL;
    chip.open--;
    sl_close_fd(&p->fd);
    free(p);
}

int port_fd(const struct port *p)
{
    return p->fd;
}

enum sl_code port_edges(struct port *p, int *levels, size_t max, size_t *ret_n, struct sl_err *err)
{
    uint64_t count;
    chip.reads++;
    if (!chip.plugged)
        return sl_fail(err, SL_IO, "reading edges: unplugged");
    size_t n = p->queued < max ? p->queued : max;
    memcpy(levels, p->queue, n * sizeof levels[0]);
    p->queued -= n;
    memmove(p->queue, p->queue + n, p->queued * sizeof levels[0]);
    if (p->queued == 0 && read(p->fd, &count, sizeof count) < 0)
        assert(n == 0);
    *ret_n = n;
    return SL_OK;
}

enum sl_code port_get(struct port *p, int *ret_level, struct sl_err *err)
{
    if (!chip.plugged)
        return sl_fail(err, SL_IO, "reading the level: unplugged");
    *ret_level = chip.level[p->line];
    return SL_OK;
}

enum sl_code port_set(struct port *p, int level, struct sl_err *err)
{
    if (!chip.plugged)
        return sl_fail(err, SL_IO, "setting the level: unplugged");
    chip.level[p->line] = level;
    return SL_OK;
}

const char *port_library_version(void)
{
    return "fake";
}
