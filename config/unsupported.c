/* unsupported.c - what the interface has and this version has not: one row each.
 *
 * Whatever bears on security, or without which nothing works, is an error: it must not look as if
 * it were in force. The rest is a warning. A row is deleted when its part is built. */
#include "unsupported.h"

static const struct {
    const char *path;  /* "[]" for any index */
    const char *value; /* of a text or bool; NULL: any but false */
    bool warning;
    const char *text;
} rows[] = {
    { "cloud.provisioning", NULL, true,
      "fleet provisioning is not available in this version: cert and key must be there" },
    { "cloud.shadow", NULL, true, "shadows are not available in this version" },
    { "web.anonymous", "full", true,
      "what would change something is not on the page in this version: it allows no more than "
      "\"read\"" },
    { "cloud.jobs", NULL, true, "jobs are not available in this version" },
    { "cloud.defender", NULL, true, "defender reports are not available in this version" },
};

static bool asks_for(const struct jsonc *node, const char *value)
{
    if (node->type == JSONC_BOOL)
        return node->boolean && (!value || strcmp(value, "true") == 0);
    return !value || (node->type == JSONC_STRING && sl_slice_eq(node->text, sl_str(value)));
}

void config_check_unsupported(struct config_reader *r, const struct jsonc *node)
{
    struct sl_buf path = { 0 };
    jsonc_path(node, true, &path);
    for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
        if (sl_slice_eq(sl_buf_slice(&path), sl_str(rows[i].path)) && asks_for(node, rows[i].value))
            config_complain(r, rows[i].warning, node, NULL, "%s", rows[i].text);
    sl_buf_free(&path);
}
