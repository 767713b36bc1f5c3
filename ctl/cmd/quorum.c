// SPDX-License-Identifier: Apache-2.0
//
// Thresholds: met, and by whom; see quorum.h.
#include "ctl/cmd/quorum.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/root_edit.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/workspace.h"

static int tally(struct cmd_quorum *quorum, const struct cmd_document *document, const char *what,
                 struct err *e) {
    for (size_t i = 0; i < quorum->n; i++)
        if (cmd_document_tally(document, what, &quorum->parts[i].role, &quorum->parts[i].tally, e) <
            0)
            return -1;
    return 0;
}

int cmd_quorum_of_root(const struct cmd_document *document, const char *what,
                       const struct keys_root *trusted, struct cmd_quorum *ret, struct err *e) {
    struct cmd_quorum quorum = {.n = 1};
    quorum.parts[0].whose = "the root before";
    quorum.parts[0].role = *keys_root_role(trusted, KEYS_ROOT_ROLE_ROOT);
    quorum.parts[1].whose = "the new root";
    if (cmd_root_edit_role(document->content, "root", &quorum.parts[1].role, e) < 0)
        return err_prefix(e, "%s", what);
    if (keys_role_same(&quorum.parts[0].role, &quorum.parts[1].role))
        quorum.parts[0].whose = "the role root";
    else
        quorum.n = 2;
    if (tally(&quorum, document, what, e) < 0)
        return -1;
    *ret = quorum;
    return 0;
}

int cmd_quorum_of_role(const struct cmd_document *document, const char *what, const char *whose,
                       const struct keys_role *role, struct cmd_quorum *ret, struct err *e) {
    struct cmd_quorum quorum = {.n = 1};
    quorum.parts[0].whose = whose;
    quorum.parts[0].role = *role;
    if (tally(&quorum, document, what, e) < 0)
        return -1;
    *ret = quorum;
    return 0;
}

bool cmd_quorum_holds(const struct cmd_quorum *quorum) {
    bool holds = quorum->n > 0;
    for (size_t i = 0; i < quorum->n; i++) {
        const struct cmd_quorum_part *part = &quorum->parts[i];
        holds = holds && part->role.n_keys > 0 && part->tally.valid >= part->role.threshold;
    }
    return holds;
}

bool cmd_quorum_wants(const struct cmd_quorum *quorum, const struct keys_pub *pub) {
    for (size_t i = 0; i < quorum->n; i++)
        if (keys_role_has(&quorum->parts[i].role, pub->id))
            return true;
    return false;
}

// All --key and --signer must be wanted: who names a key means it.
static int check_given(const struct cmd_quorum *quorum, const struct cmd_signers *signers,
                       const char *what, struct err *e) {
    for (size_t i = 0; i < signers->n; i++) {
        const struct keys_pub *pub = sign_signer_pub(signers->list[i]);
        if (!cmd_quorum_wants(quorum, pub))
            return err_set(e, &err_permission, "key %.8s has no part in %s: it is no key of %s%s%s",
                           pub->id, what, quorum->parts[0].whose, quorum->n > 1 ? " nor of " : "",
                           quorum->n > 1 ? quorum->parts[1].whose : "");
    }
    return 0;
}

static int collect(const struct cmd_quorum *quorum, const char *what,
                   const struct cmd_quorum_hand *hand, struct cmd_signers *signers, struct err *e) {
    const struct keys_role *roles[2] = {&quorum->parts[0].role, &quorum->parts[1].role};
    if (hand->keys_folder)
        return cmd_signers_add_folder(signers, hand->passphrase, hand->workspace, hand->keys_folder,
                                      roles, quorum->n, e);
    if (cmd_signers_collect_given(signers, hand->passphrase, hand->args,
                                  hand->key_option ? hand->key_option : "key", hand->context->clock,
                                  e) < 0)
        return -1;
    if (signers->n > 0 || !hand->workspace)
        return check_given(quorum, signers, what, e);
    return cmd_signers_add_roles(signers, hand->passphrase, hand->workspace, roles, quorum->n, e);
}

int cmd_quorum_check(const struct cmd_quorum *quorum, const char *what,
                     const struct cmd_quorum_hand *hand, struct err *e) {
    OWN(signers) struct cmd_signers signers = CMD_SIGNERS_NONE;
    if (collect(quorum, what, hand, &signers, e) < 0)
        return -1;
    if (signers.n == 0)
        return err_set(e, &err_usage,
                       "nobody to sign %s: %s/" CMD_WORKSPACE_KEYS " holds no key of %s; give "
                       "--key FILE or --signer COMMAND",
                       what, hand->workspace ? hand->workspace : "DIR", quorum->parts[0].whose);
    return 0;
}

