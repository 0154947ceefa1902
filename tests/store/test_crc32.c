/* test_crc32.c - the checksum: known values, and every length and split against the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crc32.h"

static uint32_t by_bits(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n * 8; i++) {
        uint32_t bit = (crc ^ (uint32_t)(p[i / 8] >> (i % 8))) & 1;
        crc = crc >> 1 ^ (bit ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void known_values(void **state)
{
    (void)state;
    assert_int_equal(crc32_add(0, "", 0), 0);
    assert_int_equal(crc32_add(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(crc32_add(0, "\0\0\0\0\0\0\0\0", 8), 0x6522df69);
}

static void every_length_and_split(void **state)
{
    (void)state;
    uint8_t bytes[80];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i * 37 + i);
    for (size_t n = 0; n < sizeof bytes - 8; n++)
        for (size_t from = 0; from < 8; from++) {
            const uint8_t *p = bytes + from;
            assert_int_equal(crc32_add(0, p, n), by_bits(p, n));
            size_t half = n / 3;
            assert_int_equal(crc32_add(crc32_add(0, p, half), p + half, n - half), by_bits(p, n));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_length_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
