// SPDX-License-Identifier: Apache-2.0
//
// Signers. Whatever makes a signature, it is checked with the public key before anyone sees it.
#include "keys/sign/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/proc.h"
#include "base/text.h"
#include "keys/kind.h"

#define COMMAND_BYTES    4096
#define WORDS_MAX        64
#define ANSWER_MAX_BYTES 256 // 64 raw, or 128 digits and a line end
#define NOISE_MAX_BYTES  1024
#define SIGNATURE_HEX    (2 * KEYS_ED25519_SIGNATURE_BYTES)

struct sign_signer {
    struct keys_pub pub;
    struct keys_secret *seed; // ours, or NULL:
    char *words;              // the split command, NULs between its words
    const char *argv[WORDS_MAX + 1];
    char *program;              // absolute path of argv[0]
    const struct chrono *clock; // borrowed
    struct sign_pkcs11 *token;  // or a key on a token
};

static struct sign_signer *new_signer(const struct keys_pub *pub, struct err *e) {
    struct sign_signer *signer = calloc(1, sizeof *signer);
    if (!signer) {
        (void)err_set(e, &err_memory, "preparing a signer: out of memory");
        return NULL;
    }
    signer->pub = *pub;
    return signer;
}

static void own_drop_signer(struct sign_signer **signer) {
    sign_signer_free(*signer);
}

int sign_signer_from_seed(struct keys_secret **seed, const struct keys_pub *pub,
                          struct sign_signer **ret, struct err *e) {
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    if (keys_secret_public(*seed, public, e) < 0)
        return -1;
    if (memcmp(public, pub->ed25519, sizeof public) != 0)
        return err_set(e, &err_bad_key, "this secret key is not that of the public key %.8s",
                       pub->id);
    struct sign_signer *signer = new_signer(pub, e);
    if (!signer)
        return -1;
    signer->seed = own_take(seed);
    *ret = signer;
    return 0;
}

int sign_signer_from_pkcs11(const char *uri, const struct sign_pkcs11_pin *pin,
                            struct sign_signer **ret, struct err *e) {
    OWN(pkcs11) struct sign_pkcs11 *token = NULL;
    struct keys_pub pub;
    if (sign_pkcs11_open(uri, pin, &token, &pub, e) < 0)
        return -1;
    struct sign_signer *signer = new_signer(&pub, e);
    if (!signer)
        return -1;
    signer->token = own_take(&token);
    *ret = signer;
    return 0;
}

// ── External programs ────────────────────────────────────────────────────────────────────────────

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n';
}

// Splits in place: words end at blanks, double quotes group (also inside a word) and are dropped.
static int split_words(char *text, const char **argv, struct err *e) {
    size_t n = 0;
    char *from = text;
    char *to = text;
    for (;;) {
        while (is_blank(*from))
            from++;
        if (*from == 0)
            break;
        if (n == WORDS_MAX)
            return err_set(e, &err_usage, "signer command: more than %d words", WORDS_MAX);
        argv[n++] = to;
        bool quoted = false;
        for (; *from && (quoted || !is_blank(*from)); from++) {
            if (*from == '"')
                quoted = !quoted;
            else
                *to++ = *from;
        }
        if (quoted)
            return err_set(e, &err_usage, "signer command: a double quote is not closed");
        if (*from)
            from++; // before the NUL below may overwrite the blank
        *to++ = 0;
    }
    argv[n] = NULL;
    if (n == 0 || argv[0][0] == 0)
        return err_set(e, &err_usage, "signer command: it is empty");
    return 0;
}

static char *join(const char *folder, size_t folder_len, const char *name) {
    char *path = NULL;
    if (asprintf(&path, "%.*s/%s", (int)folder_len, folder, name) < 0)
        return NULL;
    return path;
}

