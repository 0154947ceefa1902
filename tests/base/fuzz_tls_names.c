/* fuzz_tls_names.c - a certificate's extensions, as hostile bytes, through our own reader of them.
 */
#include "tls_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* Mbed TLS's field is not const */
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    mbedtls_x509_crt cert;
    mbedtls_x509_crt_init(&cert);
    cert.v3_ext.p = copy;
    cert.v3_ext.len = size;
    struct sl_buf hosts = { 0 };
    tls_put_hosts(&cert, &hosts);
    for (size_t i = 0; i < hosts.len; i++)
        if (hosts.ptr[i] < ' ' || hosts.ptr[i] >= 0x7f)
            abort(); /* it goes into a log */
    (void)tls_has_address(&cert, sl_bytes("\x7f\0\0\1", 4));
    sl_buf_free(&hosts);
    free(copy);
    return 0;
}
