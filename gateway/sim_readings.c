/* sim_readings.c - simulated rooms, and CSV rows as JSON. */
#include "sim_readings.h"

#include "json_line.h"

#include "base/file.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>

/* splitmix64: small, seedable with any number, good enough for noise. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in -1..1. */
static double noise(struct sim_room *r)
{
    return (double)(next_random(&r->random) >> 11) / 4503599627370496.0 - 1.0;
}

void sim_room_init(struct sim_room *r, uint64_t seed, uint32_t sensor)
{
    *r = (struct sim_room){ .random = seed * 1000003 + sensor };
    r->usual_temperature = 21 + 2 * noise(r);
    r->usual_humidity = 40 + 8 * noise(r);
    r->temperature = r->usual_temperature + noise(r);
    r->humidity = r->usual_humidity + 2 * noise(r);
    r->occupied = noise(r) > 0.7; /* some people were there before */
    r->co2 = r->occupied ? 950 + 100 * noise(r) : 450 + 50 * noise(r);
}

/* Moves value towards usual with a time constant of tau seconds, and shakes it. */
static double drift(struct sim_room *r, double value, double usual, double tau, double seconds,
                    double shake)
{
    double share = 1 - exp(-seconds / tau);
    return value + (usual - value) * share + shake * noise(r) * sqrt(seconds > 60 ? 60 : seconds);
}

void sim_room_next(struct sim_room *r, double seconds, struct sl_buf *out)
{
    double change = r->occupied ? seconds / 1800 : seconds / 3600;
    if ((noise(r) + 1) / 2 < change)
        r->occupied = !r->occupied;
    r->temperature = drift(r, r->temperature, r->usual_temperature + (r->occupied ? 1.5 : 0), 1800,
                           seconds, 0.02);
    r->humidity =
        drift(r, r->humidity, r->usual_humidity + (r->occupied ? 4 : 0), 2400, seconds, 0.05);
    r->co2 = drift(r, r->co2, r->occupied ? 1100 : 430, 900, seconds, 1.5);
    r->light = r->occupied ? 420 + 20 * noise(r) : 0;
    if (r->co2 < 400)
        r->co2 = 400;
    sl_buf_printf(
        out,
        "{\"temperature\":%.2f,\"humidity\":%.2f,\"light\":%.0f,\"co2\":%.0f,\"occupancy\":%d}",
        r->temperature, r->humidity, r->light, r->co2, r->occupied);
}

/* ---- CSV, as RFC 4180 has it ---- */

enum field_end { END_COMMA, END_RECORD, END_TEXT };

struct field {
    struct sl_slice raw; /* as written, with its quotes */
    bool open;           /* the closing quote is missing */
    enum field_end end;
};

/* Takes what ends a field off *in. Text between a closing quote and the comma is passed over. */
static enum field_end take_end(struct sl_slice *in)
{
    size_t n = 0;
    while (n < in->len && in->ptr[n] != ',' && in->ptr[n] != '\n')
        n++;
    enum field_end end = n == in->len ? END_TEXT : in->ptr[n] == '\n' ? END_RECORD : END_COMMA;
    n += end != END_TEXT;
    *in = sl_bytes(in->ptr + n, in->len - n);
    return end;
}

static struct field take_quoted(struct sl_slice *in)
{
    struct field f = { .raw = *in };
    size_t n = 1;
    while (n < in->len && (in->ptr[n] != '"' || (n + 1 < in->len && in->ptr[n + 1] == '"')))
        n += in->ptr[n] == '"' ? 2 : 1;
    f.open = n >= in->len;
    f.raw.len = f.open ? in->len : n + 1;
    *in = sl_bytes(in->ptr + f.raw.len, in->len - f.raw.len);
    f.end = take_end(in);
    return f;
}

static struct field take_field(struct sl_slice *in)
{
    if (in->len > 0 && in->ptr[0] == '"')
        return take_quoted(in);
    struct field f = { .raw = *in };
    f.end = take_end(in);
    f.raw.len = (size_t)(in->ptr - f.raw.ptr) - (f.end != END_TEXT);
    if (f.end != END_COMMA && f.raw.len > 0 && f.raw.ptr[f.raw.len - 1] == '\r')
        f.raw.len--;
    return f;
}

/* False when a quote in it never ends. */
static bool take_record(struct sl_slice *rest, struct sl_slice *ret)
{
    struct field f;
    *ret = *rest;
    do {
        f = take_field(rest);
    } while (f.end == END_COMMA && !f.open);
    ret->len = (size_t)(rest->ptr - ret->ptr);
    return !f.open;
}

