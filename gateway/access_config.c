/* access_config.c - the access list made from the configuration, and entries that never apply. */
#include "access_config.h"

#include <stdio.h>
#include <stdlib.h>

enum sl_code access_list(const struct config *c, struct acl **ret, struct sl_err *err)
{
    size_t count = c->access.acl_count;
    *ret = NULL;
    if (!c->access.acl_set)
        return SL_OK;
    struct acl_entry_options *entries = calloc(count + 1, sizeof *entries);
    for (size_t i = 0; entries && i < count; i++) {
        const struct config_acl *e = &c->access.acl[i];
        entries[i] = (struct acl_entry_options){
            .user = e->user,
            .anonymous = e->anonymous,
            .deny = (const char *const *)e->deny,
            .publish = (const char *const *)e->publish,
            .subscribe = (const char *const *)e->subscribe,
        };
    }
    *ret = entries ? acl_new(entries, count) : NULL;
    free(entries);
    return *ret ? SL_OK : sl_fail(err, SL_NOMEM, "access.acl: out of memory");
}

/* ---- entries that never apply ---- */

/* A '*' in the later one's name can only be taken by a '*'. */
static bool speaks_for_all_of(const struct config_acl *earlier, const struct config_acl *later)
{
    if (earlier->user)
        return later->user && acl_user_fits(sl_str(earlier->user), sl_str(later->user));
    return !earlier->anonymous || later->anonymous;
}

/* Names are left as they stand, so what holds a '%' only covers what is decided the same way. */
static bool list_covers(char *const *list, const char *pattern, bool same_kind)
{
    for (; list && *list; list++)
        if ((same_kind || !strchr(*list, '%')) && acl_fits(sl_str(*list), sl_str(pattern)))
            return true;
    return false;
}

enum kind { DENY, PUBLISH, SUBSCRIBE };

static bool decides(const struct config_acl *earlier, enum kind kind, const char *pattern)
{
    switch (kind) {
    case DENY:
        return list_covers(earlier->deny, pattern, true) ||
               (list_covers(earlier->publish, pattern, false) &&
                list_covers(earlier->subscribe, pattern, false));
    case PUBLISH:
        return list_covers(earlier->deny, pattern, false) ||
               list_covers(earlier->publish, pattern, true);
    case SUBSCRIBE:
        return list_covers(earlier->deny, pattern, false) ||
               list_covers(earlier->subscribe, pattern, true);
    }
    return false;
}

static bool all_decided(const struct config_acl *earlier, enum kind kind, char *const *list,
                        bool *ret_any)
{
    for (; list && *list; list++) {
        *ret_any = true;
        if (!decides(earlier, kind, *list))
            return false;
    }
    return true;
}

/* Whether the later entry never comes to decide. */
static bool covers(const struct config_acl *earlier, const struct config_acl *later)
{
    bool any = false;
    return speaks_for_all_of(earlier, later) && all_decided(earlier, DENY, later->deny, &any) &&
           all_decided(earlier, PUBLISH, later->publish, &any) &&
           all_decided(earlier, SUBSCRIBE, later->subscribe, &any) && any;
}

void config_check_access(const struct config *c, struct config_problems *problems)
{
    for (size_t i = 1; i < c->access.acl_count; i++)
        for (size_t before = 0; before < i; before++) {
            char path[48];
            if (!covers(&c->access.acl[before], &c->access.acl[i]))
                continue;
            (void)snprintf(path, sizeof path, "access.acl[%zu]", i);
            config_report(problems, true, c->access.acl[i].place, path,
                          "never applies: access.acl[%zu] decides all of it before", before);
            break;
        }
    config_problems_sort(problems);
}
