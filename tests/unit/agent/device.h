// SPDX-License-Identifier: Apache-2.0
//
// A device in a temporary directory, in virtual time, with a download that never leaves the
// process: the engine of agent/update runs on its own loop; instead of a worker, this writes the
// staged files. Bundles have two components, "app" and "model", whose one file says the release, so
// that a mixture of two releases can be seen.
#pragma once

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/checkin/instruction.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "bundle/seal.h"
#include "bundle/target.h"
#include "bundle/tree.h"
#include "keys/canon.h"
#include "tests/support/fake_clock.h"
#include "tests/support/forge.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

#define DEVICE_COMPONENTS 2
static const char *const device_components[DEVICE_COMPONENTS] = {"app", "model"};

struct device {
    struct tmp_dir dir;
    struct fake_clock clock;
    struct agent_config config;
    struct agent_loop loop;
    struct agent_state state;
    struct agent_update *update;
    bool is_open;
    json_t *facts;
    struct buf manifest; // of the bundle that the next download brings
    struct keys_digest bundle;
    char release[16];
    unsigned checkins; // asked for
    bool stop;         // breathe says so
    bool hires;        // downloads by a worker (config.worker), as outside of tests
    // The next downloads end like this, so many of them.
    const struct err_kind *breaks;
    unsigned breaks_left;
    bool after_manifest;   // broken after the manifest was verified
    uint64_t broken_bytes; // what lies there by then
    bool leave_out;        // the model's file is left to the generation before, if that may be used
    const char *lie;       // contents in place of the release
    bool executable;       // as the next manifest says
    // What the repository answers before a swap.
    struct err says;             // kind NULL: it names the bundle
    const json_t *may_component; // as the targets limit it; NULL any
    bool may_not_execute, other_length;
    struct buf mandate; // that comes along with it
    unsigned asked;
    bool holds_back; // the answer is given by device_answer alone
    char asked_path[BUNDLE_TARGET_PATH_BYTES];
    char asked_delta[BUNDLE_TARGET_PATH_BYTES];
    char asked_mandate[BUNDLE_URL_MAX + 1];
};

// What is trusted of the repository, and what the controller says that it has.
static inline void device_trusts(struct device *d, uint64_t snapshot, uint64_t hinted) {
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++)
        d->state.trust.files[i] =
            (struct trust_store_file){.version = snapshot, .expires_s = FORGE_EXPIRES_S};
    d->state.trust.hinted = trust_store_versions(&d->state.trust, d->state.root);
    d->state.trust.hinted.snapshot = hinted;
}

static inline void device_answer(struct device *d) {
    struct keys_envelope_candidate envelope;
    struct trust_verdict verdict = {.document = NULL};
    struct agent_trust_outcome outcome = {
        .why = d->says, .verdict = &verdict, .mandate = buf_slice(&d->mandate)};
    struct err e = ERR_NONE;
    cr_assert_eq(keys_envelope_split(buf_slice(&d->manifest), "it", &envelope, &e), 0);
    verdict.found = d->says.kind == NULL;
    verdict.target = (struct trust_verdict_target){.id = d->bundle,
                                                   .length = envelope.signed_part.len +
                                                             (d->other_length ? 1 : 0),
                                                   .components = d->may_component,
                                                   .executable = !d->may_not_execute};
    d->update->dry ? update_dry_answered(d->update, &outcome)
                   : update_trust_answered(d->update, &outcome);
}

// Stands in for agent/trust.h.
static inline void device_repository(void *context, const struct agent_trust_wanted *wanted) {
    struct device *d = context;
    d->asked++;
    (void)snprintf(d->asked_path, sizeof d->asked_path, "%s", wanted->path);
    (void)snprintf(d->asked_delta, sizeof d->asked_delta, "%s", wanted->delta);
    (void)snprintf(d->asked_mandate, sizeof d->asked_mandate, "%s",
                   wanted->mandate_url ? wanted->mandate_url : "");
    if (!d->holds_back)
        device_answer(d);
}

