/* main.c - the program: picks the command. */
#include "cli.h"
#include "commands.h"

#include <malloc.h>
#include <signal.h>

static const char usage[] =
    "Usage: sluice COMMAND [OPTIONS]\n"
    "\n"
    "A local gateway: sensors publish to its MQTT broker, rules keep what matters,\n"
    "and that goes on to the cloud, now or when the link is back.\n"
    "\n"
    "Commands:\n"
    "  run        run the gateway in the foreground\n"
    "  check      read the configuration and print every problem\n"
    "  rule       try a rule on messages from a file\n"
    "  user       add, remove and list the users of the users file\n"
    "  queue      what waits for the cloud, and what it refused\n"
    "  plan       how long the store lasts, and what a load costs\n"
    "  status     the running gateway's state\n"
    "  simulate   simulated sensors, for demonstrations and load\n"
    "  version    version, commit, and the libraries in use\n"
    "\n"
    "\"sluice COMMAND --help\" tells more.\n";

int main(int argc, char **argv)
{
    static const struct cli_choice choices[] = {
        { "run", cmd_run },
        { "check", cmd_check },
        { "rule", cmd_rule },
        { "user", cmd_user },
        { "queue", cmd_queue },
        { "plan", cmd_plan },
        { "status", cmd_status },
        { "simulate", cmd_simulate },
        { "version", cmd_version },
        { "--version", cmd_version },
        { NULL, NULL },
    };
    /* One heap: the writer thread's own would cost more than waiting for each other now and then.
     */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)signal(SIGPIPE, SIG_IGN); /* a peer or pipe that is gone is an error code, not the end */
    return cli_dispatch(NULL, usage, choices, argc, argv);
}
