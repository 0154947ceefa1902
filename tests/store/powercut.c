/* powercut.c - see powercut.h. */
#include "powercut.h"

#include "testing.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 512, PATH_SIZE = 512 };

/* A write (size > 0) or a truncation to `at`, not synced yet. */
struct change {
    int64_t at;
    size_t size;
    uint8_t *data;
};

/* A file as the disk has it for certain, and what came since. Known by its inode: the store renames
 * files under us. */
struct disk_file {
    struct disk_file *next;
    ino_t inode;
    char path[PATH_SIZE];
    uint8_t *bytes;
    size_t size, room;
    struct change *change;
    size_t change_count, change_room;
    bool named; /* its folder entry is synced */
};

struct powercut {
    sqlite3_vfs vfs;
    sqlite3_vfs *base;
    struct disk_file *files;
    uint64_t random, left; /* changes until the power fails; 0: never */
    unsigned faults_per_mille;
    bool off;
    struct powercut_counts counts;
};

struct open_file {
    sqlite3_file file;
    struct powercut *owner;
    struct disk_file *disk; /* NULL: temporary, nothing survives anyway */
    sqlite3_file *real;     /* lies behind this struct */
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static uint64_t next_random(struct powercut *p)
{
    return testing_random(&p->random);
}

static bool chance(struct powercut *p, unsigned per_mille)
{
    return next_random(p) % 1000 < per_mille;
}

/* ---- what the disk has ---- */

static void resize(struct disk_file *f, size_t size)
{
    if (size > f->room) {
        f->room = size * 2;
        f->bytes = must(realloc(f->bytes, f->room));
    }
    if (size > f->size)
        memset(f->bytes + f->size, 0, size - f->size);
    f->size = size;
}

static void put_piece(struct disk_file *f, int64_t at, const uint8_t *data, size_t size)
{
    if ((size_t)at + size > f->size)
        resize(f, (size_t)at + size);
    memcpy(f->bytes + at, data, size);
}

static void forget_changes(struct disk_file *f)
{
    while (f->change_count > 0)
        free(f->change[--f->change_count].data);
}

static void note(struct disk_file *f, int64_t at, const void *data, size_t size)
{
    if (!f)
        return;
    if (f->change_count == f->change_room) {
        f->change_room = f->change_room ? f->change_room * 2 : 64;
        f->change = must(realloc(f->change, f->change_room * sizeof *f->change));
    }
    struct change c = { at, size, NULL };
    if (size > 0) {
        c.data = must(malloc(size));
        memcpy(c.data, data, size);
    }
    f->change[f->change_count++] = c;
}

static void settle(struct disk_file *f)
{
    for (size_t i = 0; i < f->change_count; i++) {
        const struct change *c = &f->change[i];
        if (c->size > 0)
            put_piece(f, c->at, c->data, c->size);
        else
            resize(f, (size_t)c->at);
    }
    forget_changes(f);
    f->named = true;
}

/* Each piece of what was not synced is there or is not; `kept` per mille of them are. */
static void tear(struct powercut *p, struct disk_file *f, unsigned kept)
{
    for (size_t i = 0; i < f->change_count; i++) {
        const struct change *c = &f->change[i];
        if (c->size == 0 && chance(p, kept))
            resize(f, (size_t)c->at);
        for (size_t done = 0, step; done < c->size; done += step) {
            int64_t at = c->at + (int64_t)done;
            step = PIECE - (size_t)at % PIECE;
            if (step > c->size - done)
                step = c->size - done;
            p->counts.pieces++;
            if (chance(p, kept))
                put_piece(f, at, c->data + done, step);
            else
                p->counts.lost++;
        }
    }
    forget_changes(f);
}

static void drop_file(struct powercut *p, struct disk_file *f)
{
    struct disk_file **at = &p->files;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    forget_changes(f);
    free(f->change);
    free(f->bytes);
    free(f);
}

static void read_whole(struct disk_file *f, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        abort();
    resize(f, (size_t)st.st_size);
    if (pread(fd, f->bytes, f->size, 0) != (ssize_t)f->size)
        abort();
    (void)close(fd);
}

static struct disk_file *file_at(struct powercut *p, const char *path, bool made)
{
    struct stat st;
    if (stat(path, &st) != 0)
        abort();
    struct disk_file *f = p->files;
    while (f && f->inode != st.st_ino)
        f = f->next;
    if (f && made) { /* an inode used again */
        drop_file(p, f);
        f = NULL;
    }
    if (!f) {
        f = must(calloc(1, sizeof *f));
        f->inode = st.st_ino;
        f->named = !made;
        f->next = p->files;
        p->files = f;
        if (st.st_size > 0)
            read_whole(f, path);
    }
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    return f;
}

/* ---- the file's methods ---- */

static struct open_file *of(sqlite3_file *file)
{
    return (struct open_file *)file;
}

enum power { POWER_ON, POWER_FAILS_NOW, POWER_OFF };

/* One change more. */
static enum power one_change(struct powercut *p)
{
    if (p->off)
        return POWER_OFF;
    p->counts.changes++;
    if (p->left == 0 || --p->left > 0)
        return POWER_ON;
    p->off = true;
    return POWER_FAILS_NOW;
}

static bool fails(struct powercut *p)
{
    if (p->faults_per_mille == 0 || !chance(p, p->faults_per_mille))
        return false;
    p->counts.faults++;
    return true;
}

static int do_close(sqlite3_file *file)
{
    return of(file)->real->pMethods->xClose(of(file)->real);
}

static int do_read(sqlite3_file *file, void *buf, int size, sqlite3_int64 at)
{
    if (of(file)->owner->off || fails(of(file)->owner))
        return SQLITE_IOERR_READ;
    return of(file)->real->pMethods->xRead(of(file)->real, buf, size, at);
}

static int do_write(sqlite3_file *file, const void *buf, int size, sqlite3_int64 at)
{
    struct open_file *o = of(file);
    enum power power = one_change(o->owner);
    if (power == POWER_FAILS_NOW)
        note(o->disk, at, buf, (size_t)size); /* it has begun: some of it may be there */
    if (power != POWER_ON)
        return SQLITE_IOERR_WRITE;
    if (fails(o->owner))
        return chance(o->owner, 500) ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    int rc = o->real->pMethods->xWrite(o->real, buf, size, at);
    o->owner->counts.bytes += rc == SQLITE_OK ? (uint64_t)size : 0;
    if (rc == SQLITE_OK)
        note(o->disk, at, buf, (size_t)size);
    return rc;
}

static int do_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct open_file *o = of(file);
    if (one_change(o->owner) != POWER_ON || fails(o->owner))
        return SQLITE_IOERR_TRUNCATE;
    int rc = o->real->pMethods->xTruncate(o->real, size);
    if (rc == SQLITE_OK)
        note(o->disk, size, NULL, 0);
    return rc;
}

