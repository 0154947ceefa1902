/* macros.c - the release functions behind SL_CLEANUP. */
#include "base/macros.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sl_close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* on a way out: nobody left to tell */
    *fd = -1;
}

void sl_free_ptr(void *pp)
{
    void *p;
    memcpy(&p, pp, sizeof p); /* any pointer type, without an aliasing cast */
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof p);
}
