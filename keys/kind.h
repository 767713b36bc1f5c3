// SPDX-License-Identifier: Apache-2.0
//
// The kinds of error that trust has (see base/err.h for what a row means). Exit statuses 20 to 37.
#pragma once

#include "base/err.h"

// clang-format off
#define KEYS_KINDS(X)                                                                                                  \
    X(not_canonical,     20, false, "a signed document is not in canonical form")                                      \
    X(below_threshold,   21, false, "too few valid signatures by distinct keys of the role")                           \
    X(bad_signature,     22, false, "a signature by a known key does not match the bytes")                             \
    X(wrong_type,        23, false, "the signed document is of another type than the one expected here")               \
    X(bad_key,           24, false, "a key is malformed or of an unknown type")                                        \
    X(expired,           25, false, "the signed document has expired")                                                 \
    X(digest_mismatch,   26, false, "bytes do not have the digest that was signed")                                    \
    X(rollback,          27, false, "older than what was accepted before")                                             \
    X(bad_passphrase,    28, false, "the passphrase does not open the key file")                                       \
    X(signer_failed,     29, true,  "the external signing program failed")                                             \
    X(root_chain,        30, false, "a new root is not signed by the old and the new threshold, or skips a version")   \
    X(delegation,        31, false, "a key was used for what it is not trusted with")
// clang-format on

KEYS_KINDS(ERR_DECLARE)

extern const struct err_kind *const keys_kinds[];
