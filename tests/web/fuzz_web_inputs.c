/* fuzz_web_inputs.c - bytes as each of the things a browser sends; the first one picks which. */
#include "inputs.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void basic(struct sl_slice in)
{
    struct sl_buf plain = { 0 };
    struct sl_slice user, password;
    if (input_basic(in, &plain, &user, &password)) {
        assert(user.len > 0 && user.len <= INPUT_USER_MAX && password.len <= INPUT_PASSWORD_MAX);
        assert(user.len + 1 + password.len == plain.len);
    }
    sl_buf_free(&plain);
}

static void watch(struct sl_slice in)
{
    struct input_watch w = { 0 };
    const char *why = NULL;
    if (input_watch_parse(in, &w, &why)) {
        assert(w.count <= INPUT_FILTERS_MAX);
        input_watch_release(&w);
    } else {
        assert(why);
    }
}

static void message(struct sl_slice in)
{
    struct sl_buf out = { 0 };
    size_t cut = in.len / 3;
    input_message_json(&out, sl_bytes(in.ptr, cut), sl_bytes(in.ptr + cut, in.len - cut), 1, true);
    assert(!out.failed && sl_utf8_valid(sl_buf_slice(&out)));
    sl_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sl_slice in = sl_bytes(data + 1, size - 1);
    size_t cut = in.len / 2;
    struct sl_slice half = sl_bytes(in.ptr, cut), rest = sl_bytes(in.ptr + cut, in.len - cut);
    switch (data[0] % 5) {
    case 0: basic(in); break;
    case 1: watch(in); break;
    case 2: message(in); break;
    case 3: (void)input_same_origin(half, rest); break;
    case 4: (void)input_etag_match(half, rest); break;
    }
    return 0;
}
