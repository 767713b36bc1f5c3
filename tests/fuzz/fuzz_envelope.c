// SPDX-License-Identifier: Apache-2.0
//
// Envelopes: what is taken apart lies inside of the input and is written again as the same bytes,
// but for spaces behind; nothing that was not signed verifies.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keys/envelope.h"
#include "tests/unit/keys/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct keys_envelope_candidate *candidate, struct slice raw) {
    OWN(buf) struct buf again;
    struct err e = ERR_NONE;
    buf_init(&again, raw.len + 1);
    if (keys_envelope_format(candidate->signed_part, candidate->signatures, candidate->n_signatures,
                             &again, &e) < 0)
        abort();
    if (again.len > raw.len || memcmp(again.data, raw.data, again.len) != 0)
        abort();
    for (size_t i = again.len; i < raw.len; i++)
        if (raw.data[i] != ' ')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct keys_role role;
    if (role.n_keys == 0)
        role = keyring_role(2, 3);
    const struct slice raw = {data, size};
    struct keys_envelope_candidate candidate;
    struct keys_envelope envelope;
    struct err e = ERR_NONE;
    if (keys_envelope_split(raw, "input", &candidate, &e) < 0) {
        if (!e.kind)
            abort();
        return 0;
    }
    const struct slice part = candidate.signed_part;
    if (part.data < data || part.len > size || part.data + part.len > data + size)
        abort();
    check_same(&candidate, raw);
    if (keys_envelope_verify(&candidate, "input", &role, &envelope, &e) == 0) {
        // Believe it only when enough of the keys sign exactly these bytes.
        size_t true_signatures = 0;
        for (size_t i = 0; i < candidate.n_signatures; i++) {
            for (unsigned n = 1; n <= 3; n++) {
                struct keys_envelope_signature expected;
                keyring_sign(n, envelope.signed_part, &expected);
                true_signatures +=
                    memcmp(&expected, &candidate.signatures[i], sizeof expected) == 0;
            }
        }
        if (true_signatures < 2)
            abort();
    }
    return 0;
}
