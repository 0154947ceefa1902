/* sim_readings.c - simulated rooms, and CSV rows as JSON. */
#include "sim_readings.h"

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

/* ---- CSV ---- */

/* Takes the next field off *line; quotes around it are dropped, and a quoted field may hold commas.
 */
static bool next_field(struct sl_slice *line, bool *more, struct sl_slice *ret)
{
    if (!*more)
        return false;
    size_t n = 0, skip = 0;
    if (line->len > 0 && line->ptr[0] == '"') {
        n = 1;
        while (n < line->len && line->ptr[n] != '"')
            n++;
        *ret = sl_bytes(line->ptr + 1, n - 1);
        n += n < line->len;
        while (n + skip < line->len && line->ptr[n + skip] != ',')
            skip++;
    } else {
        while (n < line->len && line->ptr[n] != ',')
            n++;
        *ret = sl_bytes(line->ptr, n);
    }
    n += skip;
    *more = n < line->len;
    n += *more;
    *line = sl_bytes(line->ptr + n, line->len - n);
    return true;
}

static struct sl_slice next_line(struct sl_slice *rest)
{
    const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    size_t n = end ? (size_t)(end - rest->ptr) : rest->len;
    struct sl_slice line = sl_bytes(rest->ptr, n);
    *rest = end ? sl_bytes(end + 1, rest->len - n - 1) : sl_bytes(rest->ptr + n, 0);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

enum sl_code sim_csv_load(struct sim_csv *ret, const char *path, struct sl_err *err)
{
    struct sim_csv c = { 0 };
    enum sl_code rc = sl_file_read(path, SIM_CSV_BYTES_MAX, &c.text, err);
    struct sl_slice rest = sl_buf_slice(&c.text);
    size_t lines = 1;
    for (size_t i = 0; i < rest.len; i++)
        lines += rest.ptr[i] == '\n';
    if (rc == SL_OK && !(c.rows = calloc(lines, sizeof *c.rows)))
        rc = sl_fail(err, SL_NOMEM, "%s: out of memory", path);
    if (rc == SL_OK) {
        struct sl_slice header = next_line(&rest);
        bool more = true;
        for (struct sl_slice f;
             c.column_count < SIM_CSV_COLUMNS_MAX && next_field(&header, &more, &f);)
            c.columns[c.column_count++] = f;
        while (rest.len > 0) {
            struct sl_slice line = next_line(&rest);
            if (line.len > 0)
                c.rows[c.row_count++] = line;
        }
        if (c.row_count == 0)
            rc = sl_fail(err, SL_INVALID, "%s: no rows below the header line", path);
    }
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
    size_t i = 0;
    if (i < s.len && s.ptr[i] == '-')
        i++;
    size_t digits = i;
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
        i++;
    if (i == digits || (s.ptr[digits] == '0' && i - digits > 1))
        return false;
    if (i < s.len && s.ptr[i] == '.') {
        size_t after = ++i;
        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
            i++;
        if (i == after)
            return false;
    }
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-'))
            i++;
        size_t after = i;
        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
            i++;
        if (i == after)
            return false;
    }
    return i == s.len;
}

void sim_csv_row(const struct sim_csv *c, size_t number, struct sl_buf *out)
{
    struct sl_slice line = c->rows[number % c->row_count], field;
    bool more = true;
    sl_buf_put_u8(out, '{');
    for (size_t i = 0; i < c->column_count && next_field(&line, &more, &field); i++) {
        if (i > 0)
            sl_buf_put_u8(out, ',');
        sl_buf_put_json(out, c->columns[i]);
        sl_buf_put_u8(out, ':');
        if (is_json_number(field))
            sl_buf_put_slice(out, field);
        else
            sl_buf_put_json(out, field);
    }
    sl_buf_put_u8(out, '}');
}
