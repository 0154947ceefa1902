/* names.c - lanes and losses as words. */
#include "store/outbox.h"

static const char *const lane_names[OUTBOX_LANES] = {
    [OUTBOX_ALERT] = "alert",
    [OUTBOX_NORMAL] = "normal",
    [OUTBOX_TELEMETRY] = "telemetry",
};

static const char *const loss_names[OUTBOX_LOSSES] = {
    [OUTBOX_LOST_FULL] = "full",       [OUTBOX_LOST_AGE] = "age",
    [OUTBOX_LOST_DEAD] = "dead",       [OUTBOX_LOST_DISK] = "disk",
    [OUTBOX_LOST_CORRUPT] = "corrupt", [OUTBOX_LOST_PURGED] = "purged",
    [OUTBOX_LOST_BURST] = "burst",     [OUTBOX_LOST_THINNED] = "thinned",
    [OUTBOX_LOST_NO_ROOM] = "no-room",
};

const char *outbox_lane_name(enum outbox_lane lane)
{
    return (unsigned)lane < OUTBOX_LANES ? lane_names[lane] : "all";
}

bool outbox_lane_parse(struct sl_slice name, enum outbox_lane *ret)
{
    for (int i = 0; i < OUTBOX_LANES; i++) {
        if (!sl_slice_eq(name, sl_str(lane_names[i])))
            continue;
        *ret = (enum outbox_lane)i;
        return true;
    }
    return false;
}

const char *outbox_loss_name(enum outbox_loss why)
{
    return (unsigned)why < OUTBOX_LOSSES ? loss_names[why] : "unknown";
}
