// SPDX-License-Identifier: Apache-2.0
//
// The forge's keys as signers.
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/forge.h"

struct sign_signer *forge_signer(unsigned n) {
    struct err e = ERR_NONE;
    struct keys_pub pub;
    struct sign_signer *signer = NULL;
    struct keys_secret *secret = forge_key(n, &pub);
    if (sign_signer_from_seed(&secret, &pub, &signer, &e) < 0) {
        (void)fprintf(stderr, "forge: a signer: %s\n", e.text);
        abort();
    }
    return signer;
}
