/* fuzz_password.c - password hashes as they stand in a users file, and base64, from hostile text.
 */
#include "base/crypto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_slice text = sl_bytes(data, size);
    struct sl_buf bytes = { 0 }, again = { 0 };
    (void)password_hash_valid(text);
    if (crypto_base64_take(&bytes, text)) {
        crypto_base64_put(&again, sl_buf_slice(&bytes));
        if (again.len != size) /* the last character may hold unused bits, the length may not */
            abort();
    } else if (bytes.len != 0) {
        abort();
    }
    sl_buf_free(&bytes);
    sl_buf_free(&again);
    return 0;
}