static inline void device_text(struct keys_digest *digest, const char *release, struct buf *tree) {
    struct bundle_tree_entry entry = {
        .type = BUNDLE_TREE_FILE, .path = "release", .size = strlen(release)};
    struct err e = ERR_NONE;
    keys_digest_of(release, strlen(release), &entry.digest);
    buf_init(tree, 4096);
    cr_assert_eq(bundle_tree_format(&entry, tree, &e), 0, "%s", e.text);
    keys_digest_of(tree->data, tree->len, digest);
}

// The next download brings this release; `more` is merged into the manifest.
static inline void device_release(struct device *d, const char *release, json_t *more) {
    struct err e = ERR_NONE;
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    struct buf tree, signed_part;
    json_t *components = json_array();
    device_text(&digest, release, &tree);
    for (size_t i = 0; i < DEVICE_COMPONENTS; i++)
        json_array_append_new(components,
                              json_pack("{si sb ss si si s{ss sI} ss}", "entries", 1, "executable",
                                        d->executable, "name", device_components[i],
                                        "security_version", 5, "stream_bytes", (int)strlen(release),
                                        "tree", "digest", keys_digest_hex(&digest, hex), "size",
                                        (json_int_t)tree.len, "type", "files"));
    json_t *all = json_pack(
        "{ss so ss ss ss s{si si s{ss si si}} s{si si} ss ss si}", "_type", "bundle", "components",
        components, "expires", "2090-01-01T00:00:00Z", "issued", "2026-01-01T00:00:00Z", "name",
        "thing", "packing", "data_bytes", 100, "frame_bytes", 65536, "index", "digest",
        keys_digest_hex(&digest, hex), "head_bytes", 8192, "size", 16384, "probation", "duration_s",
        60, "restarts_max", 3, "release", release, "spec_version", "1.0", "version", 1);
    cr_assert(all);
    if (more)
        json_object_update(all, more);
    json_decref(more);
    buf_init(&signed_part, 65536);
    cr_assert_eq(keys_canon_format(all, &signed_part, &e), 0, "%s", e.text);
    buf_clear(&d->manifest);
    buf_init(&d->manifest, BUNDLE_MANIFEST_MAX_BYTES);
    cr_assert_eq(bundle_manifest_check((struct slice){signed_part.data, signed_part.len}, &e), 0,
                 "%s", e.text);
    forge_envelope((struct slice){signed_part.data, signed_part.len}, &d->manifest);
    keys_digest_of(signed_part.data, signed_part.len, &d->bundle);
    (void)snprintf(d->release, sizeof d->release, "%s", release);
    json_decref(all);
    buf_clear(&signed_part);
    buf_clear(&tree);
}

static inline int device_stage(struct device *d, struct err *e) {
    struct buf tree;
    struct keys_digest digest;
    OWN(fd) int partial = -1;
    OWN(fd) int edge = -1;
    int done = -1;
    const char *contents = d->lie ? d->lie : d->release;
    device_text(&digest, d->release, &tree);
    if (agent_store_open_partial(&d->state.store, d->state.journal.record.update.target, (uid_t)-1,
                                 (gid_t)-1, &partial, e) < 0 ||
        fs_make_dir(partial, ".edge", 0755, e) < 0 || fs_open_dir(partial, ".edge", &edge, e) < 0)
        goto out;
    for (size_t i = 0; i < DEVICE_COMPONENTS; i++) {
        char name[64];
        OWN(fd) int dir = -1;
        OWN(fd) int file = -1;
        OWN(fd) int list = -1;
        (void)snprintf(name, sizeof name, "%s.tree", device_components[i]);
        bool here = i == 0 || !d->leave_out || d->update->alone;
        if (fs_make_dir(partial, device_components[i], 0755, e) < 0 ||
            fs_open_dir(partial, device_components[i], &dir, e) < 0 ||
            (here && (fs_open_write(dir, "release", 0644, &file, e) < 0 ||
                      fs_pwrite(file, contents, strlen(contents), 0, e) < 0)) ||
            fs_open_write(edge, name, 0644, &list, e) < 0 ||
            fs_pwrite(list, tree.data, tree.len, 0, e) < 0)
            goto out;
    }
    done = 0;
out:
    buf_clear(&tree);
    return done;
}

