// SPDX-License-Identifier: Apache-2.0
//
// The mandate of one device: `edgectl device pin` where devices install nothing without one.
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/workspace.h"

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

int cmd_mandate_pin(const struct cmd_mandate_pin *pin, json_t **ret, struct err *e) {
    const struct cmd_mandate_hand hand = {
        .context = pin->context, .args = pin->args, .workspace = cmd_mandate_workspace(pin->args)};
    OWN(root) struct keys_root *root = NULL;
    OWN(mem) struct bundle_mandate_content *content = calloc(1, sizeof *content);
    OWN(json) json_t *devices = json_pack("[s]", pin->device);
    OWN(json) json_t *part = NULL;
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MANDATE_MAX_BYTES);
    if (!content || !devices)
        return err_set(e, &err_memory, "making a mandate: no memory");
    if (!hand.workspace)
        return 0;
    int opened = cmd_mandate_open_here(hand.workspace, &root, e);
    if (opened != 0)
        return opened < 0 ? -1 : 0;
    if (fill(pin, devices, content, e) < 0 || bundle_mandate_format(content, NULL, &text, e) < 0)
        return -1;
    part = json_loadb((const char *)text.data, text.len, 0, NULL);
    if (!part)
        return err_set(e, &err_memory, "making a mandate: no memory");
    if (cmd_mandate_make(part, &document, e) < 0 ||
        cmd_mandate_check_published(hand.workspace, content, e) < 0 ||
        cmd_mandate_sign_here(&hand, root, &document, e) < 0)
        return -1;
    return cmd_mandate_json(&document, ret, e);
}
