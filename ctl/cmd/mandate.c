// SPDX-License-Identifier: Apache-2.0
//
// Mandates, signed.
#include "ctl/cmd/mandate.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/mandate.h"
#include "bundle/target.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/rollout.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "keys/canon.h"

#define SHOWN_BYTES 160

const struct opt cmd_mandate_sign_options[] = {
    CMD_WORKSPACE_OPTION,
    {.name = "root", .value = "FILE", .help = "The root.json to trust (else the workspace's)"},
    CMD_SIGNERS_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    {.name = "through",
     .value = "STAGE",
     .help = "Sign also for the stages behind an approval, up to this one"},
    {.name = "expires", .value = "TIME", .help = "Sign anew, with this end: a time, or a duration"},
    {.name = "merge",
     .repeat = true,
     .value = "PLAN",
     .help = "Also take the signatures of this copy of the plan"},
    {.name = "yes", .help = "Do not ask: what is signed was read before"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "signing a mandate: no memory");
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────

// A plan file, whatever else is in it; *ret is the caller's.
static int read_plan(const char *path, json_t **ret, struct err *e) {
    const struct doc_limits limits = {
        .bytes = CMD_ROLLOUT_PLAN_MAX_BYTES, .depth = 16, .values = 200000};
    OWN(buf) struct buf text;
    OWN(json) json_t *file = NULL;
    buf_init(&text, CMD_ROLLOUT_PLAN_MAX_BYTES);
    if (fs_read_file(AT_FDCWD, path, CMD_ROLLOUT_PLAN_MAX_BYTES, &text, e) < 0 ||
        doc_parse(buf_slice(&text), path, &limits, &file, e) < 0)
        return -1;
    const char *why = json_string_value(json_object_get(file, "mandate_why"));
    char shown[SHOWN_BYTES];
    if (!json_is_object(json_object_get(file, "mandate")))
        return err_set(e, &err_config, "%s holds no mandate to sign%s%s", path, why ? ": " : "",
                       why ? text_safe(why, shown, sizeof shown) : "");
    *ret = own_take(&file);
    return 0;
}

int cmd_mandate_read(const char *path, json_t **ret, struct err *e) {
    OWN(json) json_t *file = NULL;
    if (read_plan(path, &file, e) < 0)
        return -1;
    *ret = json_incref(json_object_get(file, "mandate"));
    return 0;
}

// The envelope as a document to sign: canonical, whatever form the file has.
static int open_envelope(const json_t *envelope, const char *what, struct cmd_document *ret,
                         struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    if (keys_canon_format(envelope, &raw, e) < 0)
        return err_prefix(e, "%s", what);
    return cmd_document_parse_mandate(buf_slice(&raw), what, ret, e);
}

struct signing {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *path, *workspace;
    struct keys_root *root;
    json_t *file;
    struct cmd_document document;
    struct bundle_mandate_unverified *shown; // what the document says
    struct cmd_keyring ring;
    struct cmd_quorum quorum;
    struct cmd_passphrase passphrase;
};

static void clear(struct signing *s) {
    keys_root_free(s->root);
    json_decref(s->file);
    cmd_document_clear(&s->document);
    bundle_mandate_peek_free(s->shown);
    cmd_keyring_clear(&s->ring);
    cmd_passphrase_clear(&s->passphrase);
}

static int open_trust(struct signing *s, struct err *e) {
    const char *file = opt_get(s->args, "root");
    s->workspace = opt_get(s->args, "workspace");
    if (s->workspace && cmd_keyring_open(s->workspace, &s->ring, e) < 0)
        return -1;
    if (file ? cmd_workspace_open_root(AT_FDCWD, file, &s->root, e) < 0
             : s->workspace && cmd_workspace_root(s->workspace, &s->root, e) < 0)
        return -1;
    if (!s->root)
        return err_set(e, &err_usage,
                       "which root do you trust? Give --workspace DIR, or --root FILE with --key "
                       "or --signer");
    if (keys_root_role(s->root, KEYS_ROOT_ROLE_MANDATE)->n_keys > 0)
        return 0;
    return err_set(e, &err_not_found,
                   "the root has no role mandate, so that devices ask for none; edgectl key rotate "
                   "mandate gives it one");
}

static int look(struct signing *s, struct err *e) {
    bundle_mandate_peek_free(s->shown);
    s->shown = NULL;
    return bundle_mandate_peek(buf_slice(&s->document.raw), &s->shown, e);
}

// ── Further stages ──────────────────────────────────────────────────────────────────────────────

static int find_stage(const struct bundle_mandate_content *c, const char *name, size_t *ret,
                      struct err *e) {
    for (size_t i = 0; i < c->n_stages; i++) {
        if (strcmp(c->stages[i].name, name) != 0)
            continue;
        *ret = i;
        return 0;
    }
    char shown[SHOWN_BYTES];
    return err_set(e, &err_not_found, "the plan has no stage \"%s\"",
                   text_safe(name, shown, sizeof shown));
}

static int read_expires(const struct signing *s, int64_t *ret_s, struct err *e) {
    *ret_s = 0;
    return opt_given(s->args, "expires")
               ? cmd_workspace_expires(s->args, chrono_wall_ms(s->context->clock) / 1000, 0, ret_s,
                                       e)
               : 0;
}

// The same mandate for more stages, or with another end, is another one, of a higher version, that
// nobody has signed.
static int widen(struct signing *s, struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(s->shown);
    const char *through = opt_get(s->args, "through");
    size_t stage = c->signed_stages - 1;
    struct cmd_mandate_wider how = {.now_s = chrono_wall_ms(s->context->clock) / 1000};
    struct cmd_document wider = CMD_DOCUMENT_NONE;
    if ((through && find_stage(c, through, &stage, e) < 0) ||
        read_expires(s, &how.expires_s, e) < 0)
        return -1;
    how.signed_stages = stage + 1;
    if (how.signed_stages <= c->signed_stages && how.expires_s == 0)
        return 0;
    if (cmd_mandate_widen(c, &how, s->document.content, e) < 0 ||
        cmd_mandate_make(s->document.content, &wider, e) < 0)
        return err_prefix(e, "%s", s->path);
    cmd_document_clear(&s->document);
    s->document = wider;
    return look(s, e);
}

// ── What the targets say ────────────────────────────────────────────────────────────────────────

struct seen {
    int dir;
    bool any;
    size_t n_bundles;
    char paths[BUNDLE_MANDATE_BUNDLES_MAX][BUNDLE_TARGET_PATH_BYTES];
    bool named[BUNDLE_MANDATE_BUNDLES_MAX];
};

static int look_at_seen(void *context, const char *name, mode_t type, struct err *e) {
    struct seen *seen = context;
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    struct err other = ERR_NONE;
    (void)type;
    (void)e;
    // Snapshots and timestamps are no documents of people.
    if (!text_ends_with(name, ".json") ||
        cmd_document_read(seen->dir, name, &document, &other) != 0 ||
        strcmp(document.type, "targets") != 0)
        return 0;
    seen->any = true;
    for (size_t i = 0; i < seen->n_bundles; i++)
        if (json_object_get(json_object_get(document.content, "targets"), seen->paths[i]))
            seen->named[i] = true;
    return 0;
}

// The newest targets that the workspace verified; none were, where it never spoke to a repository.
int cmd_mandate_check_published(const char *workspace, const struct bundle_mandate_content *c,
                                struct err *e) {
    char path[FS_PATH_BYTES];
    struct bundle_target target;
    struct stat st;
    OWN(fd) int dir = -1;
    (void)snprintf(path, sizeof path, "%s/" CMD_WORKSPACE_SEEN, workspace);
    int found = fs_stat(AT_FDCWD, path, &st, e);
    if (found != 0)
        return found == FS_ABSENT ? 0 : -1;
    OWN(mem) struct seen *seen = calloc(1, sizeof *seen);
    if (!seen)
        return no_memory(e);
    if (fs_open_dir(AT_FDCWD, path, &dir, e) < 0)
        return -1;
    seen->dir = dir;
    seen->n_bundles = c->n_bundles;
    for (size_t i = 0; i < c->n_bundles; i++)
        bundle_target_path(bundle_target_set(&target, c->name, c->release, &c->bundles[i]),
                           seen->paths[i]);
    if (fs_list(dir, ".", look_at_seen, seen, e) < 0)
        return -1;
    for (size_t i = 0; seen->any && i < c->n_bundles; i++)
        if (!seen->named[i])
            return err_set(e, &err_not_published,
                           "the repository's targets, as %s saw them last, do not name %s; what "
                           "nobody published is not signed for",
                           workspace, seen->paths[i]);
    return 0;
}

// ── Showing ─────────────────────────────────────────────────────────────────────────────────────

static double percent_of(uint64_t bound) {
    return (double)bound / (double)UINT64_MAX * 100;
}

const char *cmd_mandate_widest(const struct bundle_mandate_unverified *read, size_t stage,
                               char ret[static CMD_MANDATE_WIDEST_BYTES]) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    uint64_t widest = 0;
    for (size_t i = 0; i < c->n_strata; i++) {
        struct bundle_mandate_stratum one;
        bundle_mandate_peek_stratum(read, i, &one);
        widest = one.bounds[stage] > widest ? one.bounds[stage] : widest;
    }
    if (c->stages[stage].devices)
        (void)snprintf(ret, CMD_MANDATE_WIDEST_BYTES, "%zu named device%s",
                       json_array_size(c->stages[stage].devices),
                       json_array_size(c->stages[stage].devices) == 1 ? "" : "s");
    else if (c->n_strata == 0)
        (void)snprintf(ret, CMD_MANDATE_WIDEST_BYTES, "%.1f %% of devices",
                       percent_of(c->newcomer_bounds[stage]));
    else
        (void)snprintf(ret, CMD_MANDATE_WIDEST_BYTES,
                       "%.1f %% of devices of a kind that nobody counted, at most %.1f %% of those "
                       "of another",
                       percent_of(c->newcomer_bounds[stage]), percent_of(widest));
    return ret;
}