// Stands in for update_fetch_begin.
static inline void device_fetch(void *context) {
    struct device *d = context;
    struct err e = ERR_NONE;
    struct slice raw = {d->manifest.data, d->manifest.len};
    if (d->update->dry) {
        update_dry_manifest(d->update, raw);
        return;
    }
    update_engine_fire(d->update, FSM_FETCH_BEGUN, NULL);
    if (agent_update_fatal(d->update))
        return;
    d->state.journal.record.update.probation_s = 60;
    d->state.journal.record.update.tries++;
    if (d->breaks_left > 0) {
        d->breaks_left--;
        if (d->after_manifest) {
            cr_assert_eq(update_engine_keep_manifest(d->update, raw, &e), 0, "%s", e.text);
            cr_assert_eq(update_engine_manifest(d->update, &e), 0, "%s", e.text);
        }
        if (d->broken_bytes > 0)
            cr_assert_eq(device_stage(d, &e), 0, "%s", e.text);
        d->update->done_bytes = d->broken_bytes;
        err_set(&e, d->breaks, "broken on purpose");
        update_fetch_failed(d->update, &e, false);
        return;
    }
    if (device_stage(d, &e) < 0 || update_engine_keep_manifest(d->update, raw, &e) < 0)
        update_engine_refuse(d->update, &e);
    else
        update_engine_fire(d->update, FSM_FETCHED, NULL);
}

static inline void device_checkin(void *context) {
    struct device *d = context;
    d->checkins++;
}

static inline int device_breathe(void *context, struct err *e) {
    struct device *d = context;
    return d->stop ? err_set(e, &err_cancelled, "ending") : 0;
}

static inline void device_net(void *context, struct agent_job_net *ret) {
    (void)context;
    memset(ret, 0, sizeof *ret);
}

#define DEVICE_TOKEN "token.of.the.controller"
static inline const char *device_token(void *context) {
    (void)context;
    return DEVICE_TOKEN;
}

// Opens state and engine as the daemon does. < 0 when the (injected) failure of a file kept it from
// it.
static inline int device_open(struct device *d, struct err *e) {
    agent_loop_init(&d->loop, &d->clock.chrono);
    if (agent_state_open(&d->config, &d->clock.chrono, &d->state, e) < 0)
        return -1;
    struct agent_update_host host = {
        .loop = &d->loop,
        .state = &d->state,
        .facts = d->facts,
        .checkin_soon = device_checkin,
        .breathe = device_breathe,
        .fill_net = device_net,
        .token = device_token,
        .context = d,
        .fetch = d->hires ? NULL : device_fetch,
        .ask = d->hires ? NULL : device_repository,
    };
    if (d->state.trust.files[TRUST_STORE_SNAPSHOT].version == 0)
        device_trusts(d, 7, 7);
    cr_assert_eq(agent_update_open(&host, &d->update, e), 0);
    d->is_open = true;
    agent_update_resume(d->update);
    return 0;
}

static inline void device_close(struct device *d) {
    if (!d->is_open)
        return;
    agent_update_close(d->update);
    agent_state_close(&d->state);
    d->update = NULL;
    d->is_open = false;
}

static inline void device_write(struct device *d, const char *name, const void *data, size_t len) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_replace(d->dir.fd, name, data, len, 0644, &e), 0, "%s", e.text);
}

