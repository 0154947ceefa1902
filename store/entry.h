/* entry.h - a waiting message in memory, and the lists it stands in. No I/O. */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include "disk.h"

enum entry_where {
    ENTRY_MEMORY,  /* not on disk */
    ENTRY_WRITING, /* in the commit that is under way: its message must stay until that is back */
    ENTRY_DISK,    /* committed */
};

struct entry {
    struct outbox_item item; /* lent to the sender; item.number is the identity it shows */
    struct entry *prev, *next;
    struct entry *call_next; /* in the queue of callbacks */
    outbox_safe_fn *on_safe; /* NULL once it was called or queued, or when nobody asked */
    void *ctx;
    uint64_t number;     /* the row's; differs from item.number only as core_open.c tells */
    int64_t accepted_ms; /* monotonic, when it was put */
    uint32_t bytes;      /* as counted against max_bytes */
    uint32_t footprint;  /* as counted against the memory bound */
    enum sl_code result; /* for on_safe */
    enum entry_where where;
    bool taken;     /* with the sender */
    bool gone;      /* settled while ENTRY_WRITING: deleted by the next commit */
    bool maybe_row; /* a commit with it failed: the row may be on disk all the same */
    bool unsure;    /* accepted, in this boot, before the time was known */
    bool queued;    /* in the queue of callbacks */
    bool released;  /* free it after its callback */
};

/* A dead letter on its way to the disk. */
struct letter {
    struct entry entry;
    char reason[DISK_REASON_MAX];
};

struct entry_list {
    struct entry *first, *last;
    size_t count;
};

static inline struct entry *entry_of(struct outbox_item *item)
{
    return SL_CONTAINER_OF(item, struct entry, item);
}

static inline void entry_list_push(struct entry_list *l, struct entry *e)
{
    e->prev = l->last;
    e->next = NULL;
    if (l->last)
        l->last->next = e;
    else
        l->first = e;
    l->last = e;
    l->count++;
}

static inline void entry_list_push_front(struct entry_list *l, struct entry *e)
{
    e->prev = NULL;
    e->next = l->first;
    if (l->first)
        l->first->prev = e;
    else
        l->last = e;
    l->first = e;
    l->count++;
}

static inline void entry_list_remove(struct entry_list *l, struct entry *e)
{
    if (e->prev)
        e->prev->next = e->next;
    else
        l->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        l->last = e->prev;
    e->prev = e->next = NULL;
    l->count--;
}

#endif
