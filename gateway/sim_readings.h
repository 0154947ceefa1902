/* sim_readings.h - what simulated sensors measure: readings that drift like real ones, or the rows
 * of a CSV file.
 *
 * Deterministic: the same seed gives the same readings. No I/O but sim_csv_load(). */
#ifndef GATEWAY_SIM_READINGS_H
#define GATEWAY_SIM_READINGS_H

#include "base/buf.h"
#include "base/err.h"

#define SIM_CSV_BYTES_MAX   ((size_t)64 * 1024 * 1024)
#define SIM_CSV_COLUMNS_MAX 64

/* A room: temperature, humidity and CO2 wander around their usual values; now and then people come
 * in. */
struct sim_room {
    uint64_t random;
    double temperature, humidity, co2, light;
    double usual_temperature, usual_humidity;
    bool occupied;
};

void sim_room_init(struct sim_room *r, uint64_t seed, uint32_t sensor);
/* The next reading as a JSON object, appended to out. seconds have passed since the last one. */
void sim_room_next(struct sim_room *r, double seconds, struct sl_buf *out);

/* A CSV file's rows (RFC 4180: quotes may hold commas, line ends and doubled quotes) as JSON
 * objects, keyed by the header's names. Numbers stand as they are, anything else is a string; a row
 * that is too short has fewer members, what it has beyond the header is left out. */
struct sim_csv {
    struct sl_buf text;
    struct sl_slice columns[SIM_CSV_COLUMNS_MAX];
    size_t column_count;
    struct sl_slice *rows; /* with their line ends */
    size_t row_count;
};
SL_NODISCARD enum sl_code sim_csv_load(struct sim_csv *ret, const char *path, struct sl_err *err);
void sim_csv_free(struct sim_csv *c);
/* Row number (modulo the rows there are), appended to out. */
void sim_csv_row(const struct sim_csv *c, size_t number, struct sl_buf *out);

#endif
