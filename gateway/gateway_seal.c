/* gateway_seal.c - store.encryption_key: whether it fits what lies in data_dir, before any of it is
 * opened. Knows the configuration and the files' names. */
#include "gateway.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdio.h>

const uint8_t *gateway_seal_key(const struct gateway *g, uint8_t mem[SEAL_KEY_BYTES])
{
    const char *text = g->config->store.encryption_key;
    return text && seal_key_parse(sl_str(text), mem) ? mem : NULL;
}

enum sl_code gateway_path_of(const struct gateway *g, const char *file, char ret[PATH_MAX],
                             struct sl_err *err)
{
    const char *dir = g->config->gateway.data_dir;
    if (snprintf(ret, PATH_MAX, "%s/%s", dir, file) < PATH_MAX)
        return SL_OK;
    return sl_fail(err, SL_INVALID, "gateway.data_dir is too long: %s", dir);
}

static enum sl_code seal_state(const char *path, const uint8_t *key, struct sl_err *err)
{
    struct state_sealed done;
    enum sl_code code = state_seal(path, key, &done, err);
    if (code == SL_OK && done.done)
        LOG_INFO("store", "state.db was begun without a key: all of it is sealed now");
    if (code == SL_OK && done.lost > 0)
        LOG_ERROR("store", "state.db: %llu rows or places of it could not be read and are lost",
                  (unsigned long long)done.lost);
    return code;
}

/* Both are looked at before one is changed: with a wrong key nothing is touched. */
static enum sl_code check(const struct gateway *g, const uint8_t *key, struct sl_err *err)
{
    char queue[PATH_MAX], state[PATH_MAX];
    bool persistence = g->config->broker.persistence;
    enum sl_code code = gateway_path_of(g, "queue.db", queue, err);
    if (code == SL_OK)
        code = gateway_path_of(g, "state.db", state, err);
    if (code == SL_OK)
        code = outbox_check_key(queue, key, err);
    if (code == SL_OK && persistence)
        code = state_check_key(state, key, err);
    return code == SL_OK && persistence ? seal_state(state, key, err) : code;
}

enum sl_code gateway_check_key(struct gateway *g, struct sl_err *err)
{
    uint8_t mem[SEAL_KEY_BYTES];
    enum sl_code code = check(g, gateway_seal_key(g, mem), err);
    crypto_wipe(mem, sizeof mem);
    return code;
}
