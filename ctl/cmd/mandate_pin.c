// SPDX-License-Identifier: Apache-2.0
//
// The mandate of one device: `edgectl device pin` where devices install nothing without one.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/quorum.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/workspace.h"
#include "keys/canon.h"
#include "keys/kind.h"

// A pin is the operator's word until another one: the mandate lasts as long as people are used to
// renew what they sign.
#define PIN_DEFAULT_S (365LL * 86400)
// Pinning again raises the attempt by one.
#define PIN_ATTEMPTS 1000000

static int find_bundles(const struct cmd_mandate_pin *pin, struct bundle_mandate_content *ret,
                        struct err *e) {
    OWN(json) json_t *release = NULL;
    OWN(buf) struct buf path;
    json_t *one;
    size_t i;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "releases/%/%", pin->name, pin->version) < 0 ||
        cmd_remote_get(pin->args, buf_text(&path), &release, e) < 0)
        return -1;
    json_array_foreach (json_object_get(release, "bundles"), i, one) {
        if (ret->n_bundles == BUNDLE_MANDATE_BUNDLES_MAX)
            return err_set(e, &err_limit, "a mandate names at most %d bundles of a release",
                           BUNDLE_MANDATE_BUNDLES_MAX);
        if (keys_digest_parse(cmd_print_string(one, "id"), "a bundle's id",
                              &ret->bundles[ret->n_bundles], e) < 0)
            return -1;
        ret->n_bundles++;
    }
    return 0;
}

static int fill(const struct cmd_mandate_pin *pin, json_t *devices,
                struct bundle_mandate_content *ret, struct err *e) {
    const struct chrono *clock = pin->context->clock;
    struct keys_header *header = &ret->header;
    if (cmd_workspace_issued(pin->args, clock, &header->issued_s, e) < 0 ||
        cmd_workspace_expires(pin->args, header->issued_s, PIN_DEFAULT_S, &header->expires_s, e) <
            0)
        return -1;
    header->version = (uint64_t)header->issued_s; // rises, wherever it is made
    ret->attempt_max = PIN_ATTEMPTS;
    ret->n_stages = ret->signed_stages = 1;
    (void)snprintf(ret->name, sizeof ret->name, "%s", pin->name);
    (void)snprintf(ret->release, sizeof ret->release, "%s", pin->version);
    (void)snprintf(ret->stages[0].name, sizeof ret->stages[0].name, "pin");
    ret->stages[0].devices = devices;
    return find_bundles(pin, ret, e);
}

// Signed with what is at hand; a threshold that this does not meet is nothing to send.
static int sign(const struct cmd_mandate_pin *pin, const char *workspace,
                const struct keys_role *role, struct cmd_document *io, struct err *e) {
    OWN(keyring) struct cmd_keyring ring = CMD_KEYRING_NONE;
    struct cmd_passphrase passphrase;
    struct cmd_quorum quorum;
    size_t added = 0;
    char missing[SIGN_KEYFILE_NAME_BYTES * 4];
    if (cmd_keyring_open(workspace, &ring, e) < 0 ||
        cmd_quorum_of_role(io, "the mandate", "the role mandate", role, &quorum, e) < 0)
        return -1;
    cmd_passphrase_init(&passphrase, pin->args);
    const struct cmd_quorum_hand hand = {.context = pin->context,
                                         .args = pin->args,
                                         .passphrase = &passphrase,
                                         .workspace = workspace};
    int done = cmd_quorum_sign(&quorum, io, "the mandate", &hand, &added, e);
    cmd_passphrase_clear(&passphrase);
    if (done < 0 || cmd_quorum_holds(&quorum))
        return done;
    return err_set(e, &err_below_threshold, "devices ask for a mandate, and it lacks %s",
                   cmd_quorum_missing(&quorum, &ring, missing, sizeof missing));
}

int cmd_mandate_pin(const struct cmd_mandate_pin *pin, json_t **ret, struct err *e) {
    const char *workspace = opt_get(pin->args, "workspace");
    const struct keys_envelope_signature none = {.keyid = ""};
    OWN(root) struct keys_root *root = NULL;
    OWN(mem) struct bundle_mandate_content *content = calloc(1, sizeof *content);
    OWN(json) json_t *devices = json_pack("[s]", pin->device);
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    OWN(buf) struct buf part, raw;
    buf_init(&part, BUNDLE_MANDATE_MAX_BYTES);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    if (!content || !devices)
        return err_set(e, &err_memory, "making a mandate: no memory");
    if (!workspace)
        return 0;
    if (cmd_workspace_root(workspace, &root, e) < 0)
        return -1;
    const struct keys_role *role = keys_root_role(root, KEYS_ROOT_ROLE_MANDATE);
    if (role->n_keys == 0)
        return 0;
    if (fill(pin, devices, content, e) < 0 || bundle_mandate_format(content, NULL, &part, e) < 0 ||
        keys_envelope_format(buf_slice(&part), &none, 0, &raw, e) < 0 ||
        cmd_document_parse_mandate(buf_slice(&raw), "the mandate", &document, e) < 0 ||
        cmd_mandate_check_published(workspace, content, e) < 0 ||
        sign(pin, workspace, role, &document, e) < 0)
        return -1;
    json_error_t why;
    *ret = json_loadb((const char *)document.raw.data, document.raw.len, 0, &why);
    return *ret ? 0 : err_set(e, &err_memory, "making a mandate: no memory");
}
