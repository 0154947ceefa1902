/* test_sim_readings.c - simulated readings: the same seed gives the same ones; and what is made of
 * a CSV file, also of one that is none. */
#include "base/file.h"
#include "sim_readings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

static void readings(uint64_t seed, uint32_t sensor, struct sl_buf *out)
{
    struct sim_room r;
    sim_room_init(&r, seed, sensor);
    for (int i = 0; i < 500; i++)
        sim_room_next(&r, 60, out);
}

static void the_same_seed_gives_the_same(void **state)
{
    (void)state;
    struct sl_buf a = { 0 }, b = { 0 }, other = { 0 }, next = { 0 };
    readings(7, 3, &a);
    readings(7, 3, &b);
    readings(8, 3, &other);
    readings(7, 4, &next);
    assert_true(sl_slice_eq(sl_buf_slice(&a), sl_buf_slice(&b)));
    assert_false(sl_slice_eq(sl_buf_slice(&a), sl_buf_slice(&other)));
    assert_false(sl_slice_eq(sl_buf_slice(&a), sl_buf_slice(&next)));
    sl_buf_free(&a);
    sl_buf_free(&b);
    sl_buf_free(&other);
    sl_buf_free(&next);
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    assert_true(cJSON_IsNumber(v));
    return v->valuedouble;
}

/* From a second to a day between two readings: they stay what a room can have. */
static void readings_stay_plausible(void **state)
{
    (void)state;
    static const double steps[] = { 0.001, 1, 60, 3600, 86400 };
    for (uint32_t i = 0; i < SL_ARRAY_LEN(steps) * 200; i++) {
        struct sim_room r;
        struct sl_buf out = { 0 };
        sim_room_init(&r, i, i);
        sim_room_next(&r, steps[i % SL_ARRAY_LEN(steps)], &out);
        sl_buf_reset(&out);
        sim_room_next(&r, steps[i % SL_ARRAY_LEN(steps)], &out);
        cJSON *json = cJSON_Parse(sl_buf_cstr(&out));
        assert_in_range((long)number(json, "temperature"), 10, 35);
        assert_in_range((long)number(json, "humidity"), 10, 80);
        assert_in_range((long)number(json, "co2"), 400, 2000);
        assert_in_range((long)number(json, "occupancy"), 0, 1);
        cJSON_Delete(json);
        sl_buf_free(&out);
    }
}

/* ---- CSV ---- */

#define BYTES(s)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

static const struct csv_case {
    const char *name;
    struct sl_slice text;
    const char *want; /* the rows, each behind a space; NULL: refused, and then ... */
    const char *error;
} csv_cases[] = {
    { "numbers and strings", BYTES("t,room\n21.5,a\n-3e2,b\n"),
      " {\"t\":21.5,\"room\":\"a\"} {\"t\":-3e2,\"room\":\"b\"}", NULL },
    { "no end of line at the end", BYTES("t\n1\n2"), " {\"t\":1} {\"t\":2}", NULL },
    { "Windows' line ends", BYTES("t,u\r\n1,x\r\n\r\n2,y\r\n"),
      " {\"t\":1,\"u\":\"x\"} {\"t\":2,\"u\":\"y\"}", NULL },
    { "a byte order mark", BYTES("\xef\xbb\xbft\n1\n"), " {\"t\":1}", NULL },
    { "quotes", BYTES("\"a, b\",c\n\"1, 2\",\"x \"\"y\"\" z\"\n"),
      " {\"a, b\":\"1, 2\",\"c\":\"x \\\"y\\\" z\"}", NULL },
    { "a line end within quotes", BYTES("a,b\n\"x\ny\",1\n"), " {\"a\":\"x\\u000ay\",\"b\":1}",
      NULL },
    { "nothing within quotes", BYTES("a,b\n\"\",\"\"\"\"\n"), " {\"a\":\"\",\"b\":\"\\\"\"}",
      NULL },
    { "a quoted number is a number", BYTES("a\n\"1\"\n"), " {\"a\":1}", NULL },
    { "text behind a quote is passed over", BYTES("a,b\n\"x\"y,2\n"), " {\"a\":\"x\",\"b\":2}",
      NULL },
    { "a quote inside a field is itself", BYTES("a\n5\"\n\n x\"\"y\n"),
      " {\"a\":\"5\\\"\"} {\"a\":\" x\\\"\\\"y\"}", NULL },
    { "what JSON takes for no number", BYTES("a,b,c,d,e,f,g,h\n01,.5,1.,0x1,NaN,+1,1e,-\n"),
      " {\"a\":\"01\",\"b\":\".5\",\"c\":\"1.\",\"d\":\"0x1\",\"e\":\"NaN\",\"f\":\"+1\","
      "\"g\":\"1e\",\"h\":\"-\"}",
      NULL },
    { "a short row and a long one", BYTES("a,b\n1\n1,2,3\n"), " {\"a\":1} {\"a\":1,\"b\":2}",
      NULL },
    { "empty fields", BYTES("a,b\n,\n"), " {\"a\":\"\",\"b\":\"\"}", NULL },
    { "bytes that are no text", BYTES("a\n\xff\x00\x07\n"),
      " {\"a\":\"\xef\xbf\xbd\\u0000\\u0007\"}", NULL },
    { "an empty file", BYTES(""), NULL, "no rows" },
    { "blank lines only", BYTES("\n\r\n\n"), NULL, "no rows" },
    { "a header alone", BYTES("a,b\n"), NULL, "no rows" },
    { "a quote that never ends", BYTES("a,b\n1,2\n\"3,4\n5,6\n"), NULL, "record 3" },
    { "a quote that never ends, at the very end", BYTES("a\n\""), NULL, "record 2" },
    { "and one that is doubled instead", BYTES("a\n\"x\"\""), NULL, "record 2" },
};

