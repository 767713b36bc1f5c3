// SPDX-License-Identifier: Apache-2.0
//
// A TLS server on loopback for one test: openssl(1) with an authority and a certificate made for
// it. It gives one prepared answer to every "GET /x". Everything aborts instead of failing.
#pragma once

#include <stdint.h>

struct tls_server;

// What the server shows about itself.
struct tls_server_certificate {
    const char *name; // subject alternative name as OpenSSL writes it: "IP:127.0.0.1", "DNS:other"
    int64_t from_s;   // Unix times
    int64_t until_s;
};

// answer: the whole HTTP response.
struct tls_server *tls_server_open(const struct tls_server_certificate *how, const char *answer);
void tls_server_close(struct tls_server *server);
// "https://127.0.0.1:PORT/x". Borrowed.
const char *tls_server_url(const struct tls_server *server);
// File with the authority's certificate, which is valid from now on for many years. Borrowed.
const char *tls_server_authority(const struct tls_server *server);