static void show_stage(const struct bundle_mandate_unverified *read, size_t i) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    const struct bundle_mandate_stage *stage = &c->stages[i];
    char name[SHOWN_BYTES], at[CHRONO_TEXT_BYTES], widest[CMD_MANDATE_WIDEST_BYTES];
    (void)printf("  stage %s: ", text_safe(stage->name, name, sizeof name));
    if (i >= c->signed_stages) {
        (void)printf("NOT signed for; it needs a further mandate (--through)\n");
        return;
    }
    (void)printf("%s", cmd_mandate_widest(read, i, widest));
    (void)printf("%s%s", stage->not_before_s ? ", not before " : "",
                 stage->not_before_s ? chrono_format(bundle_mandate_step(stage, 0).from_s, at)
                                     : "");
    if (stage->steps)
        (void)printf(" in %zu steps, all of it from %s on", bundle_mandate_steps(stage) + 1,
                     chrono_format(stage->not_before_s, at));
    (void)putchar('\n');
}

static void show(const struct signing *s) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(s->shown);
    char name[SHOWN_BYTES], text[BUNDLE_PREDICATE_MAX + 1], at[CHRONO_TEXT_BYTES];
    char hex[KEYS_DIGEST_HEX];
    if (opt_given(s->args, "json"))
        return;
    (void)printf("the mandate of rollout %s, version %" PRIu64 ", until %s\n",
                 text_safe(c->rollout, name, sizeof name), c->header.version,
                 chrono_format(c->header.expires_s, at));
    (void)printf("  release %s", text_safe(c->name, name, sizeof name));
    (void)printf(" %s: %zu bundle%s\n", text_safe(c->release, name, sizeof name), c->n_bundles,
                 c->n_bundles == 1 ? "" : "s");
    for (size_t i = 0; i < c->n_bundles; i++)
        (void)printf("    %s\n", keys_digest_hex(&c->bundles[i], hex));
    (void)printf("  devices: %s\n",
                 c->selector[0] ? text_safe(c->selector, text, sizeof text) : "all");
    if (c->site[0])
        (void)printf("  whole sites, by what each device says of itself as %s\n",
                     text_safe(c->site, name, sizeof name));
    for (size_t i = 0; i < c->n_stages; i++)
        show_stage(s->shown, i);
    (void)printf("  at most %" PRIu64 " attempts%s\n", c->attempt_max,
                 c->baseline ? "; afterwards for whoever is selected (baseline)" : "");
    if (c->baseline && c->baseline_not_before_s)
        (void)printf("  the baseline not before %s\n", chrono_format(c->baseline_not_before_s, at));
}

