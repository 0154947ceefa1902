/* sim.h - the whole way in one process: sensors, broker, rules, outbox, bridge and a cloud, under a
 * simulated clock, network and disk.
 *
 * broker/, gateway/engine, store/ and bridge/ run as they are. What is simulated lies at their
 * edges: loop.c stands for libuv, net.c for the bridge's sockets (link.h), disk.c for the writer
 * thread (sqlite_disk.h), reports.c for the file of what was told (gap_note.h), sensors.c for the
 * broker's clients, cloud.c for AWS. Everything is
 * decided by one seed. */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "fail.h"
#include "fake_disk.h"
#include "gateway.h"
#include "loop.h"
#include "powercut.h"

#include "broker_internal.h"
#include "client.h"

enum {
    SIM_SENSORS = 4,
    SIM_MESSAGES = 3000,
    SIM_UNACKED = 8,
    SIM_COMMANDS = 12,
    SIM_REPORTS = 256,
    SIM_IDENTITIES = 1 << 15,
    SIM_WRITE_MS = 5, /* less than that until the socket takes more */
    SIM_UP_MS = 60    /* ... and until what it took is with the cloud */
};

/* What sensors publish on, and where the rules send it. */
enum sim_kind {
    KIND_ALERT,
    KIND_NORMAL,
    KIND_TELEMETRY,
    KIND_BOTH,
    KIND_HOT,
    KIND_CHAIN,
    KINDS,
    KIND_COMMAND
};

/* A message from a sensor, for the whole run. */
struct sim_message {
    enum sim_kind kind;
    bool acked;       /* to its sensor */
    uint8_t wanted;   /* lanes it must leave by, by bit */
    uint8_t arrived;  /* ... it has arrived by */
    uint8_t nameless; /* ... without an identity: over 3.1.1 */
    uint8_t buried;   /* ... the cloud has refused for good */
    int64_t made_ms;  /* when its sensor thought of it */
    uint32_t sent;    /* so often by its sensor: each may have an identity of its own */
    uint64_t number[OUTBOX_LANES]; /* its identity, the last if several; 0: not seen yet */
};

/* An identity that has arrived, and whose. */
struct sim_identity {
    uint64_t number; /* 0: free */
    enum outbox_lane lane;
    uint32_t message;
};

/* What may go wrong, per mille of the occasions; 0 for never. */
struct sim_faults {
    unsigned connect; /* an attempt fails, each way */
    unsigned hole;    /* ... or nothing comes of it */
    unsigned purge;   /* somebody throws away what waits, at a step */
    unsigned drop;    /* the link is cut, at a step */
    unsigned ack_lost, ack_late;
    unsigned refused; /* PUBACK says no room, for now */
    unsigned never;   /* PUBACK says never */
    unsigned kick;    /* the cloud hangs up after a packet */
    unsigned connack; /* CONNACK says no, or the cloud hangs up instead */
    unsigned disk;    /* a job of the disk fails */
    unsigned crash;   /* at a step */
    unsigned stop;    /* at a step: stopped in order */
    unsigned clock;   /* at a step: the wall clock jumps */
    unsigned others;  /* at a step: others fill the disk, or leave it, or some of it */
};

/* What the cloud was told of losses. */
struct sim_report {
    uint64_t number;
    struct gap_lost lost, ever;
    bool arrived, never; /* the latter: refused for good */
};
struct sim_reports {
    struct gap_lost noted; /* the gateway's file */
    struct sim_report list[SIM_REPORTS];
    size_t count;
    bool refused; /* one was, for good */
};

#define SIM_REPORT_TOPIC   "told"
#define SIM_WALL_OFFSET_MS INT64_C(1800000000000)

struct cloud {
    struct link *conn; /* NULL: nobody is connected */
    enum mqtt_version version;
    struct sl_buf in;
    uint64_t last[OUTBOX_LANES];    /* the highest number so far */
    uint64_t back_to[OUTBOX_LANES]; /* up to here what was dropped may have come back */
    struct sim_identity seen[SIM_IDENTITIES];
    uint32_t seen_count;
    bool subscribed;
    struct {
        uint32_t message; /* 0: free */
        uint16_t packet_id;
        bool stale; /* its Message Expiry is over */
    } commands[SIM_COMMANDS];
    uint16_t next_id;
    uint64_t commands_taken;
    unsigned refused_in_a_row;
    uint64_t publishes, repeats, batches, batched;
};