int cmd_quorum_sign(struct cmd_quorum *quorum, struct cmd_document *document, const char *what,
                    const struct cmd_quorum_hand *hand, size_t *ret_added, struct err *e) {
    OWN(signers) struct cmd_signers signers = CMD_SIGNERS_NONE;
    size_t added = 0;
    if (collect(quorum, what, hand, &signers, e) < 0)
        return -1;
    for (size_t i = 0; i < signers.n; i++) {
        int r = cmd_document_sign(document, signers.list[i], e);
        if (r < 0)
            return err_prefix(e, "signing %s", what);
        added += r == 0;
    }
    *ret_added = added;
    return tally(quorum, document, what, e);
}

// "0123abcd (alice), 4567cdef" of those that have signed, or have not. Empty when there is none.
enum which { WHO_SIGNED, WHO_IS_MISSING };
static void list_keys(const struct cmd_quorum_part *part, const struct cmd_keyring *ring,
                      enum which which, char *ret, size_t ret_bytes) {
    char label[CMD_KEYRING_LABEL_BYTES];
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < part->role.n_keys && used < ret_bytes; i++) {
        if (part->tally.has[i] != (which == WHO_SIGNED))
            continue;
        int n = snprintf(ret + used, ret_bytes - used, "%s%s", used ? ", " : "",
                         cmd_keyring_label(ring, part->role.keys[i].id, label));
        used += n > 0 ? (size_t)n : 0;
    }
}

void cmd_quorum_print(const struct cmd_quorum *quorum, const struct cmd_keyring *ring) {
    char names[1024];
    for (size_t i = 0; i < quorum->n; i++) {
        const struct cmd_quorum_part *part = &quorum->parts[i];
        (void)printf("  %s: %zu of %zu signatures", part->whose, part->tally.valid,
                     part->role.threshold);
        list_keys(part, ring, WHO_SIGNED, names, sizeof names);
        (void)printf("%s%s", *names ? ", by " : "", names);
        list_keys(part, ring, WHO_IS_MISSING, names, sizeof names);
        if (part->tally.valid < part->role.threshold)
            (void)printf("; missing: %zu of %s", part->role.threshold - part->tally.valid,
                         *names ? names : "nobody: the role has too few keys");
        (void)putchar('\n');
    }
}

int cmd_quorum_confirm(const struct opt_args *args, struct err *e) {
    char answer[16];
    if (opt_given(args, "yes"))
        return 0;
    if (!isatty(STDIN_FILENO))
        return err_set(e, &err_usage,
                       "nobody is here to be asked; --yes signs what was read before (see the "
                       "summary above)");
    (void)fputs("Sign this? [y/N] ", stdout);
    (void)fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return 0;
    return err_set(e, &err_permission, "nothing was signed, as you wished");
}

void cmd_quorum_tell(const struct cmd_quorum *quorum, const struct cmd_keyring *ring,
                     const char *path, size_t added) {
    (void)printf("%s: %zu signature%s added%s\n", path, added, added == 1 ? "" : "s",
                 added == 0 ? "; the keys at hand have signed before" : "");
    cmd_quorum_print(quorum, ring);
}

char *cmd_quorum_missing(const struct cmd_quorum *quorum, const struct cmd_keyring *ring, char *ret,
                         size_t ret_bytes) {
    char names[256];
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < quorum->n && used < ret_bytes; i++) {
        const struct cmd_quorum_part *part = &quorum->parts[i];
        if (part->tally.valid >= part->role.threshold)
            continue;
        size_t more = part->role.threshold - part->tally.valid;
        list_keys(part, ring, WHO_IS_MISSING, names, sizeof names);
        int n = snprintf(ret + used, ret_bytes - used, "%s%zu more signature%s for %s, of %s",
                         used ? "; " : "", more, more == 1 ? "" : "s", part->whose, names);
        used += n > 0 ? (size_t)n : 0;
    }
    return ret;
}

static int add_key(json_t *list, const struct cmd_keyring *ring, const char *keyid) {
    const struct cmd_keyring_key *key = cmd_keyring_find(ring, keyid);
    return json_array_append_new(
        list, json_pack("{s:s,s:s}", "keyid", keyid, "name", key ? key->name : ""));
}

json_t *cmd_quorum_json(const struct cmd_quorum *quorum, const struct cmd_keyring *ring) {
    OWN(json) json_t *all = json_array();
    for (size_t i = 0; i < quorum->n; i++) {
        const struct cmd_quorum_part *part = &quorum->parts[i];
        json_t *signers = json_array(), *missing = json_array();
        for (size_t k = 0; k < part->role.n_keys; k++)
            (void)add_key(part->tally.has[k] ? signers : missing, ring, part->role.keys[k].id);
        if (json_array_append_new(all, json_pack("{s:s,s:I,s:o,s:o}", "of", part->whose,
                                                 "threshold", (json_int_t)part->role.threshold,
                                                 "signed", signers, "missing", missing)) < 0)
            return NULL;
    }
    return own_take(&all);
}
