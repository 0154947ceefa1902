/* db_peek.c - how many messages wait in a database that cannot be written, on a disk that is
 * read-only, say: they cannot be sent before it can, since nothing would remember that they were.
 */
#include "db_private.h"

uint64_t db_count_kept(const char *path)
{
    struct sql sql;
    struct sl_err ignored; /* nobody knows then how many there are */
    int version;
    int64_t rows = 0;
    enum sl_code code = sql_connect_to_look(&sql, path, &ignored);
    if (code == SL_OK)
        code = sql_check_identity(&sql, DB_APPLICATION_ID, DB_VERSION, &version, &ignored);
    if (code == SL_OK)
        code = sql_int(&sql, "SELECT sum(rows) FROM lane", &rows, &ignored);
    sql_close(&sql);
    return code == SL_OK && rows > 0 ? (uint64_t)rows : 0;
}
