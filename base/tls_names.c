/* tls_names.c - the names in a certificate. Reads the Subject Alternative Name extension itself,
 * because Mbed TLS 2.28 keeps only the DNS names of it. No I/O, no state. */
#include "tls_internal.h"

#include <arpa/inet.h>
#include <mbedtls/oid.h>
#include <stdio.h>

#define DER_OCTETS   0x04
#define DER_OID      0x06
#define DER_SEQUENCE 0x30
#define SAN_DNS      0x82 /* [2] IA5String */
#define SAN_ADDRESS  0x87 /* [7] OCTET STRING */

#define HOSTS_SHOWN      6
#define HOST_BYTES_SHOWN 80

/* One DER element: tag, definite length, content. Lengths above 65,535 do not occur in certificates
 * that a handshake can carry piecewise like this. */
static bool der_take(struct sl_cursor *c, uint8_t *tag, struct sl_slice *content)
{
    struct sl_cursor at = *c;
    uint8_t first;
    if (!sl_take_u8(&at, tag) || !sl_take_u8(&at, &first))
        return false;
    uint16_t n = first;
    uint8_t low = 0;
    if (first == 0x81) {
        if (!sl_take_u8(&at, &low))
            return false;
        n = low;
    } else if (first == 0x82) {
        if (!sl_take_u16(&at, &n))
            return false;
    } else if (first >= 0x80) {
        return false;
    }
    if (!sl_take(&at, n, content))
        return false;
    *c = at;
    return true;
}

static bool der_take_tag(struct sl_cursor *c, uint8_t want, struct sl_slice *content)
{
    struct sl_cursor at = *c;
    uint8_t tag;
    if (!der_take(&at, &tag, content) || tag != want)
        return false;
    *c = at;
    return true;
}

/* The GeneralNames of the certificate; false when it has none or they make no sense. */
static bool alternative_names(const mbedtls_x509_crt *cert, struct sl_cursor *ret)
{
    struct sl_cursor raw = { cert->v3_ext.p, cert->v3_ext.p ? cert->v3_ext.len : 0 };
    struct sl_slice list, one, oid, value, names;
    if (!der_take_tag(&raw, DER_SEQUENCE, &list))
        return false;
    struct sl_cursor at = sl_cursor(list);
    while (der_take_tag(&at, DER_SEQUENCE, &one)) {
        struct sl_cursor in = sl_cursor(one);
        uint8_t tag;
        if (!der_take_tag(&in, DER_OID, &oid) || !der_take(&in, &tag, &value))
            return false;
        if (tag != DER_OCTETS && !der_take_tag(&in, DER_OCTETS, &value)) /* "critical" came first */
            return false;
        if (!sl_slice_eq(oid, sl_bytes(MBEDTLS_OID_SUBJECT_ALT_NAME,
                                       sizeof MBEDTLS_OID_SUBJECT_ALT_NAME - 1)))
            continue;
        struct sl_cursor inner = sl_cursor(value);
        if (!der_take_tag(&inner, DER_SEQUENCE, &names))
            return false;
        *ret = sl_cursor(names);
        return true;
    }
    return false;
}

bool tls_has_address(const mbedtls_x509_crt *cert, struct sl_slice address)
{
    struct sl_cursor names;
    struct sl_slice name;
    uint8_t tag;
    if (address.len == 0 || !alternative_names(cert, &names))
        return false;
    while (der_take(&names, &tag, &name))
        if (tag == SAN_ADDRESS && sl_slice_eq(name, address))
            return true;
    return false;
}

static bool is_printable(uint8_t c)
{
    return c >= ' ' && c != 0x7f;
}

static void put_shown(struct sl_buf *out, struct sl_slice text)
{
    size_t n = text.len > HOST_BYTES_SHOWN ? HOST_BYTES_SHOWN : text.len;
    for (size_t i = 0; i < n; i++)
        sl_buf_put_u8(out, is_printable(text.ptr[i]) && text.ptr[i] < 0x80 ? text.ptr[i] : '?');
    if (n < text.len)
        sl_buf_put_str(out, "...");
}

static bool put_host(struct sl_buf *out, uint8_t tag, struct sl_slice name, bool first)
{
    char address[INET6_ADDRSTRLEN];
    int family = name.len == 4 ? AF_INET : AF_INET6;
    bool is_address = tag == SAN_ADDRESS && (name.len == 4 || name.len == 16);
    if (!is_address && tag != SAN_DNS)
        return false;
    sl_buf_put_str(out, first ? "" : ", ");
    if (tag == SAN_DNS)
        put_shown(out, name);
    else if (inet_ntop(family, name.ptr, address, sizeof address))
        sl_buf_put_str(out, address);
    return true;
}

void tls_put_hosts(const mbedtls_x509_crt *cert, struct sl_buf *out)
{
    struct sl_cursor names;
    struct sl_slice name;
    uint8_t tag;
    char common[HOST_BYTES_SHOWN];
    if (!alternative_names(cert, &names)) {
        name = tls_subject_name(cert, common, sizeof common);
        sl_buf_put_slice(out, name);
        return;
    }
    unsigned shown = 0, more = 0;
    while (der_take(&names, &tag, &name)) {
        if (shown == HOSTS_SHOWN)
            more += tag == SAN_DNS || tag == SAN_ADDRESS;
        else if (put_host(out, tag, name, shown == 0))
            shown++;
    }
    if (shown == 0)
        sl_buf_put_str(out, "no host at all");
    if (more > 0)
        sl_buf_printf(out, " and %u more", more);
}

/* Into buf with control characters replaced, cut to fit. */
static struct sl_slice shown_copy(struct sl_slice text, char *buf, size_t size)
{
    size_t n = text.len < size ? text.len : size;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = is_printable(text.ptr[i]) ? text.ptr[i] : (uint8_t)'?';
        buf[i] = (char)c;
    }
    return sl_bytes(buf, n);
}

static bool find_common_name(const mbedtls_x509_name *names, struct sl_slice *ret)
{
    for (const mbedtls_x509_name *n = names; n; n = n->next) {
        if (n->oid.p && n->val.p && MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0) {
            *ret = sl_bytes(n->val.p, n->val.len);
            return true;
        }
    }
    return false;
}

static struct sl_slice name_of(const mbedtls_x509_name *names, char *buf, size_t size)
{
    struct sl_slice common;
    if (find_common_name(names, &common) && common.len > 0)
        return shown_copy(common, buf, size);
    char whole[256];
    int n = mbedtls_x509_dn_gets(whole, sizeof whole, names);
    return n > 0 ? shown_copy(sl_bytes(whole, (size_t)n), buf, size) : sl_str("(no name)");
}

struct sl_slice tls_subject_name(const mbedtls_x509_crt *cert, char *buf, size_t size)
{
    return name_of(&cert->subject, buf, size);
}

struct sl_slice tls_issuer_name(const mbedtls_x509_crt *cert, char *buf, size_t size)
{
    return name_of(&cert->issuer, buf, size);
}

struct sl_slice tls_common_name(const mbedtls_x509_crt *cert, char *buf, size_t size)
{
    struct sl_slice common;
    if (!find_common_name(&cert->subject, &common) || common.len > size || !sl_utf8_valid(common))
        return sl_bytes(buf, 0);
    for (size_t i = 0; i < common.len; i++)
        if (!is_printable(common.ptr[i]))
            return sl_bytes(buf, 0);
    memcpy(buf, common.ptr, common.len);
    return sl_bytes(buf, common.len);
}