// ── Signing ─────────────────────────────────────────────────────────────────────────────────────

static int merge(struct signing *s, size_t *ret_added, struct err *e) {
    for (size_t i = 0; i < opt_count(s->args, "merge"); i++) {
        const char *path = opt_get_at(s->args, "merge", i);
        OWN(json) json_t *envelope = NULL;
        OWN(document) struct cmd_document other = CMD_DOCUMENT_NONE;
        if (cmd_mandate_read(path, &envelope, e) < 0 ||
            open_envelope(envelope, path, &other, e) < 0 ||
            cmd_document_merge(&s->document, &other, path, &s->quorum.parts[0].role, ret_added, e) <
                0)
            return -1;
    }
    return 0;
}

static int keep(struct signing *s, struct err *e) {
    json_t *envelope = NULL;
    if (cmd_mandate_json(&s->document, &envelope, e) < 0)
        return -1;
    if (json_object_set_new(s->file, "mandate", envelope) < 0)
        return no_memory(e);
    OWN(mem) char *text = json_dumps(s->file, JSON_INDENT(1) | JSON_SORT_KEYS);
    if (!text)
        return no_memory(e);
    return fs_replace(AT_FDCWD, s->path, text, strlen(text), CMD_WORKSPACE_FILE_MODE, e);
}

