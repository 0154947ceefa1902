/* cmd_simulate.c - sluice simulate: sensors that are not there (sim_sensor.c). Ends after --count
 * readings each, or when it is told to. */
#include "cli.h"
#include "commands.h"
#include "sim_sensor.h"

#include "base/file.h"
#include "base/topic.h"

#include <assert.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOPIC_MAX = 200 };

static const char usage[] =
    "Usage: sluice simulate [OPTIONS]\n"
    "\n"
    "Simulated sensors that publish readings by MQTT, for demonstrations and load.\n"
    "\n"
    "      --host H           the broker (default 127.0.0.1)\n"
    "      --port P           its port (default 1883)\n"
    "      --sensors N        how many sensors (default 10)\n"
    "      --interval D       between two readings of a sensor (default 1s)\n"
    "      --count N          readings of each sensor, then end (default: until stopped)\n"
    "      --seed S           the same seed gives the same readings (default 1)\n"
    "      --csv FILE         replay the file's rows, each sensor from another row on\n"
    "      --topic T          topic; {sensor} is the sensor's name (default site/{sensor}/air)\n"
    "      --qos Q            0 or 1 (default 1)\n"
    "      --user NAME        user name, and\n"
    "      --password-file F  a file with its password\n"
    "      --help             this text\n";

static void on_signal(uv_signal_t *h, int number)
{
    struct sim *sim = h->data;
    (void)number;
    sim->stopping = true;
    for (size_t i = 0; i < sim->o.sensors; i++)
        sensor_stop(&sim->sensors[i]);
}

static int resolve(struct sim *sim)
{
    char port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    (void)snprintf(port, sizeof port, "%u", (unsigned)sim->o.port);
    int rc = getaddrinfo(sim->o.host, port, &hints, &list);
    if (rc != 0)
        return cli_error(CLI_FAIL, "simulate", "--host %s: %s", sim->o.host, gai_strerror(rc));
    memcpy(&sim->address, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return CLI_GO;
}

static int load_files(struct sim *sim)
{
    struct sl_err err = { 0 };
    if (sim->o.csv && sim_csv_load(&sim->csv, sim->o.csv, &err) != SL_OK)
        return cli_error(CLI_FAIL, "simulate", "--csv: %s", err.text);
    if (!sim->o.password_file)
        return CLI_GO;
    if (sl_file_read(sim->o.password_file, 4096, &sim->password, &err) != SL_OK)
        return cli_error(CLI_FAIL, "simulate", "--password-file: %s", err.text);
    while (sim->password.len > 0 && (sim->password.ptr[sim->password.len - 1] == '\n' ||
                                     sim->password.ptr[sim->password.len - 1] == '\r'))
        sim->password.len--;
    return CLI_GO;
}

static int run(struct sim *sim)
{
    sim->sensors = calloc((size_t)sim->o.sensors, sizeof *sim->sensors);
    if (!sim->sensors || uv_loop_init(&sim->loop) != 0) {
        free(sim->sensors);
        return cli_error(CLI_FAIL, "simulate", "out of memory");
    }
    (void)uv_signal_init(&sim->loop, &sim->sigint); /* without signals it ends less politely */
    (void)uv_signal_init(&sim->loop, &sim->sigterm);
    sim->sigint.data = sim->sigterm.data = sim;
    (void)uv_signal_start(&sim->sigint, on_signal, SIGINT);
    (void)uv_signal_start(&sim->sigterm, on_signal, SIGTERM);
    sim->running = (size_t)sim->o.sensors;
    for (size_t i = 0; i < sim->o.sensors; i++)
        sensor_start(sim, i);
    (void)uv_run(&sim->loop, UV_RUN_DEFAULT); /* until every sensor is done */
    int closed = uv_loop_close(&sim->loop);
    assert(closed == 0);
    (void)closed;
    free(sim->sensors);
    printf("published %llu, acknowledged %llu, reconnected %llu, skipped %llu\n",
           (unsigned long long)sim->published, (unsigned long long)sim->acknowledged,
           (unsigned long long)sim->reconnects, (unsigned long long)sim->skipped);
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAIL;
}

static int check_options(const struct sim_options *o)
{
    if (!sl_topic_valid(sl_str(o->topic)) || strlen(o->topic) > TOPIC_MAX)
        return cli_error(CLI_USAGE, "simulate",
                         "--topic: \"%s\" is not a topic (no + or #, at most %d bytes)", o->topic,
                         TOPIC_MAX);
    if (o->password_file && !o->user)
        return cli_error(CLI_USAGE, "simulate", "--password-file needs --user");
    return CLI_GO;
}

int cmd_simulate(int argc, char **argv)
{
    struct sim_options o = { .host = "127.0.0.1",
                             .topic = "site/{sensor}/air",
                             .port = 1883,
                             .sensors = 10,
                             .seed = 1,
                             .qos = 1,
                             .interval_ms = 1000 };
    struct cli_args args;
    const struct cli_option options[] = {
        CLI_TEXT("host", '\0', &o.host),
        CLI_NUMBER("port", '\0', &o.port, 1, 65535),
        CLI_NUMBER("sensors", '\0', &o.sensors, 1, 10000),
        CLI_DURATION("interval", '\0', &o.interval_ms, 1, 86400000),
        CLI_NUMBER("count", '\0', &o.count, 1, 0),
        CLI_NUMBER("seed", '\0', &o.seed, 0, 0),
        CLI_TEXT("csv", '\0', &o.csv),
        CLI_TEXT("topic", '\0', &o.topic),
        CLI_NUMBER("qos", '\0', &o.qos, 0, 1),
        CLI_TEXT("user", '\0', &o.user),
        CLI_TEXT("password-file", '\0', &o.password_file),
        CLI_END,
    };
    const struct cli_command command = { .name = "simulate", .usage = usage, .options = options };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    status = check_options(&o);
    if (status != CLI_GO)
        return status;
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return cli_error(CLI_FAIL, "simulate", "out of memory");
    sim->o = o;
    status = load_files(sim);
    if (status == CLI_GO)
        status = resolve(sim);
    if (status == CLI_GO)
        status = run(sim);
    sim_csv_free(&sim->csv);
    sl_buf_free(&sim->password);
    free(sim);
    return status;
}