static int do_sync(sqlite3_file *file, int flags)
{
    struct open_file *o = of(file);
    (void)flags; /* the real disk need not be waited for */
    if (one_change(o->owner) != POWER_ON || fails(o->owner))
        return SQLITE_IOERR_FSYNC;
    o->owner->counts.syncs++;
    if (o->disk)
        settle(o->disk);
    return SQLITE_OK;
}

static int do_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    if (of(file)->owner->off)
        return SQLITE_IOERR_FSTAT;
    return of(file)->real->pMethods->xFileSize(of(file)->real, ret);
}

static int do_lock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int do_unlock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int do_check_lock(sqlite3_file *file, int *ret)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, ret);
}

static int do_control(sqlite3_file *file, int op, void *arg)
{
    return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int do_sector_size(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int do_characteristics(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

/* Without shared memory: the store's connections lock their database for themselves. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = do_close,
    .xRead = do_read,
    .xWrite = do_write,
    .xTruncate = do_truncate,
    .xSync = do_sync,
    .xFileSize = do_size,
    .xLock = do_lock,
    .xUnlock = do_unlock,
    .xCheckReservedLock = do_check_lock,
    .xFileControl = do_control,
    .xSectorSize = do_sector_size,
    .xDeviceCharacteristics = do_characteristics,
};

/* ---- the VFS ---- */

static int do_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                   int *ret_flags)
{
    struct powercut *p = vfs->pAppData;
    struct open_file *o = of(file);
    memset(o, 0, sizeof *o);
    if (p->off)
        return SQLITE_CANTOPEN;
    o->owner = p;
    o->real = (sqlite3_file *)(o + 1);
    bool made = name && access(name, F_OK) != 0;
    int rc = p->base->xOpen(p->base, name, o->real, flags, ret_flags);
    if (rc != SQLITE_OK) {
        if (o->real->pMethods)
            (void)o->real->pMethods->xClose(o->real); /* its own error matters more */
        return rc;
    }
    o->disk = name ? file_at(p, name, made) : NULL;
    o->file.pMethods = &methods;
    return SQLITE_OK;
}

static int do_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    struct powercut *p = vfs->pAppData;
    if (one_change(p) != POWER_ON || fails(p))
        return SQLITE_IOERR_DELETE;
    struct stat st;
    ino_t inode = stat(name, &st) == 0 ? st.st_ino : 0;
    int rc = p->base->xDelete(p->base, name, sync_folder);
    for (struct disk_file *f = p->files; rc == SQLITE_OK && f; f = f->next) {
        if (f->inode != inode)
            continue;
        drop_file(p, f);
        break;
    }
    return rc;
}

static int do_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    struct powercut *p = vfs->pAppData;
    return p->off ? SQLITE_IOERR_ACCESS : p->base->xAccess(p->base, name, flags, ret);
}