// Provisions a device: keys, root.json, configuration (`settings` merged into it).
static inline void device_make(struct device *d, json_t *settings) {
    struct err e = ERR_NONE;
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_header header = {1, FORGE_ISSUED_S, FORGE_EXPIRES_S};
    struct buf part, raw, warnings;
    char path[TMP_PATH_BYTES + 32];
    memset(d, 0, sizeof *d);
    cr_assert_eq(keys_secret_init(&e), 0);
    agent_log_limit((enum agent_log_level)0);
    tmp_dir_in_memory(); // cuts and kills are made by the seams, not by this machine
    d->dir = tmp_dir_make();
    fake_clock_init(&d->clock, 0, 1000000);
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    roles[KEYS_ROOT_ROLE_MANDATE].n_keys = 0; // as in most roots
    buf_init(&part, 65536);
    buf_init(&raw, 65536);
    buf_init(&warnings, 65536);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope((struct slice){part.data, part.len}, &raw);
    device_write(d, "root.json", raw.data, raw.len);
    json_t *config = json_pack("{ss ss si si}", "state_dir", "state", "root", "root.json",
                               "reserve_bytes", 0, "reserve_inodes", 0);
    if (settings)
        json_object_update(config, settings);
    json_decref(settings);
    char *text = json_dumps(config, 0);
    device_write(d, "agent.json", text, strlen(text));
    (void)snprintf(path, sizeof path, "%s/agent.json", d->dir.path);
    cr_assert_eq(agent_config_read(path, AGENT_CONFIG_STRICT, &warnings, &d->config, &e), 0, "%s",
                 e.text);
    free(text);
    json_decref(config);
    buf_clear(&part);
    buf_clear(&raw);
    buf_clear(&warnings);
    d->facts = json_object();
}

// A device that runs, with nothing installed.
static inline void device_start(struct device *d, json_t *settings) {
    struct err e = ERR_NONE;
    device_make(d, settings);
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
}

static inline void device_restart(struct device *d) {
    struct err e = ERR_NONE;
    device_close(d);
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
}

static inline void device_drop(struct device *d) {
    device_close(d);
    agent_config_clear(&d->config);
    buf_clear(&d->manifest);
    buf_clear(&d->mandate);
    json_decref(d->facts);
    tmp_dir_remove(&d->dir);
}

// Lets virtual time pass until the device is idle and has cleaned up, dead, or nothing moves any
// more.
static inline void device_drive(struct device *d) {
    struct err e = ERR_NONE;
    for (int turn = 0; turn < 2000 && !agent_update_fatal(d->update); turn++) {
        cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
        if (d->state.journal.record.state == FSM_IDLE && d->update->work == 0)
            return;
        fake_clock_advance(&d->clock, 500);
    }
}

// Drives until a state is reached; false when the device died or it never came.
static inline bool device_reach(struct device *d, enum fsm_state state) {
    struct err e = ERR_NONE;
    for (int turn = 0; turn < 2000 && !agent_update_fatal(d->update); turn++) {
        if (d->state.journal.record.state == state)
            return true;
        cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
        fake_clock_advance(&d->clock, 500);
    }
    return false;
}

static inline int device_offer(struct device *d, bool local, struct err *e) {
    struct fsm_update offer = {
        .local = local, .attempt = 1, .has_bundle = true, .bundle = d->bundle, .restarts_max = 3};
    (void)snprintf(offer.name, sizeof offer.name, "thing");
    (void)snprintf(offer.release, sizeof offer.release, "%s", d->release);
    (void)snprintf(offer.url, sizeof offer.url, "%s", local ? "" : "/x.edge");
    return agent_update_offer(d->update, &offer, -1, e);
}

// The release that `current` holds in both components, "" for the empty generation.
static inline const char *device_runs(struct device *d, char ret[static 16]) {
    struct err e = ERR_NONE;
    struct bundle_generation g;
    uint64_t runs;
    cr_assert_eq(agent_store_current(&d->state.store, &runs, &e), 0, "%s", e.text);
    cr_assert_eq(agent_store_verify(&d->state.store, runs, NULL, NULL, &g, &e), 0,
                 "I1: current names a complete, verified generation: %s", e.text);
    ret[0] = '\0';
    for (size_t i = 0; i < g.n_components; i++) {
        cr_assert(i == 0 || strcmp(ret, g.components[i].release) == 0,
                  "I7: components of two releases run together");
        (void)snprintf(ret, 16, "%s", g.components[i].release);
    }
    return ret;
}

// Entries in generations/.
static inline int device_count_entry(void *context, const char *name, mode_t type, struct err *e) {
    size_t *n = context;
    (void)name;
    (void)type;
    (void)e;
    (*n)++;
    return 0;
}

