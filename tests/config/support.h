/* support.h - what the configuration's tests share: problems as lines, and a folder with the files
 * that configurations name. */
#ifndef TESTS_CONFIG_SUPPORT_H
#define TESTS_CONFIG_SUPPORT_H

#include "config/config.h"

#define SECRET "hunter2-not-to-be-shown"

/* A fresh folder with certificates (cert.pem, key.pem, ca.pem: readable, no more), open-key.pem,
 * users, secret (SECRET and a newline) and more; NULL when it cannot be made. It stays until
 * support_remove(). */
const char *support_folder(void);
void support_remove(void);

/* Writes a file into the folder (folders on the way are made). */
void support_write(const char *name, struct sl_slice content);

/* Parses; the problems as lines "LINE:COL: path: text" ("warning: " before warnings, the
 * folder's name as DIR) go to out.
 * *ret may be NULL. */
enum sl_code support_parse(struct sl_slice text, struct config **ret, struct sl_buf *out);

#endif
