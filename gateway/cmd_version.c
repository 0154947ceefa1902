/* cmd_version.c - sluice version: what this is and what it runs with. */
#include "cli.h"
#include "commands.h"
#include "gpio/gpio.h"

#include "base/tls.h"
#include "store/outbox.h"
#include "web/web.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <uv.h>

static const char usage[] = "Usage: sluice version\n"
                            "\n"
                            "Prints version, commit, and the versions of the libraries in use.\n"
                            "\n"
                            "      --help   this text\n";

int cmd_version(int argc, char **argv)
{
    struct cli_args args;
    const struct cli_command command = { .name = "version", .usage = usage };
    int status = cli_parse(&command, argc, argv, &args);
    if (status != CLI_GO)
        return status;
    printf("sluice %s (%s)\n", SLUICE_VERSION, SLUICE_COMMIT);
    printf("libuv %s\n", uv_version_string());
    printf("SQLite %s\n", outbox_library_version());
    printf("%s\n", tls_library_version());
    printf("libwebsockets %s\n", web_library_version());
    printf("cJSON %s\n", cJSON_Version());
    printf("libgpiod %s\n", gpio_library_version());
    return CLI_OK;
}
