/* commands.h - the command line's commands. Each is a main() of its own: argv[0] is the command's
 * name, the result the process's exit status. */
#ifndef GATEWAY_COMMANDS_H
#define GATEWAY_COMMANDS_H

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_rule(int argc, char **argv);
int cmd_user(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_queue(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