static int tell(const struct signing *s, size_t added, struct err *e) {
    if (!opt_given(s->args, "json")) {
        cmd_quorum_tell(&s->quorum, &s->ring, s->path, added);
        return 0;
    }
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(s->shown);
    OWN(json)
    json_t *said = json_pack("{s:s,s:s,s:I,s:I,s:I,s:b,s:o}", "file", s->path, "rollout",
                             c->rollout, "version", (json_int_t)c->header.version, "signed_stages",
                             (json_int_t)c->signed_stages, "added", (json_int_t)added, "complete",
                             (int)cmd_quorum_holds(&s->quorum), "signatures",
                             cmd_quorum_json(&s->quorum, &s->ring));
    if (!said)
        return no_memory(e);
    cmd_print_json(said);
    return 0;
}

static int sign(struct signing *s, struct err *e) {
    OWN(fd) int lock = -1;
    size_t merged = 0, added = 0;
    if (open_trust(s, e) < 0 || cmd_pending_lock_beside(s->path, &lock, e) < 0 ||
        read_plan(s->path, &s->file, e) < 0 ||
        open_envelope(json_object_get(s->file, "mandate"), s->path, &s->document, e) < 0 ||
        look(s, e) < 0 || widen(s, e) < 0)
        return -1;
    if (keys_envelope_check_expiry(&s->document.header, "the mandate",
                                   chrono_wall_ms(s->context->clock) / 1000, e) < 0 ||
        (s->workspace &&
         cmd_mandate_check_published(s->workspace, bundle_mandate_peek_content(s->shown), e) < 0) ||
        cmd_quorum_of_role(&s->document, s->path, "the role mandate",
                           keys_root_role(s->root, KEYS_ROOT_ROLE_MANDATE), &s->quorum, e) < 0 ||
        merge(s, &merged, e) < 0)
        return -1;
    show(s);
    const struct cmd_quorum_hand hand = {.context = s->context,
                                         .args = s->args,
                                         .passphrase = &s->passphrase,
                                         .workspace = s->workspace};
    if (cmd_quorum_confirm(s->args, e) < 0 ||
        cmd_quorum_sign(&s->quorum, &s->document, s->path, &hand, &added, e) < 0)
        return -1;
    if (s->quorum.parts[0].tally.valid == 0)
        return err_set(e, &err_usage,
                       "nobody to sign: no key of the role mandate is at hand; give --key FILE or "
                       "--signer COMMAND");
    return keep(s, e) < 0 ? -1 : tell(s, added + merged, e);
}

int cmd_mandate_sign(void *context, const struct opt_args *args, struct err *e) {
    struct signing s = {.context = context, .args = args, .path = opt_operand(args, 0)};
    cmd_passphrase_init(&s.passphrase, args);
    int r = sign(&s, e);
    clear(&s);
    return r < 0 ? err_prefix(e, "rollout sign %s", opt_operand(args, 0)) : 0;
}
