#!/bin/sh
# make-certs.sh DIR - a small world of certificates for tests, made on the spot with openssl.
#
#   ca            the CA that the tests trust              other-ca     one that they do not
#   server        localhost, 127.0.0.1, ::1                server-rsa   the same with an RSA key
#   named         gateway.example, *.wild.example          plain-cn     CN=localhost, no alternative names
#   device        CN=device-01, for clients                other-device the same from other-ca
#   expired       as server, until 2020                    future       as server, from 2090
#   expired-device                                         revoked      CN=device-99, listed in ca.crl
#   chained       as server, issued by a sub-CA; chained.crt holds both
#   other-server  as server, from other-ca                 self-signed  as server, by itself
#   nameless      for clients: O=Somebody and an alternative name, no CN
#   until-2040    CN=device-40, for clients, ends at the beginning of 2040
#   future-device as device, from 2085
#   ca.crl        the CA's revocation list                 stale.crl    the same, out of date since 2021
#   future.crl    the same, from 2080 on
#   forged.crl    in the CA's name, not signed by it       other-ca.crl one of the other CA
#
# Each NAME gives NAME.crt and NAME.key. All keys lie there unprotected: for tests only.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
cd "$1"
exec 3>&2 2>make-certs.log # openssl is chatty; its words are shown only when it fails
trap '[ $? -eq 0 ] || cat make-certs.log >&3' EXIT

now_start=20240101000000Z
far_end=20891231235959Z
hosts=DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1

new_key() { # NAME [rsa]
    if [ "${2:-ec}" = rsa ]; then
        openssl genrsa -out "$1.key" 2048
    else
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    fi
    chmod 600 "$1.key"
}

# The little database that "openssl ca" insists on; it alone can set both dates in every version.
new_authority() { # NAME
    : >"$1.index"
    echo 1000 >"$1.serial"
    echo 1000 >"$1.crlnumber"
    cat >"$1.cnf" <<END
[ca]
default_ca = this
[this]
database = $1.index
serial = $1.serial
crlnumber = $1.crlnumber
new_certs_dir = .
certificate = $1.crt
private_key = $1.key
default_md = sha256
default_crl_days = 3650
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = optional
organizationName = optional
END
}

root() { # NAME COMMON_NAME
    new_key "$1"
    openssl req -x509 -new -key "$1.key" -sha256 -days 20000 -subj "/CN=$2" -out "$1.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    new_authority "$1"
}

issue() { # CA NAME COMMON_NAME|/SUBJECT EXTENSIONS [START END [rsa]]
    new_key "$2" "${7:-ec}"
    case $3 in /*) subject=$3 ;; *) subject=/CN=$3 ;; esac
    openssl req -new -key "$2.key" -subj "$subject" -config /dev/null -out "$2.csr" 2>/dev/null ||
        openssl req -new -key "$2.key" -subj "$subject" -out "$2.csr"
    printf '%b' "$4" >"$2.ext"
    openssl ca -batch -notext -config "$1.cnf" -in "$2.csr" -extfile "$2.ext" -out "$2.crt" \
        -startdate "${5:-$now_start}" -enddate "${6:-$far_end}"
    rm -f "$2.csr" "$2.ext"
}

leaf='basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n'
server="${leaf}extendedKeyUsage=serverAuth\nsubjectAltName=$hosts\n"
client="${leaf}extendedKeyUsage=clientAuth\n"

root ca "Sluice test CA"
root other-ca "Some other CA"
issue ca server localhost "$server"
issue ca server-rsa localhost "$server" "$now_start" "$far_end" rsa
issue ca named gateway.example \
    "${leaf}extendedKeyUsage=serverAuth\nsubjectAltName=DNS:gateway.example,DNS:*.wild.example\n"
issue ca plain-cn localhost "${leaf}extendedKeyUsage=serverAuth\n"
issue ca device device-01 "$client"
issue ca expired localhost "$server" 20190101000000Z 20200101000000Z
issue ca future localhost "$server" 20900101000000Z 20950101000000Z
issue ca expired-device device-01 "$client" 20190101000000Z 20200101000000Z
issue ca future-device device-01 "$client" 20850101000000Z 20950101000000Z
issue ca revoked device-99 "$client"
issue other-ca other-device device-01 "$client"
issue other-ca other-server localhost "$server"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self-signed.key -days 20000 \
    -subj /CN=localhost -addext subjectAltName=$hosts -out self-signed.crt
issue ca nameless /O=Somebody "${client}subjectAltName=DNS:device-07\n"
issue ca until-2040 device-40 "$client" "$now_start" 20400101000000Z
issue ca sub-ca "Sluice test sub-CA" \
    'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n'
new_authority sub-ca
issue sub-ca chained localhost "$server"
cat sub-ca.crt >>chained.crt
openssl ca -config ca.cnf -revoke revoked.crt
openssl ca -config ca.cnf -gencrl -out ca.crl
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20210101000000Z -out stale.crl
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20800101000000Z -crl_nextupdate 20810101000000Z -out future.crl
openssl ca -config other-ca.cnf -gencrl -out other-ca.crl
root false-ca "Sluice test CA"
openssl ca -config false-ca.cnf -gencrl -out forged.crl
rm -f false-ca.*
rm -f 10*.pem ./*.index* ./*.serial* ./*.crlnumber* ./*.cnf
