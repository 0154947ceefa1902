/* tls_pair.c - two ends of a TLS connection in memory, for tests. */
#include "tls_pair.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char certs[] = "/tmp/sluice-tls-XXXXXX";
static time_t time_offset;

time_t time(time_t *ret)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    now.tv_sec += time_offset;
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

void move_time(int64_t seconds)
{
    time_offset += seconds;
}

void set_time(int64_t when)
{
    time_offset = 0;
    time_offset = when - time(NULL);
}

void set_year(int year) /* 0: the real time */
{
    struct tm tm = { .tm_year = year - 1900, .tm_mday = 15 };
    time_offset = 0;
    if (year != 0)
        time_offset = timegm(&tm) - time(NULL);
}

/* "NAME.EXT" in the folder of certificates; the caller frees. */
static char *file(const char *name, const char *ext)
{
    char *path = NULL;
    if (name)
        assert_true(asprintf(&path, "%s/%s.%s", certs, name, ext) > 0);
    return path;
}

enum sl_code try_context(bool server, const struct side *side, struct tls_context **ret,
                         struct sl_err *err)
{
    char *paths[] = { file(side->cert, "crt"), file(side->cert, "key"), file(side->ca, "crt"),
                      file(side->crl, "crl") };
    struct tls_options options = { .server = server,
                                   .cert_path = paths[0],
                                   .key_path = paths[1],
                                   .ca_path = paths[2],
                                   .crl_path = paths[3],
                                   .client_cert = side->client_cert,
                                   .alpn = side->alpn,
                                   .min_version = side->min_version };
    enum sl_code rc = tls_context_new(ret, &options, err);
    for (size_t i = 0; i < SL_ARRAY_LEN(paths); i++)
        free(paths[i]);
    return rc;
}

/* Contexts are made in a year in which the certificate is good: see the cases. */
struct tls_context *context(bool server, const struct side *side, int year)
{
    struct tls_context *c = NULL;
    struct sl_err err = { 0 };
    set_year(year);
    if (try_context(server, side, &c, &err) != SL_OK)
        fail_msg("%s", err.text);
    set_year(0);
    return c;
}

void end_open(struct end *e, struct tls_context *c, const char *name)
{
    *e = (struct end){ 0 };
    if (tls_session_new(&e->session, c, name, &e->err) != SL_OK)
        fail_msg("%s", e->err.text);
    tls_context_unref(c); /* the session holds its own */
}

void end_close(struct end *e)
{
    tls_session_free(e->session);
    sl_buf_free(&e->wire);
    sl_buf_free(&e->plain);
}

void end_feed(struct end *e, struct sl_slice in)
{
    if (e->code != SL_OK)
        return;
    e->code = tls_session_feed(e->session, in, &e->plain, &e->wire, &e->err);
    if (e->code != SL_OK)
        assert_true(strlen(e->err.text) > 0);
}

/* Hands at most step bytes (0: all) from one end to the other; false when there are none. */
bool carry(struct end *from, struct end *to, size_t step)
{
    size_t n = from->wire.len;
    if (n == 0)
        return false;
    if (step > 0 && step < n)
        n = step;
    end_feed(to, sl_bytes(from->wire.ptr, n));
    sl_buf_consume(&from->wire, n);
    return true;
}

void pump(struct pair *p, size_t step)
{
    bool more = true;
    while (more) {
        more = carry(&p->client, &p->server, step);
        more |= carry(&p->server, &p->client, step);
    }
}

void pair_open(struct pair *p, const struct side *client, const struct side *server,
               const char *name)
{
    end_open(&p->client, context(false, client, 0), name);
    end_open(&p->server, context(true, server, 0), NULL);
}

void pair_close(struct pair *p)
{
    end_close(&p->client);
    end_close(&p->server);
    set_year(0);
}

void shake(struct pair *p, size_t step)
{
    end_feed(&p->client, sl_bytes("", 0));
    pump(p, step);
}

void say(struct end *e, struct sl_slice text)
{
    assert_int_equal(tls_session_write(e->session, text, &e->wire, &e->err), SL_OK);
}

void check_end(const struct end *e, const char *says)
{
    if (!says) {
        if (e->code != SL_OK)
            fail_msg("%s", e->err.text);
        assert_true(tls_session_established(e->session));
        return;
    }
    assert_int_equal(e->code, SL_TLS);
    /* Mbed TLS 3 seals some TLS 1.3 alerts so that its own peer cannot open them. */
    bool sealed = strcmp(tls_session_version(e->session), "TLSv1.3") == 0 &&
                  strstr(e->err.text, "ended the handshake without a readable reason") != NULL;
    if (!sealed && !strstr(e->err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e->err.text, says);
}

/* ---- certificates ---- */

const char *tls_pair_folder(void)
{
    return certs;
}

int tls_pair_make_certs(void **state)
{
    (void)state;
    if (!mkdtemp(certs) || testing_shell("%s %s", SLUICE_MAKE_CERTS, certs) != 0)
        return -1;
    return testing_shell(
        "cd %s && : >empty.crt && : >empty.key && "
        "head -c 2000 /dev/urandom >noise.crt && cp noise.crt noise.crl && cp server.key "
        "noise.key && "
        "cp server.crt noise-key.crt && head -c 2000 /dev/urandom >noise-key.key && "
        "cp server.crt mixed.crt && cp device.key mixed.key && "
        "head -c 300 server.crt >half.crt && cp server.key half.key && "
        "cp server.crt locked.crt && "
        "openssl ec -in server.key -aes128 -passout pass:x -out locked.key 2>/dev/null && "
        "openssl x509 -in server.crt -outform DER -out der.crt && "
        "openssl pkey -in server.key -outform DER -out der.key",
        certs);
}

int tls_pair_remove_certs(void **state)
{
    (void)state;
    return testing_shell("rm -rf %s", certs);
}
