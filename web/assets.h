/* assets.h - the status page's files, built into the program. Static, read only. */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct web_asset {
    const char *path, *type;
    const char *etag; /* with its quotes */
    const uint8_t *ptr;
    size_t len;
};
extern const struct web_asset web_assets[];
extern const size_t web_assets_count;

#endif
