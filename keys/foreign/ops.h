// SPDX-License-Identifier: Apache-2.0
//
// Verification of the signature schemes of others' repositories, by libcrypto: what keys/tuf takes
// as its struct tuf_key_ops. A library of its own, so that what is linked with keys/ alone needs no
// libcrypto; the only place that sees its headers.
//
//   ecdsa_p256   ECDSA with SHA-256 over the named curve P-256; the signature in strict DER
//   rsa_pss      RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt of any length; keys of type
//                rsaEncryption with 2048 to 8192 bits and an odd exponent from 3 to 2^32 - 1
//
// A public key is one PEM block "PUBLIC KEY" (SubjectPublicKeyInfo) of at most TUF_KEY_PUBLIC_MAX
// bytes, with nothing before it and nothing but blanks behind it. Encrypted blocks are refused;
// nobody is ever asked for a passphrase. What is anything else, or of another kind, verifies
// nothing.
//
// Any thread may call these at any time. libcrypto's error queue is as it was before. The first
// call of a process may read libcrypto's configuration file.
#pragma once

#include "keys/tuf/key.h"

extern const struct tuf_key_ops foreign_ops;
