/* load_proc.c - what is measured: time, CPU, memory, latencies. Reads /proc only. */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
        die(EXIT_BROKEN, "no monotonic clock");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t thread_cpu_ns(uint64_t pid, const char *tid)
{
    char file[400];
    unsigned long long ns = 0;
    snprintf(file, sizeof file, "/proc/%llu/task/%s/schedstat", (unsigned long long)pid, tid);
    FILE *f = fopen(file, "r");
    if (!f)
        return 0; /* a thread that has just ended */
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

uint64_t cpu_ns(uint64_t pid)
{
    char path[64];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%llu/task", (unsigned long long)pid);
    DIR *dir = opendir(path);
    if (!dir)
        die(EXIT_BROKEN, "%s: the broker is gone", path);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            total += thread_cpu_ns(pid, e->d_name);
    closedir(dir);
    return total;
}

double own_cpu_s(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        die(EXIT_BROKEN, "getrusage failed");
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void memory_of(uint64_t pid, long *ret_rss, long *ret_private)
{
    char path[64], line[256];
    long kb;
    *ret_rss = *ret_private = 0;
    snprintf(path, sizeof path, "/proc/%llu/smaps_rollup", (unsigned long long)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        die(EXIT_BROKEN, "%s: the broker is gone", path);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "Rss: %ld", &kb) == 1)
            *ret_rss = kb;
        if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kb) == 1)
            *ret_private += kb;
    }
    fclose(f);
}

/* When the room is used up every second one is forgotten: what is left is still a fair sample. */
void latency_add(struct latencies *l, uint64_t ns)
{
    if (l->count == l->cap && l->cap > 0) {
        for (size_t i = 0; i < l->count / 2; i++)
            l->us[i] = l->us[i * 2];
        l->count /= 2;
    }
    if (l->count < l->cap)
        l->us[l->count++] = (uint32_t)(ns / 1000);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void latency_sort(struct latencies *l)
{
    if (l->count > 0)
        qsort(l->us, l->count, sizeof *l->us, compare);
}

double latency_at(const struct latencies *l, double share)
{
    return l->count ? l->us[(size_t)(share * (double)(l->count - 1))] : 0;
}
