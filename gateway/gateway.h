/* gateway.h - the parts put together: what each file of gateway/ may see of the running gateway.
 *
 * gateway.c makes and ends the parts in order, with gateway_*.c; engine.c runs the rules; status.c,
 * metrics.c, history.c and events.c say what is going on; control.c answers the command line. Loop
 * thread only. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "cloud_watch.h"
#include "control.h"
#include "engine.h"
#include "events.h"
#include "footprint.h"
#include "gap_report.h"
#include "gpio/gpio.h"
#include "history.h"
#include "listeners.h"
#include "logins.h"

#include "base/seal.h"
#include "bridge/bridge.h"
#include "broker/broker.h"
#include "broker/persist.h"
#include "config/config.h"
#include "store/outbox.h"
#include "store/state.h"
#include "web/web.h"

#include <limits.h>
#include <uv.h>

struct gateway {
    uv_loop_t loop;
    const struct sl_clock *clock;
    struct config *config;   /* of the start: what a reload does not change */
    const char *config_path; /* NULL: built in */

    struct outbox *outbox;
    struct state *state; /* NULL with broker.persistence false */
    struct broker *broker;
    struct bridge *bridge; /* NULL without a cloud section */
    struct web *web;       /* NULL without a web section */
    struct gpio *gpio;     /* NULL without lines */
    struct engine *engine;
    struct throttle throttle;  /* of failed logins */
    struct logins *logins;     /* NULL without a users file */
    struct logins *web_logins; /* NULL: the same as logins */
    struct listeners *listeners;
    struct control *control;
    struct events events;
    struct footprint footprint;
    struct history history;
    struct gap_report gap;
    bool gap_noting; /* what it told is being written to its file */
    struct cloud_watch cloud_watch;
    struct gpio_command_tap *gpio_taps;

    uv_signal_t sigterm, sigint, sighup;
    uv_timer_t second;
    uv_timer_t watchdog; /* the service manager's */
    uv_timer_t deadline; /* of the shutdown */
    struct sl_moment started;
    int64_t said_since_ms;  /* in $SYS/gateway/cloud: the clock may be set later */
    int64_t store_due_ms;   /* next $SYS/gateway/store */
    int lock_fd;            /* on data_dir; -1 for none */
    uint64_t cloud_seconds; /* connected to the cloud, about */
    unsigned watches;       /* of web viewers */
    bool anonymous;         /* access.anonymous; config keeps what it was at the start */
    bool disk_was_ok, told_set_aside;
    bool state_was_ok, told_state_set_aside;
    uint64_t thin_passes; /* that were looked at */
    int64_t told_thin_ms; /* monotonic; 0: never */
    bool trimmed;         /* what starting needed was given back */
    bool parts_closed;    /* the last step of stopping is done */
    char cloud_line[512]; /* what was last logged of the cloud */
    int exit_code;
    bool stopping;
};

/* Runs until it is told to stop; the process's exit code. Takes over config. */
int gateway_run(struct config *config, const char *config_path);

/* Publish on the local broker from inside. */
void gateway_publish(struct gateway *g, struct sl_slice topic, struct sl_slice payload,
                     bool retain);
/* The same for JSON that make() appends, retained. */
void gateway_say_cloud(struct gateway *g); /* $SYS/gateway/cloud */
void gateway_publish_json(struct gateway *g, const char *topic,
                          void (*make)(struct gateway *g, struct sl_buf *out));

/* gateway_seal.c: the file's path in data_dir; the key of what lies there, in mem, which the caller
 * wipes (NULL: none is given); before any of it is opened, whether the key fits. */
SL_NODISCARD enum sl_code gateway_path_of(const struct gateway *g, const char *file,
                                          char ret[PATH_MAX], struct sl_err *err);
const uint8_t *gateway_seal_key(const struct gateway *g, uint8_t mem[SEAL_KEY_BYTES]);
SL_NODISCARD enum sl_code gateway_check_key(struct gateway *g, struct sl_err *err);
/* gateway_open.c, gateway_gpio.c, gateway_web.c: the parts, each in its field above. */
SL_NODISCARD enum sl_code gateway_open_outbox(struct gateway *g, struct sl_err *err);
SL_NODISCARD enum sl_code gateway_open_broker(struct gateway *g, struct sl_err *err);
SL_NODISCARD enum sl_code gateway_open_engine(struct gateway *g, struct sl_err *err);
SL_NODISCARD enum sl_code gateway_open_bridge(struct gateway *g, struct sl_err *err);
SL_NODISCARD enum sl_code gateway_open_gpio(struct gateway *g, struct sl_err *err);
SL_NODISCARD enum sl_code gateway_open_web(struct gateway *g, struct sl_err *err);
/* gateway_state.c: before the broker; its face for the broker; what it holds handed to the broker,
 * before listeners open; once a second. */
SL_NODISCARD enum sl_code gateway_open_state(struct gateway *g, struct sl_err *err);
struct broker_persistence gateway_persistence(struct gateway *g);
void gateway_restore(struct gateway *g);
void gateway_watch_state(struct gateway *g);
/* gateway_gap.c: reports of outages to the cloud; tick: once a second. */
void gateway_gap_open(struct gateway *g);
void gateway_gap_follow(struct gateway *g, const struct bridge_status *s);
void gateway_gap_tick(struct gateway *g, const struct outbox_stats *s);
void gateway_gap_refused(struct gateway *g, const struct sl_msg *m, const char *reason);
void gateway_untap_gpio(struct gateway *g); /* before gpio and broker go */
/* gateway_reload.c: reads the configuration again and says what came of it. */
void gateway_reload(struct gateway *g);

/* status.c: the interface's /api/v1/status. */
void status_json(struct gateway *g, struct sl_buf *out);
/* The lists: "clients", "rules", "events", "queue" (counts by lane). False: no such list. */
bool status_list(struct gateway *g, const char *name, struct sl_slice after, unsigned limit,
                 struct sl_buf *out);
int64_t status_cloud_since_ms(struct gateway *g);
void status_cloud_json(struct gateway *g, struct sl_buf *out); /* $SYS/gateway/cloud */
void status_store_json(struct gateway *g, struct sl_buf *out); /* $SYS/gateway/store */
/* False: out holds a JSON array of reasons. */
bool status_healthy(struct gateway *g, struct sl_buf *out);
bool status_ready(struct gateway *g, struct sl_buf *out);
/* metrics.c: Prometheus text. */
void metrics_text(struct gateway *g, struct sl_buf *out);

#endif