// As a shell would find it: a path as it stands, a bare name in PATH. *ret is the caller's.
static int find_program(const char *name, char **ret, struct err *e) {
    OWN(mem) char *here = NULL;
    OWN(mem) char *path = NULL;
    if (name[0] == '/') {
        path = strdup(name);
    } else if (strchr(name, '/')) {
        here = getcwd(NULL, 0);
        if (here)
            path = join(here, strlen(here), name);
    } else {
        const char *folders = getenv("PATH");
        for (const char *at = folders ? folders : "/usr/bin:/bin"; *at;) {
            size_t len = strcspn(at, ":");
            own_drop_mem(&path);
            path = join(at, len, name);
            if (len > 0 && at[0] == '/' && path && access(path, X_OK) == 0)
                break;
            own_drop_mem(&path);
            at += len + (at[len] == ':');
        }
        if (!path)
            return err_set(e, &err_signer_failed,
                           "signer command: there is no program \"%s\" in PATH", name);
    }
    if (!path)
        return err_set(e, &err_memory, "finding the signer's program: out of memory");
    *ret = own_take(&path);
    return 0;
}

int sign_signer_from_command(const char *command, const struct keys_pub *pub,
                             const struct chrono *clock, struct sign_signer **ret, struct err *e) {
    if (strlen(command) >= COMMAND_BYTES)
        return err_set(e, &err_limit, "signer command: longer than %d bytes", COMMAND_BYTES - 1);
    OWN(signer) struct sign_signer *signer = new_signer(pub, e);
    if (!signer)
        return -1;
    signer->clock = clock;
    signer->words = strdup(command);
    if (!signer->words)
        return err_set(e, &err_memory, "preparing a signer: out of memory");
    if (split_words(signer->words, signer->argv, e) < 0 ||
        find_program(signer->argv[0], &signer->program, e) < 0)
        return -1;
    signer->argv[0] = signer->program;
    *ret = own_take(&signer);
    return 0;
}

// The last line that the program wrote to standard error, for the error text.
static const char *last_line(const struct buf *noise, char *ret, size_t ret_bytes) {
    size_t end = noise->len;
    while (end > 0 && (noise->data[end - 1] == '\n' || noise->data[end - 1] == '\r'))
        end--;
    size_t start = end;
    while (start > 0 && noise->data[start - 1] != '\n' && end - start < 200)
        start--;
    char line[201] = "";
    if (end > start)
        memcpy(line, noise->data + start, end - start);
    return text_safe(line, ret, ret_bytes);
}

static int run(const struct sign_signer *signer, struct slice message, struct buf *answer,
               struct err *e) {
    OWN(buf) struct buf noise;
    buf_init(&noise, NOISE_MAX_BYTES);
    const struct proc_spec spec = {.argv = signer->argv,
                                   .env =
                                       (const char *const *)environ, // a KMS client needs its own
                                   .directory = -1,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1,
                                   .fds = {-1}};
    const struct proc_run how = {.input = message,
                                 .output = answer,
                                 .noise = &noise,
                                 .timeout_ms = SIGN_SIGNER_TIMEOUT_MS,
                                 .clock = signer->clock};
    int status = 0;
    struct err why = ERR_NONE;
    if (proc_run(&spec, &how, &status, &why) < 0)
        return err_set(e, &err_signer_failed, "%s: %s", signer->program, why.text);
    if (status != 0) {
        char ended[64];
        char said[240];
        return err_set(e, &err_signer_failed, "%s: %s; it said: %s", signer->program,
                       proc_describe(status, ended, sizeof ended),
                       last_line(&noise, said, sizeof said));
    }
    return 0;
}

static int decode(const struct buf *answer, const char *program,
                  uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    if (answer->len == KEYS_ED25519_SIGNATURE_BYTES) {
        memcpy(ret, answer->data, answer->len);
        return 0;
    }
    size_t len = answer->len;
    while (len > 0 && (answer->data[len - 1] == '\n' || answer->data[len - 1] == '\r'))
        len--;
    char digits[SIGNATURE_HEX + 1] = "";
    struct err why = ERR_NONE;
    if (len == SIGNATURE_HEX) {
        for (size_t i = 0; i < len; i++) {
            uint8_t c = answer->data[i];
            digits[i] = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
        }
        if (text_unhex(digits, ret, KEYS_ED25519_SIGNATURE_BYTES, "signature", &why) == 0)
            return 0;
    }
    return err_set(
        e, &err_signer_failed,
        "%s: it answered %zu bytes, neither a raw signature (%d bytes) nor its %d hex digits",
        program, answer->len, KEYS_ED25519_SIGNATURE_BYTES, SIGNATURE_HEX);
}

