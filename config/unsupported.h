/* unsupported.h - what the interface has and this version has not. Private to config/. */
#ifndef CONFIG_UNSUPPORTED_H
#define CONFIG_UNSUPPORTED_H

#include "reader.h"

/* Complains about node when it asks for such a thing. Called once for every known key. */
void config_check_unsupported(struct config_reader *r, const struct jsonc *node);

#endif
