/* sim_sensor.h - a sensor that is not there, with an MQTT connection of its own.
 *
 * It connects, publishes a reading every interval, and comes back with its unacknowledged readings
 * after a lost connection. All of them share one struct sim, which `sluice simulate` makes; it ends
 * the loop when the last sensor is done. */
#ifndef GATEWAY_SIM_SENSOR_H
#define GATEWAY_SIM_SENSOR_H

#include "sim_readings.h"

#include <uv.h>

enum { SIM_PENDING_MAX = 64 }; /* readings that a sensor remembers; further ones are not taken */

/* What the command line says; count 0: until stopped. */
struct sim_options {
    const char *host, *csv, *topic, *user, *password_file;
    uint64_t port, sensors, count, seed, qos;
    int64_t interval_ms;
};

struct reading {
    uint16_t packet_id;
    bool sent; /* once, on this connection or one before */
    uint8_t *payload;
    size_t len;
};

struct sim;

struct sensor {
    struct sim *sim;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    bool open;      /* tcp is initialised and not yet closed */
    bool up;        /* CONNACK has come */
    bool closing;   /* the sensor is done */
    unsigned holds; /* handles that libuv still points into */
    char name[24], topic[256];
    struct sim_room room;
    size_t row; /* of the CSV file, the next */
    uint64_t made, acknowledged;
    /* QoS 1: sent or to be sent, not acknowledged, in order */
    struct reading pending[SIM_PENDING_MAX];
    unsigned pending_count;
    uint16_t next_id;
    struct sl_buf in;
};

struct sim {
    uv_loop_t loop;
    struct sim_options o;
    struct sim_csv csv;
    struct sl_buf password;
    struct sockaddr_storage address;
    struct sensor *sensors;
    size_t running; /* sensors that are not done */
    uv_signal_t sigint, sigterm;
    uint64_t published, acknowledged, reconnects, skipped;
    bool complained, stopping;
    char input[16384]; /* read into by all of them, one at a time */
};

/* Sensor number i of sim->sensors, which is zeroed. */
void sensor_start(struct sim *sim, size_t i);
/* Says goodbye, and is done; the second time it does not wait for that. */
void sensor_stop(struct sensor *s);

#endif
