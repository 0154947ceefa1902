/* test_numbers.c - the file of reserved numbers, and what a card may make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "numbers.h"

#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ALERT     OUTBOX_ALERT
#define NORMAL    OUTBOX_NORMAL
#define TELEMETRY OUTBOX_TELEMETRY

static char folder[] = "/tmp/sluice-numbers-XXXXXX";
static char db[64], file[80];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(db, sizeof db, "%s/queue.db", folder); /* fits */
    (void)snprintf(file, sizeof file, "%s-numbers", db);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(folder);
}

static const struct reading {
    const char *name, *content;
    uint64_t want[OUTBOX_LANES];
} readings[] = {
    { "as written",
      "alert 7\nnormal 8\ntelemetry 9\n",
      { [ALERT] = 7, [NORMAL] = 8, [TELEMETRY] = 9 } },
    { "one lane is enough", "normal 117672957247488\n", { [NORMAL] = UINT64_C(117672957247488) } },
    { "the highest that can be", "normal 4503599627370496\n", { [NORMAL] = UINT64_C(1) << 52 } },
    { "one above that", "normal 4503599627370497\n", { 0 } },
    { "the highest of 64 bits", "normal 18446744073709551615\n", { 0 } },
    { "more than 64 bits", "normal 99999999999999999999999\n", { 0 } },
    { "negative", "normal -5\n", { 0 } },
    { "no number", "normal\n", { 0 } },
    { "nothing behind the blank", "normal \n", { 0 } },
    { "two blanks", "normal  5\n", { 0 } },
    { "no such lane", "urgent 5\n", { 0 } },
    { "a line that is cut off", "alert 7\nnormal 1176729", { [ALERT] = 7 } },
    { "noise around a line", "\x01\xff\xfe\n\nnormal 5\n 12 normal\n", { [NORMAL] = 5 } },
    { "empty", "", { 0 } },
};

static void reads(void **state)
{
    const struct reading *c = *state;
    uint64_t got[OUTBOX_LANES] = { 99, 99, 99 };
    struct sl_err err;
    assert_int_equal(sl_file_replace(file, sl_str(c->content), 0600, &err), SL_OK);
    numbers_read(db, got);
    assert_memory_equal(got, c->want, sizeof got);
}

static void nothing_is_there(void **state)
{
    (void)state;
    uint64_t got[OUTBOX_LANES] = { 99, 99, 99 }, none[OUTBOX_LANES] = { 0 };
    (void)unlink(file);
    numbers_read(db, got);
    assert_memory_equal(got, none, sizeof got);
}

static void too_large_to_be_ours(void **state)
{
    (void)state;
    char content[2000] = "normal 5\n";
    uint64_t got[OUTBOX_LANES] = { 99, 99, 99 }, none[OUTBOX_LANES] = { 0 };
    struct sl_err err;
    memset(content + 9, '\n', sizeof content - 9);
    assert_int_equal(sl_file_replace(file, sl_bytes(content, sizeof content), 0600, &err), SL_OK);
    numbers_read(db, got);
    assert_memory_equal(got, none, sizeof got);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const uint64_t want[OUTBOX_LANES] = { 1, UINT64_C(117672957247488), 3 };
    uint64_t got[OUTBOX_LANES] = { 0 };
    numbers_write(db, want);
    numbers_read(db, got);
    assert_memory_equal(got, want, sizeof got);
}

/* A disk that cannot be written to is not told to anybody here, and leaves the old file whole. */
static void a_failed_write_leaves_the_old(void **state)
{
    (void)state;
    const uint64_t old[OUTBOX_LANES] = { 1, 2, 3 }, young[OUTBOX_LANES] = { 4, 5, 6 };
    uint64_t got[OUTBOX_LANES] = { 0 };
    char in_the_way[96], path[112];
    numbers_write(db, old);
    (void)snprintf(in_the_way, sizeof in_the_way, "%s.new",
                   file); /* where the neighbour would be made */
    assert_int_equal(sl_make_dirs(in_the_way, 0700, NULL), SL_OK);
    (void)snprintf(path, sizeof path, "%s/full", in_the_way);
    assert_int_equal(sl_make_dirs(path, 0700, NULL), SL_OK);
    numbers_write(db, young);
    numbers_read(db, got);
    assert_memory_equal(got, old, sizeof got);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(in_the_way), 0);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(readings) + 4] = { 0 };
    size_t n = 0;
    n += ROWS_OF(tests + n, readings, reads);
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(nothing_is_there),
        cmocka_unit_test(too_large_to_be_ours),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_failed_write_leaves_the_old),
    };
    memcpy(tests + n, plain, sizeof plain);
    return cmocka_run_group_tests_name("numbers", tests, make_folder, remove_folder);
}
