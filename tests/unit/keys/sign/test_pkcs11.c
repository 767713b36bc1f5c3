// SPDX-License-Identifier: Apache-2.0
//
// Keys on tokens, with a real token: SoftHSM2, made anew for each test in a folder of its own.
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/proc.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"
#include "tests/support/tmp.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

struct hsm {
    struct tmp_dir tmp;
    char conf[TMP_PATH_BYTES + 16];
};

// Runs a shell line; 0 when it succeeded.
static int sh(const char *line) {
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    struct proc_spec spec = proc_spec_none;
    OWN(buf) struct buf out;
    buf_init(&out, 100000);
    spec.argv = argv;
    spec.env = (const char *const *)environ;
    struct proc_run how = {.output = &out, .timeout_ms = 60000, .clock = chrono_system()};
    struct err e = ERR_NONE;
    int status = -1;
    if (proc_run(&spec, &how, &status, &e) < 0)
        return -1;
    return status;
}

static void generate(const char *token, const char *type, const char *label, int id) {
    char line[512];
    (void)snprintf(line, sizeof line,
                   "pkcs11-tool --module " MODULE
                   " --login --pin 1234 --token-label %s --keypairgen "
                   "--key-type %s --label %s --id %02d >/dev/null 2>&1",
                   token, type, label, id);
    cr_assert_eq(sh(line), 0, "%s", line);
}

static void make_token(const char *label) {
    char line[256];
    (void)snprintf(line, sizeof line,
                   "softhsm2-util --init-token --free --label %s --pin 1234 --so-pin 4321 "
                   ">/dev/null 2>&1",
                   label);
    cr_assert_eq(sh(line), 0, "%s", line);
}

