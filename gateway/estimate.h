/* estimate.h - how long the store lasts, how long the backlog takes, what the cloud and the flash
 * cost.
 *
 * Arithmetic on a model that is told in docs/reference.md; the same model of AWS's metering stands
 * behind `cost` in /api/v1/status. No I/O, no clock, no allocation. */
#ifndef GATEWAY_ESTIMATE_H
#define GATEWAY_ESTIMATE_H

#include "bridge/batch.h"
#include "bridge/metering.h"

#include <stdbool.h>
#include <stdint.h>

#define ESTIMATE_MONTH_S 2629746 /* a twelfth of a year of 365.2425 days */

/* Of AWS IoT Core, in USD for a million. */
struct estimate_prices {
    double messages;   /* metered steps */
    double connection; /* minutes */
};
/* As quoted by others for us-east-1, not checked with AWS: for whoever gives no prices. */
#define ESTIMATE_PRICES_STANDARD ((struct estimate_prices){ .messages = 1.00, .connection = 0.08 })
#define ESTIMATE_PRICES_REGION   "us-east-1"
#define ESTIMATE_PRICES_DATE     "2025-11"

struct estimate_input {
    /* the load */
    uint64_t sensors;
    int64_t interval_ms;    /* of one sensor */
    uint64_t payload_bytes; /* of one message to the cloud */
    uint64_t topic_bytes;   /* of its topic */
    double keep;            /* outputs to the cloud for each message of a sensor */
    int64_t offline_ms;     /* the outage */
    /* the gateway */
    uint64_t max_bytes;
    int64_t max_age_ms;
    bool full_sync;              /* every commit waits for the disk */
    double publishes_per_second; /* 0: no limit */
    uint64_t bytes_per_second;   /* 0: no limit */
    uint32_t in_flight;
    uint64_t batch_max_bytes;
    int64_t batch_max_age_ms;
    bool mqtt5; /* user properties are sent, and metered */
    /* the world */
    int64_t round_trip_ms;
    struct estimate_prices prices;
    uint64_t endurance_bytes; /* what may be written to the card before it wears out */
};

/* What bounds something; the names are what estimate_bound_name() says. */
enum estimate_bound {
    ESTIMATE_BOUND_NONE,
    ESTIMATE_BOUND_MAX_BYTES,
    ESTIMATE_BOUND_MAX_AGE,
    ESTIMATE_BOUND_PUBLISHES,
    ESTIMATE_BOUND_BYTES,
    ESTIMATE_BOUND_IN_FLIGHT,
};
const char *estimate_bound_name(enum estimate_bound bound);

struct estimate_drain {
    double batch;              /* messages in one packet */
    double per_second;         /* messages that the link takes */
    enum estimate_bound bound; /* and why not more */
    double seconds;            /* until the backlog is gone; < 0: never, more comes than goes */
};
struct estimate_cost { /* a month */
    double batch, packets, metered;
    double messages_usd, connection_usd;
};
struct estimate_output {
    double per_second; /* messages that come for the cloud */
    /* the store */
    uint64_t row_bytes;        /* one message, as it counts against max_bytes */
    double capacity;           /* messages that it holds */
    double lasts_s;            /* until the first is lost */
    enum estimate_bound bound; /* by what */
    double backlog, lost;      /* messages, at the end of the outage */
    /* the backlog leaves: without batches, and with */
    struct estimate_drain drain, drain_batched;
    struct estimate_cost cost, cost_batched;
    uint64_t batch_bytes_better; /* cloud.batch.max_bytes with which messages in full batches cost
                                    less; 0: it is well as it is */
    /* the flash: written in one outage, and by its backlog leaving */
    double rows_per_commit, bytes_per_message, outage_bytes;
    double outages; /* that the card takes; < 0: nothing is written */
};

/* Input must be in the ranges that cmd_plan.c checks: nothing is zero but offline_ms, the limits
 * that may be, and keep, which is positive. */
void estimate_make(const struct estimate_input *in, struct estimate_output *ret);

/* Estimated bytes written to the disk for a message that is stored and leaves again; measured with
 * tests/e2e, see docs/reference.md. */
double estimate_flash_bytes(uint64_t stored_bytes, double rows_per_commit);

#endif