struct sensor {
    struct client client;
    struct sim *sim;
    bool open, close_wanted, connected;
    enum mqtt_version version;
    struct sl_buf received;
    char name[8];
    uint16_t next_id;
    struct {
        uint32_t message; /* 0: free */
        uint16_t packet_id;
        bool sent;     /* on this connection */
        bool repeat;   /* on an earlier one */
        bool released; /* QoS 2: PUBREC came */
        uint8_t qos;
    } unacked[SIM_UNACKED];
};

struct sim {
    uint64_t seed, random;
    int64_t wall_offset_ms;
    struct sl_clock clock;
    struct loop loop;
    struct sim_faults faults;
    bool late_clock; /* the machine starts in 1970; its clock is set some time later */
    bool clock_was_set;
    int64_t clock_set_ms;
    bool jumped;    /* the clock did, in some other way: times tell nothing */
    bool bounded;   /* small bounds: losses are expected, and counted */
    bool old_cloud; /* speaks 3.1.1 only: no identities */
    bool reorders;  /* the cloud refused for now: what it refused comes behind the others */
    bool draining;  /* no new messages */
    bool no_room;   /* something was lost because others had filled the disk */
    unsigned report_after_s;
    uint64_t bytes_max; /* of the store */
    uint64_t opened_in; /* the life in which its opening was seen to be done */
    uint64_t above;     /* the least that has waited since; looked at while that is too much */
    unsigned window;    /* publishes in flight, in this life */
    unsigned batch_bytes, batch_count; /* limits of this run's batches */
    /* The process. */
    struct gateway *gateway; /* NULL while it is down */
    struct sqlite_disk *disk;
    struct link *links; /* not yet freed */
    bool muted;         /* it is being torn down after a crash: nothing leaves it any more */
    bool bridge_gone, outbox_gone, broker_gone;
    /* The world, which outlives it. */
    struct fake_disk fake;
    struct powercut *power; /* NULL: the fake disk is used */
    char folder[64], path[80];
    struct cloud cloud;
    struct sim_reports reports;
    struct sensor sensor[SIM_SENSORS];
    struct sim_message message[SIM_MESSAGES];
    uint32_t message_count;
    uint64_t lives, crashes, purges;
};

uint64_t sim_random(struct sim *s);
/* Below bound, which is above 0. */
uint64_t sim_below(struct sim *s, uint64_t bound);
bool sim_chance(struct sim *s, unsigned per_mille);
/* The one that runs: for the functions that stand in for others' and get no context. */
struct sim *sim_current(void);

/* disk.c */
bool disk_step(struct sim *s);      /* does one job; false when there is none */
void disk_power_off(struct sim *s); /* jobs that wait are gone, or done without a word */

/* net.c: from the cloud's side */
void net_send(struct link *l, struct sl_slice bytes, int64_t delay_ms);
void net_hang_up(struct link *l);
void net_cut(struct sim *s);    /* whatever is on its way is lost from some byte on */
void net_forget(struct sim *s); /* after a crash */
struct sim *net_sim(struct link *l);

/* cloud.c */
void cloud_open(struct sim *s, struct link *l);
void cloud_receive(struct sim *s, struct link *l, struct sl_slice bytes);
void cloud_lost(struct sim *s, struct link *l);
void cloud_step(struct sim *s); /* sends a command, perhaps */
bool cloud_is_done(const struct sim *s);

/* The text between two others. */
struct sl_slice sim_between(struct sl_slice text, const char *from, const char *to);

/* reports.c */
uint8_t report_arrives(struct sim *s, struct sl_slice text, uint64_t number);
bool report_has_number(const struct sim *s, uint64_t number);
bool reports_are_done(struct sim *s);
void reports_check_end(struct sim *s);

/* sensors.c */
void sensor_step(struct sensor *n); /* connects, publishes, reads, as it comes */
void sensor_cut(struct sensor *n);
void sensors_read(struct sim *s);
bool sensors_are_done(const struct sim *s);
/* A message that is to leave by these lanes; 0 when there are enough. */
uint32_t sim_new_message(struct sim *s, enum sim_kind kind, uint8_t wanted);
/* "{"id":N,..." as the sensors make it; fails the run otherwise. */
uint32_t sensor_message_of(struct sl_slice payload);

#endif
