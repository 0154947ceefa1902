/* core.h - the outbox as a state machine: calls, time and finished disk jobs go in; disk jobs,
 * callbacks and the moment of the next tick come out.
 *
 * No loop, no threads, no files: outbox.c gives it a timer and a disk, tests give it fakes. After
 * any call (and after a job came back) the host asks core_next_wake() and sees to it that
 * core_tick() is called then. Callbacks come only from core_tick() and from jobs that come back, so
 * nobody who calls in is called back from inside. */
#ifndef STORE_CORE_H
#define STORE_CORE_H

#include "disk.h"
#include "store/outbox.h"

struct core;

/* options->loop and options->path are not looked at; the clock must outlive the core. NULL when
 * memory is out. */
SL_NODISCARD struct core *core_new(const struct outbox_options *options, struct disk *disk);
/* Drops everything without a word: for after core_is_closed(), and for tests that crash. No job may
 * be out. */
void core_free(struct core *c);

/* What outbox.h says of outbox_put() and so on. */
SL_NODISCARD bool core_put(struct core *c, enum outbox_lane lane, struct sl_msg *m,
                           outbox_safe_fn *on_safe, void *ctx);
void core_on_ready(struct core *c, void (*ready)(void *ctx), void *ctx);
void core_set_link(struct core *c, bool up);
struct outbox_item *core_take(struct core *c);
void core_tell_time(struct core *c); /* outbox_tell_time() */
void core_ack(struct core *c, struct outbox_item *item);
void core_dead(struct core *c, struct outbox_item *item, const char *reason);
void core_return_all(struct core *c);
bool core_wants_slower(const struct core *c); /* outbox_pressed() */
void core_get_stats(const struct core *c, struct outbox_stats *ret);
SL_NODISCARD enum sl_code core_list(struct core *c, const struct outbox_list_request *request);
SL_NODISCARD enum sl_code core_purge(struct core *c, const struct outbox_purge_request *request);

/* A job came back: its done(ctx, job) leads here. */
int64_t core_next_wake(const struct core *c); /* monotonic ms; 0: at once; INT64_MAX: never */
void core_tick(struct core *c);

/* Start to spill everything and close the disk; core_is_closed() once that is done or failed. */
void core_close(struct core *c);
bool core_is_closed(const struct core *c);
/* Jobs that the disk still holds. */
unsigned core_jobs_out(const struct core *c);

#endif