static void write_text(const char *path, mode_t mode, const char *text) {
    OWN(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
}

static struct hsm make_hsm(void) {
    struct hsm h = {.tmp = tmp_dir_make()};
    char text[2 * TMP_PATH_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(access(MODULE, R_OK), 0, "softhsm2 is not installed: tests/deps.sh test");
    cr_assert_eq(keys_secret_init(&e), 0);
    (void)snprintf(text, sizeof text, "%s/tokens", h.tmp.path);
    cr_assert_eq(mkdir(text, 0700), 0);
    (void)snprintf(text, sizeof text, "directories.tokendir = %s/tokens\nlog.level = ERROR\n",
                   h.tmp.path);
    (void)snprintf(h.conf, sizeof h.conf, "%s/softhsm.conf", h.tmp.path);
    write_text(h.conf, 0600, text);
    cr_assert_eq(setenv("SOFTHSM2_CONF", h.conf, 1), 0);
    make_token("release");
    return h;
}

static int open_uri(const char *uri, const struct sign_pkcs11_pin *pin, struct sign_signer **ret,
                    struct err *e) {
    char whole[1024];
    (void)snprintf(whole, sizeof whole, "%s%cmodule-path=" MODULE, uri,
                   strchr(uri, '?') ? '&' : '?');
    return sign_signer_from_pkcs11(whole, pin, ret, e);
}

static void refused(const char *uri, const struct err_kind *kind) {
    struct sign_signer *signer = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(open_uri(uri, NULL, &signer, &e), -1, "%s", uri);
    cr_assert_eq(e.kind, kind, "%s: %s: %s", uri, e.kind->name, e.text);
    cr_assert_null(signer);
}

Test(pkcs11, a_key_on_a_token_signs_an_envelope_that_verifies) {
    struct hsm h = make_hsm();
    generate("release", "EC:edwards25519", "targets", 1);
    generate("release", "EC:edwards25519", "other", 2);
    struct err e = ERR_NONE;
    OWN(buf) struct buf envelope;
    buf_init(&envelope, 4096);
    const char *uris[] = {"pkcs11:token=release;object=targets?pin-value=1234",
                          "pkcs11:token=release;id=%01?pin-value=1234",
                          "pkcs11:object=targets;type=private?pin-value=1234"};
    char first[KEYS_ID_HEX] = "";
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct sign_signer *signer = NULL;
        cr_assert_eq(open_uri(uris[i], NULL, &signer, &e), 0, "%s: %s", uris[i], e.text);
        struct keys_role role = {.threshold = 1, .n_keys = 1, .keys = {*sign_signer_pub(signer)}};
        const char *signed_part = "{\"_type\":\"x\"}";
        struct keys_envelope_candidate candidate;
        struct keys_envelope verified;
        buf_clear(&envelope);
        cr_assert_eq(
            sign_signer_envelope((struct slice){(const uint8_t *)signed_part, strlen(signed_part)},
                                 &signer, 1, &envelope, &e),
            0, "%s", e.text);
        cr_assert_eq(keys_envelope_split(buf_slice(&envelope), "test", &candidate, &e), 0);
        cr_assert_eq(keys_envelope_verify(&candidate, "test", &role, &verified, &e), 0, "%s",
                     e.text);
        if (i == 0)
            memcpy(first, role.keys[0].id, sizeof first);
        cr_assert_str_eq(role.keys[0].id, first, "each URI names the same key");
        sign_signer_free(signer);
    }
    tmp_dir_remove(&h.tmp);
}

Test(pkcs11, the_pin_comes_from_a_file_or_is_asked_for) {
    struct hsm h = make_hsm();
    generate("release", "EC:edwards25519", "targets", 1);
    char uri[TMP_PATH_BYTES + 200], path[TMP_PATH_BYTES + 16];
    struct err e = ERR_NONE;
    struct sign_signer *signer = NULL;
    (void)snprintf(path, sizeof path, "%s/pin", h.tmp.path);
    (void)snprintf(uri, sizeof uri, "pkcs11:object=targets?pin-source=file:%s", path);
    write_text(path, 0600, "1234\n");
    cr_assert_eq(open_uri(uri, NULL, &signer, &e), 0, "%s", e.text);
    sign_signer_free(signer);
    write_text(path, 0644, "1234\n");
    refused(uri, &err_permission);
    write_text(path, 0600, "9999\n");
    refused(uri, &err_bad_passphrase);
    cr_assert_eq(unlink(path), 0);
    refused(uri, &err_not_found);
    refused("pkcs11:object=targets", &err_usage);
    tmp_dir_remove(&h.tmp);
}

static int give_pin(void *context, const char *token, const struct keys_secret **ret,
                    struct err *e) {
    (void)e;
    cr_assert_str_eq(token, "release");
    *ret = context;
    return 0;
}

Test(pkcs11, whoever_opens_a_key_may_be_asked_for_its_pin) {
    struct hsm h = make_hsm();
    generate("release", "EC:edwards25519", "targets", 1);
    struct err e = ERR_NONE;
    char digits[] = "1234";
    OWN(secret) struct keys_secret *secret = NULL;
    struct sign_signer *signer = NULL;
    cr_assert_eq(keys_secret_take(digits, 4, &secret, &e), 0);
    struct sign_pkcs11_pin pin = {.ask = give_pin, .context = secret};
    cr_assert_eq(open_uri("pkcs11:object=targets", &pin, &signer, &e), 0, "%s", e.text);
    sign_signer_free(signer);
    tmp_dir_remove(&h.tmp);
}

Test(pkcs11, a_uri_that_names_no_key_or_several_is_refused) {
    struct hsm h = make_hsm();
    generate("release", "EC:edwards25519", "twin", 1);
    generate("release", "EC:edwards25519", "twin", 2);
    generate("release", "EC:prime256v1", "curve", 3);
    refused("pkcs11:object=nothing?pin-value=1234", &err_not_found);
    refused("pkcs11:token=elsewhere;object=twin?pin-value=1234", &err_not_found);
    refused("pkcs11:object=twin?pin-value=1234", &err_usage);
    refused("pkcs11:object=curve?pin-value=1234", &err_bad_key);
    refused("pkcs11:object=twin?pin-value=1", &err_bad_passphrase);
    make_token("second");
    refused("pkcs11:object=twin?pin-value=1234", &err_usage);
    tmp_dir_remove(&h.tmp);
}

Test(pkcs11, what_is_no_such_uri_is_refused) {
    struct err e = ERR_NONE;
    struct sign_signer *signer = NULL;
    cr_assert_eq(keys_secret_init(&e), 0);
    static const struct {
        const char *uri;
        const struct err_kind *kind;
    } rows[] = {
        {"pkcs11:object=%zz", &err_usage},
        {"pkcs11:colour=red", &err_usage},
        {"file:x", &err_usage},
        {"pkcs11:object=x?module-path=/nowhere/module.so", &err_not_found},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err why = ERR_NONE;
        cr_assert_eq(sign_signer_from_pkcs11(rows[i].uri, NULL, &signer, &why), -1);
        cr_assert_eq(why.kind, rows[i].kind, "%s: %s", rows[i].uri, why.text);
    }
    char uri[SIGN_PKCS11_URI_MAX + 2];
    memset(uri, 'a', sizeof uri);
    memcpy(uri, "pkcs11:object=", 14);
    uri[SIGN_PKCS11_URI_MAX + 1] = 0;
    cr_assert_eq(sign_signer_from_pkcs11(uri, NULL, &signer, &e), -1);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    cr_assert(sign_pkcs11_is_uri("pkcs11:object=x") &&
              !sign_pkcs11_is_uri("offline/keys/root.key"));
}