static char path[] = "/tmp/sluice-csv-XXXXXX";

static void put_file(struct sl_slice text)
{
    struct sl_err err = { 0 };
    if (sl_file_replace(path, text, 0600, &err) != SL_OK)
        fail_msg("%s", err.text);
}

static void reads_csv(void **state)
{
    const struct csv_case *c = *state;
    struct sim_csv csv = { 0 };
    struct sl_err err = { 0 };
    struct sl_buf out = { 0 };
    put_file(c->text);
    enum sl_code rc = sim_csv_load(&csv, path, &err);
    assert_int_equal(rc == SL_OK, c->want != NULL);
    for (size_t i = 0; i < csv.row_count; i++) {
        sl_buf_put_u8(&out, ' ');
        sim_csv_row(&csv, i, &out);
    }
    if (c->want) {
        assert_string_equal(sl_buf_cstr(&out), c->want);
        sl_buf_reset(&out);
        sim_csv_row(&csv, csv.row_count, &out); /* it begins again */
        assert_int_equal(strncmp(c->want + 1, sl_buf_cstr(&out), out.len), 0);
    } else {
        assert_non_null(strstr(err.text, c->error));
        assert_non_null(strstr(err.text, path));
    }
    sl_buf_free(&out);
    sim_csv_free(&csv);
}

static void bounds_of_a_csv(void **state)
{
    (void)state;
    struct sim_csv csv = { 0 };
    struct sl_err err = { 0 };
    struct sl_buf text = { 0 };
    for (int i = 0; i < SIM_CSV_COLUMNS_MAX; i++)
        sl_buf_printf(&text, "%sc%d", i ? "," : "", i);
    size_t header = text.len;
    sl_buf_put_str(&text, "\n1\n");
    put_file(sl_buf_slice(&text));
    assert_int_equal(sim_csv_load(&csv, path, &err), SL_OK);
    assert_int_equal(csv.column_count, SIM_CSV_COLUMNS_MAX);
    sim_csv_free(&csv);
    text.len = header;
    sl_buf_put_str(&text, ",one more\n1\n");
    put_file(sl_buf_slice(&text));
    assert_int_equal(sim_csv_load(&csv, path, &err), SL_LIMIT);
    assert_non_null(strstr(err.text, "64 columns"));
    sl_buf_free(&text);
    assert_int_equal(sim_csv_load(&csv, "/nonexistent/x.csv", &err), SL_NOTFOUND);
    assert_null(csv.rows);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    struct CMUnitTest tests[SL_ARRAY_LEN(csv_cases) + 3] = {
        cmocka_unit_test(the_same_seed_gives_the_same),
        cmocka_unit_test(readings_stay_plausible),
        cmocka_unit_test(bounds_of_a_csv),
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(csv_cases); i++)
        tests[3 + i] = (struct CMUnitTest){ .name = csv_cases[i].name,
                                            .test_func = reads_csv,
                                            .initial_state = (void *)&csv_cases[i] };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