static inline size_t device_generations(struct device *d) {
    struct err e = ERR_NONE;
    size_t n = 0;
    cr_assert_eq(fs_list(d->state.store.generations, ".", device_count_entry, &n, &e), 0);
    return n;
}

static inline void device_install(struct device *d, const char *release, json_t *more) {
    struct err e = ERR_NONE;
    char runs[16];
    device_release(d, release, more);
    cr_assert_eq(device_offer(d, true, &e), 0, "%s", e.text);
    device_drive(d);
    cr_assert_eq(d->state.journal.record.state, FSM_IDLE);
    cr_assert_str_eq(device_runs(d, runs), release);
}

// A device that runs these releases, one installed after the other; "" for none.
static inline void device_start_with(struct device *d, const char *first, const char *second) {
    device_start(d, NULL);
    if (first[0])
        device_install(d, first, NULL);
    if (second[0])
        device_install(d, second, NULL);
}

// Offers the next download and drives until a state is reached.
static inline void device_offer_until(struct device *d, bool local, enum fsm_state state) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_offer(d, local, &e), 0, "%s", e.text);
    cr_assert(device_reach(d, state));
}

// What an operator or the controller asks for.
static inline int device_ask(struct device *d, enum fsm_event ask, struct err *e) {
    struct err why = ERR_NONE;
    if (ask == FSM_ASK_REVERT)
        err_set(&why, &err_rolled_back, "asked");
    if (ask == FSM_ASK_CANCEL)
        err_set(&why, &err_cancelled, "asked");
    return agent_update_ask(d->update, ask, &why, e);
}

// What is asked for is done.
static inline void device_obey(struct device *d, enum fsm_event ask) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_ask(d, ask, &e), 0, "%s", e.text);
}

// A controller's word on the bundle that the next download brings.
static inline struct bundle_instruction device_told(const struct device *d,
                                                    enum bundle_action action, uint64_t sequence) {
    struct bundle_instruction i = {
        .header = {sequence, FORGE_ISSUED_S + 86400, FORGE_ISSUED_S + 86400000},
        .action = action,
        .attempt = 1,
        .bundle = d->bundle,
        .bundle_name = "thing",
        .size = 5000,
        .url = "/x.edge"};
    (void)snprintf(i.release, sizeof i.release, "%s", d->release);
    return i;
}

// An instruction comes from the controller.
static inline int device_send(struct device *d, struct bundle_instruction *i, struct err *e) {
    struct buf part, raw;
    struct err written = ERR_NONE;
    (void)snprintf(i->device, sizeof i->device, "%s", d->state.identity.device);
    buf_init(&part, 65536);
    buf_init(&raw, 65536);
    cr_assert_eq(bundle_instruction_format(i, &part, &written), 0, "%s", written.text);
    forge_envelope((struct slice){part.data, part.len}, &raw);
    err_clear(e);
    int done = checkin_instruction_obey(&d->state, d->update, (struct slice){raw.data, raw.len}, e);
    buf_clear(&part);
    buf_clear(&raw);
    return done;
}

// Opens what is sealed for writing, as who owns it can. Its mode stays: that is not what is to be
// found.
static inline int device_open_sealed(struct device *d, const char *path) {
    struct err e = ERR_NONE;
    OWN(fd) int sealed = -1;
    int file = -1;
    cr_assert_eq(fs_open_read(d->state.store.generations, path, &sealed, &e), 0, "%s", e.text);
    cr_assert_eq(fs_chmod(sealed, 0644, &e), 0, "%s", e.text);
    cr_assert_eq(fs_open_write(d->state.store.generations, path, 0444, &file, &e), 0, "%s", e.text);
    cr_assert_eq(fs_chmod(sealed, 0444, &e), 0, "%s", e.text);
    return file;
}

// Changes what lies below generations/, behind everybody's back.
static inline void device_damage(struct device *d, const char *path) {
    struct err e = ERR_NONE;
    OWN(fd) int file = device_open_sealed(d, path);
    cr_assert_eq(fs_pwrite(file, "6.6", 3, 0, &e), 0);
}
