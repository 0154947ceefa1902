/* rows.h - a test of cmocka's for each row of a table. */
#ifndef TESTS_ROWS_H
#define TESTS_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A row begins with its name, and is its test's state. The number of rows. */
static inline size_t rows_fill(struct CMUnitTest *to, CMUnitTestFunction test, const void *table,
                               size_t row_size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *row = (const char *)table + i * row_size;
        to[i] = (struct CMUnitTest){ .test_func = test, .initial_state = (void *)(uintptr_t)row };
        memcpy(&to[i].name, row, sizeof to[i].name);
    }
    return count;
}

/* Fills `to`, which has room for all of them. */
#define ROWS_OF(to, table, test)                                                                   \
    rows_fill((to), (test), (table), sizeof(table)[0], sizeof(table) / sizeof(table)[0])

#endif
