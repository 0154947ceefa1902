/* load.c - a load generator for MQTT brokers, and what it measures of them.
 *
 *   load flow     --port P --pid BROKER --publishers N --subscribers N --qos Q --count N [--pairs]
 * [--window N]
 *                 [--rate N [--burst-ms N]] [--payload N] [--topics N] [--wild N]
 *   load idle     --port P --pid BROKER --count N [--subscribe]     memory by connection
 *   load retained --port P --pid BROKER --count N [--qos Q]         a late subscriber to N retained
 * messages load queue    --port P --pid BROKER --count N                   N messages for a session
 * that is away load drain    --port P --pid BROKER --count N                   ... which comes back
 *   load acks     --port P --pid BROKER --count N --rate N          time to the PUBACK
 *   load arrivals --port P --pid SENDER --count N                   a subscriber to up/# counts
 *
 * One JSON line: deliveries, seconds, messages a second, the broker's CPU time for each delivery
 * (from /proc, all its threads), the generator's own share of a core, latencies. Exit 3 when a
 * message is missing, twice or out of order: then there is no number. Exit 4 when the
 * generator could not keep its rate. */
#include "load.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

_Noreturn void die(int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("load: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(status);
}

static bool parse_flag(struct load_options *o, const char *name)
{
    bool pairs = strcmp(name, "--pairs") == 0, subscribe = strcmp(name, "--subscribe") == 0;
    o->pairs |= pairs;
    o->subscribe |= subscribe;
    return pairs || subscribe;
}

static bool parse_number(struct load_options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {
        { "--port", &o->port },
        { "--pid", &o->pid },
        { "--publishers", &o->publishers },
        { "--subscribers", &o->subscribers },
        { "--qos", &o->qos },
        { "--count", &o->count },
        { "--payload", &o->payload },
        { "--window", &o->window },
        { "--rate", &o->rate },
        { "--burst-ms", &o->burst_ms },
        { "--topics", &o->topics },
        { "--wild", &o->wild },
    };
    for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++)
        if (strcmp(numbers[i].name, name) == 0)
            return value && sl_u64_parse(sl_str(value), numbers[i].value);
    return false;
}

static void parse_options(struct load_options *o, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (parse_flag(o, argv[i]))
            continue;
        if (!parse_number(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            die(EXIT_USAGE, "bad option %s", argv[i]);
        i++;
    }
    if (o->pid == 0 || o->qos > 2 || o->payload < PAYLOAD_MIN || o->payload > PAYLOAD_MAX ||
        o->publishers == 0 || o->window == 0 || o->publishers > 65536 || o->subscribers > 65536)
        die(EXIT_USAGE,
            "--pid is needed; --payload is %d to %d; --publishers and --window are not 0",
            PAYLOAD_MIN, PAYLOAD_MAX);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct load *l);
    } kinds[] = {
        { "flow", run_flow },         { "idle", run_idle },   { "retained", run_retained },
        { "queue", run_queue },       { "drain", run_drain }, { "acks", run_acks },
        { "arrivals", run_arrivals },
    };
    static struct load l = { .o = { .port = 1883,
                                    .publishers = 1,
                                    .subscribers = 1,
                                    .count = 100000,
                                    .payload = 120,
                                    .window = 20 } };
    (void)prctl(PR_SET_TIMERSLACK, 1); /* messages leave when they are due; else a little later */
    parse_options(&l.o, argc, argv);
    for (size_t i = 0; argc > 1 && i < SL_ARRAY_LEN(kinds); i++)
        if (strcmp(argv[1], kinds[i].name) == 0) {
            kinds[i].run(&l);
            return 0;
        }
    die(EXIT_USAGE, "the first word says what to do: flow, idle, retained, queue or drain");
}
