/* command.c - payload to command. Owns nothing; the only file here that knows cJSON. */
#include "command.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <strings.h>

#define ACCEPTED                                                                                   \
    "accepted are 0, 1, on, off, toggle, {\"state\":0|1}, {\"blink\":HZ}, {\"pulse\":\"200ms\"}"

static const struct {
    const char *word;
    struct gpio_command command;
} words[] = {
    { "0", { .kind = GPIO_SET, .state = 0 } },   { "1", { .kind = GPIO_SET, .state = 1 } },
    { "off", { .kind = GPIO_SET, .state = 0 } }, { "on", { .kind = GPIO_SET, .state = 1 } },
    { "toggle", { .kind = GPIO_TOGGLE } },
};

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A line read from a terminal or a file ends in a newline; people type blanks. */
static struct sl_slice trim(struct sl_slice s)
{
    while (s.len > 0 && blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static enum sl_code take_state(const cJSON *value, struct gpio_command *ret, struct sl_err *err)
{
    bool zero = cJSON_IsFalse(value) || (cJSON_IsNumber(value) && value->valuedouble == 0.0);
    bool one = cJSON_IsTrue(value) || (cJSON_IsNumber(value) && value->valuedouble == 1.0);
    if (!zero && !one)
        return sl_fail(err, SL_INVALID, "\"state\" must be 0 or 1");
    *ret = (struct gpio_command){ .kind = GPIO_SET, .state = one };
    return SL_OK;
}

static enum sl_code take_blink(const cJSON *value, struct gpio_command *ret, struct sl_err *err)
{
    double hz = cJSON_IsNumber(value) ? value->valuedouble : -1.0;
    if (hz != 0.0 && !(hz >= GPIO_BLINK_HZ_MIN && hz <= GPIO_BLINK_HZ_MAX))
        return sl_fail(err, SL_INVALID, "\"blink\" must be 0 or a frequency within %g..%g Hz",
                       GPIO_BLINK_HZ_MIN, GPIO_BLINK_HZ_MAX);
    *ret = (struct gpio_command){ .kind = GPIO_BLINK, .blink_hz = hz + 0.0 }; /* -0 becomes 0 */
    return SL_OK;
}

static enum sl_code take_pulse(const cJSON *value, struct gpio_command *ret, struct sl_err *err)
{
    int64_t ms;
    if (!cJSON_IsString(value) || !sl_duration_parse(sl_str(value->valuestring), &ms) ||
        ms < GPIO_PULSE_MS_MIN || ms > GPIO_PULSE_MS_MAX)
        return sl_fail(err, SL_INVALID,
                       "\"pulse\" must be a duration such as \"200ms\", from 1ms to 24h");
    *ret = (struct gpio_command){ .kind = GPIO_PULSE, .pulse_ms = ms };
    return SL_OK;
}

static enum sl_code take_object(const cJSON *object, struct gpio_command *ret, struct sl_err *err)
{
    const cJSON *member = cJSON_IsObject(object) ? object->child : NULL;
    if (!member || member->next) /* two keys could contradict each other */
        return sl_fail(err, SL_INVALID, "not one command; %s", ACCEPTED);
    if (strcmp(member->string, "state") == 0)
        return take_state(member, ret, err);
    if (strcmp(member->string, "blink") == 0)
        return take_blink(member, ret, err);
    if (strcmp(member->string, "pulse") == 0)
        return take_pulse(member, ret, err);
    return sl_fail(err, SL_INVALID, "unknown key; %s", ACCEPTED);
}

static void delete_json(cJSON **json)
{
    cJSON_Delete(*json);
}

enum sl_code gpio_command_parse(struct sl_slice payload, struct gpio_command *ret,
                                struct sl_err *err)
{
    char text[GPIO_COMMAND_BYTES_MAX + 1];
    struct sl_slice s = trim(payload);
    if (s.len == 0 || s.len > GPIO_COMMAND_BYTES_MAX || memchr(s.ptr, '\0', s.len))
        return sl_fail(err, SL_INVALID, "not a command; %s", ACCEPTED);
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    for (size_t i = 0; i < SL_ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret = words[i].command;
            return SL_OK;
        }
    }
    SL_CLEANUP(delete_json) cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    if (!json)
        return sl_fail(err, SL_INVALID, "not a command; %s", ACCEPTED);
    return take_object(json, ret, err);
}