struct powercut *powercut_new(uint64_t seed)
{
    struct powercut *p = must(calloc(1, sizeof *p));
    p->base = must(sqlite3_vfs_find(NULL));
    p->random = testing_seed(seed);
    p->vfs = *p->base; /* what is not replaced does not look at the struct it is called with */
    p->vfs.iVersion = 2;
    p->vfs.szOsFile = (int)sizeof(struct open_file) + p->base->szOsFile;
    p->vfs.zName = "powercut";
    p->vfs.pNext = NULL;
    p->vfs.pAppData = p;
    p->vfs.xOpen = do_open;
    p->vfs.xDelete = do_delete;
    p->vfs.xAccess = do_access;
    if (sqlite3_vfs_register(&p->vfs, 1) != SQLITE_OK)
        abort();
    return p;
}

void powercut_free(struct powercut *p)
{
    (void)sqlite3_vfs_unregister(&p->vfs);
    while (p->files)
        drop_file(p, p->files);
    free(p);
}

void powercut_arm(struct powercut *p, uint64_t n)
{
    p->left = n;
}

bool powercut_happened(const struct powercut *p)
{
    return p->off;
}

void powercut_faults(struct powercut *p, unsigned per_mille)
{
    p->faults_per_mille = per_mille;
}

struct powercut_counts powercut_counts(const struct powercut *p)
{
    return p->counts;
}

static void write_whole(const struct disk_file *f)
{
    int fd = open(f->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0 || write(fd, f->bytes, f->size) != (ssize_t)f->size || close(fd) != 0)
        abort();
}

/* Where a file is now: it may have been renamed, or be gone. */
static bool find_name(struct disk_file *f)
{
    static const char *const suffixes[] = { "", ".new" };
    char other[PATH_SIZE];
    struct stat st;
    size_t len = strlen(f->path);
    if (len > 4 && strcmp(f->path + len - 4, ".new") == 0)
        f->path[len - 4] = '\0';
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (snprintf(other, sizeof other, "%s%s", f->path, suffixes[i]) >= (int)sizeof other)
            continue;
        if (stat(other, &st) != 0 || st.st_ino != f->inode)
            continue;
        memcpy(f->path, other, sizeof other);
        return true;
    }
    return false;
}

void powercut_restore(struct powercut *p)
{
    static const unsigned kept[] = { 0, 100, 500, 900, 1000 };
    unsigned share = kept[next_random(p) % 5];
    for (struct disk_file *f = p->files, *next; f; f = next) {
        next = f->next;
        tear(p, f, share);
        if (!find_name(f)) {
            drop_file(p, f);
        } else if (!f->named && chance(p, 500)) {
            (void)unlink(f->path); /* it is there: find_name saw it */
            drop_file(p, f);
        } else {
            write_whole(f);
            f->named = true;
        }
    }
    p->counts.cuts++;
    p->off = false;
    p->left = 0;
}
