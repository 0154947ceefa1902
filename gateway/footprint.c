/* footprint.c - gives back the memory that only starting needed. */
#include "footprint.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Code that is patched in memory must stay there. No library of today's is. */
static bool has_patched_code(const struct dl_phdr_info *o)
{
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        if (o->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *d = (const ElfW(Dyn) *)(o->dlpi_addr + o->dlpi_phdr[i].p_vaddr);
        for (; d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
                return true;
    }
    return false;
}

/* Segments that are never written to are the file's own pages: unmapped here, they are mapped again
 * when they are next touched. What relocation has written lies in writable segments (also where it
 * is read-only by now), and is left alone. */
static int drop_file_pages(struct dl_phdr_info *o, size_t size, void *page_size)
{
    (void)size;
    size_t page = *(const size_t *)page_size;
    if (strncmp(o->dlpi_name, "linux-", 6) == 0 || has_patched_code(o)) /* the kernel's own */
        return 0;
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &o->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || h->p_flags & PF_W)
            continue;
        uintptr_t begin = (o->dlpi_addr + h->p_vaddr) & ~(uintptr_t)(page - 1);
        uintptr_t end = o->dlpi_addr + h->p_vaddr + h->p_filesz;
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* else they stay */
    }
    return 0;
}

void footprint_trim(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)malloc_trim(0); /* nothing to give back is fine */
    (void)dl_iterate_phdr(drop_file_pages, &page);
}

enum { TLS_SESSIONS = 256 };

void footprint_tick(struct footprint *f, uint64_t tls_ended)
{
    bool quiet = tls_ended == f->seen;
    f->seen = tls_ended;
    if (!quiet || tls_ended - f->trimmed < TLS_SESSIONS)
        return;
    f->trimmed = tls_ended;
    (void)malloc_trim(0);
}