static bool is_blank(struct sl_slice record)
{
    for (size_t i = 0; i < record.len; i++)
        if (record.ptr[i] != '\r' && record.ptr[i] != '\n')
            return false;
    return true;
}

static enum sl_code add_row(struct sim_csv *c, struct sl_slice record, size_t *cap,
                            struct sl_err *err)
{
    if (c->row_count == *cap) {
        size_t more = *cap ? *cap * 2 : 1024;
        struct sl_slice *larger = realloc(c->rows, more * sizeof *larger);
        if (!larger)
            return sl_fail(err, SL_NOMEM, "out of memory");
        c->rows = larger;
        *cap = more;
    }
    c->rows[c->row_count++] = record;
    return SL_OK;
}

static enum sl_code take_header(struct sim_csv *c, struct sl_slice header, struct sl_err *err)
{
    struct field f;
    do {
        if (c->column_count == SIM_CSV_COLUMNS_MAX)
            return sl_fail(err, SL_LIMIT, "more than %d columns", SIM_CSV_COLUMNS_MAX);
        f = take_field(&header);
        c->columns[c->column_count++] = f.raw;
    } while (f.end == END_COMMA);
    return SL_OK;
}

static enum sl_code take_rows(struct sim_csv *c, struct sl_slice rest, struct sl_err *err)
{
    struct sl_slice record;
    size_t cap = 0, number = 1;
    enum sl_code rc = SL_OK;
    if (sl_slice_starts(rest, sl_str("\xef\xbb\xbf"))) /* a byte order mark */
        rest = sl_bytes(rest.ptr + 3, rest.len - 3);
    for (; rc == SL_OK && rest.len > 0; number++) {
        if (!take_record(&rest, &record))
            return sl_fail(err, SL_INVALID, "record %zu: a quote that never ends", number);
        if (is_blank(record))
            continue;
        rc = c->column_count == 0 ? take_header(c, record, err) : add_row(c, record, &cap, err);
    }
    if (rc == SL_OK && c->row_count == 0)
        return sl_fail(err, SL_INVALID, "no rows below the header line");
    return rc;
}

enum sl_code sim_csv_load(struct sim_csv *ret, const char *path, struct sl_err *err)
{
    struct sim_csv c = { 0 };
    enum sl_code rc = sl_file_read(path, SIM_CSV_BYTES_MAX, &c.text, err);
    if (rc == SL_OK && (rc = take_rows(&c, sl_buf_slice(&c.text), err)) != SL_OK)
        (void)sl_wrap(err, "%s", path);
    if (rc != SL_OK) {
        sim_csv_free(&c);
        return rc;
    }
    *ret = c;
    return SL_OK;
}

void sim_csv_free(struct sim_csv *c)
{
    sl_buf_free(&c->text);
    free(c->rows);
    *c = (struct sim_csv){ 0 };
}

/* JSON's own grammar: what strtod takes besides (hex, inf, leading dots or zeros) stays a string.
 */
static bool is_json_number(struct sl_slice s)
{
    return s.len > 0 && json_number_len(s) == s.len;
}

static struct sl_slice inside_quotes(struct sl_slice raw)
{
    bool quoted = raw.len >= 2 && raw.ptr[0] == '"';
    return quoted ? sl_bytes(raw.ptr + 1, raw.len - 2) : raw;
}

static void put_text(struct sl_buf *out, struct sl_slice raw)
{
    struct sl_slice text = inside_quotes(raw);
    struct sl_buf plain = { 0 };
    for (size_t i = 0; i < text.len; i++) {
        sl_buf_put_u8(&plain, text.ptr[i]);
        i += text.len < raw.len && text.ptr[i] == '"'; /* a doubled one */
    }
    sl_buf_put_json(out, sl_buf_slice(&plain));
    out->failed |= plain.failed;
    sl_buf_free(&plain);
}

void sim_csv_row(const struct sim_csv *c, size_t number, struct sl_buf *out)
{
    struct sl_slice rest = c->rows[number % c->row_count];
    struct field f = { .end = END_COMMA };
    sl_buf_put_u8(out, '{');
    for (size_t i = 0; i < c->column_count && f.end == END_COMMA; i++) {
        f = take_field(&rest);
        if (i > 0)
            sl_buf_put_u8(out, ',');
        put_text(out, c->columns[i]);
        sl_buf_put_u8(out, ':');
        struct sl_slice value = inside_quotes(f.raw);
        if (is_json_number(value))
            sl_buf_put_slice(out, value);
        else
            put_text(out, f.raw);
    }
    sl_buf_put_u8(out, '}');
}
