// SPDX-License-Identifier: Apache-2.0
//
// Who this device is: its own Ed25519 key, made on the device at the first start and never leaving
// the agent, its id, and the nonce that the controller gave with its last answer (so that a clone
// is noticed).
//
//   private/device.key   the 32 bytes of the seed, 0600
//   private/identity     {"device":…,"nonce":…,"state":"accepted"|"pending"|"rejected"|"unknown"}
#pragma once

#include <stdbool.h>

#include "bundle/checkin.h"
#include "keys/pub.h"
#include "keys/secret.h"

#define AGENT_IDENTITY_STATE_BYTES 16

struct agent_identity {
    struct keys_secret *key; // owned
    struct keys_pub pub;
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char nonce[BUNDLE_NONCE_HEX];
    char state[AGENT_IDENTITY_STATE_BYTES]; // what the controller said at enrolment
};

// Opens, or makes at the first start. `wish` is the id of the configuration, "" for "d-" and 16
// digits of the key's id; an id that the controller gave stays.
int agent_identity_open(int private_dir, const char *wish, struct agent_identity *ret,
                        struct err *e) __attribute__((nonnull));
void agent_identity_clear(struct agent_identity *identity) __attribute__((nonnull));
// Makes device, nonce and state durable.
int agent_identity_save(int private_dir, const struct agent_identity *identity, struct err *e)
    __attribute__((nonnull));
// Signs an enrolment or token challenge for this device.
int agent_identity_sign(const struct agent_identity *identity, const char *context,
                        const char *challenge, const char *device,
                        uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e)
    __attribute__((nonnull));