static int ask(const struct sign_signer *signer, struct slice message,
               uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    OWN(buf) struct buf answer;
    buf_init(&answer, ANSWER_MAX_BYTES);
    if (run(signer, message, &answer, e) < 0)
        return -1;
    return decode(&answer, signer->program, ret, e);
}

// ── Signing ──────────────────────────────────────────────────────────────────────────────────────

void sign_signer_free(struct sign_signer *signer) {
    if (!signer)
        return;
    keys_secret_free(signer->seed);
    sign_pkcs11_close(signer->token);
    free(signer->words);
    free(signer->program);
    free(signer);
}

const struct keys_pub *sign_signer_pub(const struct sign_signer *signer) {
    return &signer->pub;
}

static int make(const struct sign_signer *signer, struct slice message,
                uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    if (signer->seed)
        return keys_secret_sign(signer->seed, message, ret, e);
    if (signer->token)
        return sign_pkcs11_sign(signer->token, message, ret, e);
    return ask(signer, message, ret, e);
}

int sign_signer_sign(const struct sign_signer *signer, struct slice message,
                     uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    if (make(signer, message, signature, e) < 0)
        return -1;
    if (!keys_pub_verify(&signer->pub, message, signature))
        return err_set(
            e, &err_bad_signature,
            "%s: what it signed with is not the key %.8s, or it did not sign these bytes",
            signer->program ? signer->program : "signing", signer->pub.id);
    memcpy(ret, signature, sizeof signature);
    return 0;
}

static int sign_into(const struct sign_signer *signer, struct slice message,
                     struct keys_envelope_signature *ret, struct err *e) {
    if (sign_signer_sign(signer, message, ret->sig, e) < 0)
        return -1;
    memcpy(ret->keyid, signer->pub.id, sizeof ret->keyid);
    return 0;
}

int sign_signer_envelope(struct slice signed_part, struct sign_signer *const *signers, size_t n,
                         struct buf *ret, struct err *e) {
    struct keys_envelope_signature signatures[KEYS_ENVELOPE_SIGNATURES_MAX];
    if (n > KEYS_ENVELOPE_SIGNATURES_MAX)
        return err_set(e, &err_limit, "%zu signers; an envelope holds at most %d signatures", n,
                       KEYS_ENVELOPE_SIGNATURES_MAX);
    for (size_t i = 0; i < n; i++)
        if (sign_into(signers[i], signed_part, &signatures[i], e) < 0)
            return -1;
    return keys_envelope_format(signed_part, signatures, n, ret, e);
}

int sign_signer_add(struct slice envelope, const struct sign_signer *signer, struct buf *ret,
                    struct err *e) {
    struct keys_envelope_candidate candidate;
    if (keys_envelope_split(envelope, "envelope", &candidate, e) < 0)
        return -1;
    size_t at = 0;
    while (at < candidate.n_signatures &&
           strcmp(candidate.signatures[at].keyid, signer->pub.id) != 0)
        at++;
    if (at == KEYS_ENVELOPE_SIGNATURES_MAX)
        return err_set(e, &err_limit,
                       "the envelope has %d signatures already, as many as it can hold",
                       KEYS_ENVELOPE_SIGNATURES_MAX);
    if (sign_into(signer, candidate.signed_part, &candidate.signatures[at], e) < 0)
        return -1;
    size_t n = at == candidate.n_signatures ? at + 1 : candidate.n_signatures;
    return keys_envelope_format(candidate.signed_part, candidate.signatures, n, ret, e);
}
