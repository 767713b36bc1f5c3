// SPDX-License-Identifier: Apache-2.0
//
// Passphrases from a file, the environment or the terminal; see passphrase.h.
#include "ctl/cmd/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/own.h"
#include "keys/kind.h"

void cmd_passphrase_init(struct cmd_passphrase *p, const struct opt_args *args) {
    *p = (struct cmd_passphrase){.file = opt_get(args, "passphrase-file")};
}

void cmd_passphrase_clear(struct cmd_passphrase *p) {
    keys_secret_free(p->secret);
    keys_secret_free(p->pin);
    p->secret = p->pin = NULL;
}

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    caught = number;
}

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
#define DEADLY (sizeof deadly / sizeof deadly[0])

// A line from the terminal with echo off, which it is before anybody is asked. A signal first puts
// the terminal back and then takes its course: a shell without echo is what people remember of a
// program.
static ssize_t read_hidden(const char *text, const char *what, char *line, size_t line_bytes) {
    struct termios before, hidden;
    struct sigaction old[DEADLY];
    struct sigaction handler = {.sa_handler = on_signal}; // no SA_RESTART: read returns
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -1;
    caught = 0;
    (void)sigemptyset(&handler.sa_mask);
    for (size_t i = 0; i < DEADLY; i++)
        (void)sigaction(deadly[i], &handler, &old[i]);
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    (void)fprintf(stderr, "%s %s: ", text, what);
    (void)fflush(stderr);
    ssize_t got = read(STDIN_FILENO, line, line_bytes);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &before); // what was typed ahead stays
    (void)fputc('\n', stderr);
    for (size_t i = 0; i < DEADLY; i++)
        (void)sigaction(deadly[i], &old[i], NULL);
    if (caught)
        (void)raise(caught);
    return got;
}

static int prompt(const char *text, const char *what, struct keys_secret **ret, struct err *e) {
    char line[SIGN_PASSPHRASE_MAX_BYTES + 2];
    ssize_t got = read_hidden(text, what, line, sizeof line);
    if (got < 0)
        return err_errno(e, errno, "reading the passphrase for %s", what);
    size_t len = (size_t)got;
    if (len > 0 && line[len - 1] == '\n')
        len--;
    if (len > SIGN_PASSPHRASE_MAX_BYTES) {
        explicit_bzero(line, sizeof line);
        return err_set(e, &err_limit, "a passphrase has at most %d bytes",
                       SIGN_PASSPHRASE_MAX_BYTES);
    }
    return keys_secret_take(line, len, ret, e);
}

static bool same(const struct keys_secret *a, const struct keys_secret *b) {
    return keys_secret_len(a) == keys_secret_len(b) &&
           memcmp(keys_secret_data(a), keys_secret_data(b), keys_secret_len(a)) == 0;
}

static int ask(enum cmd_passphrase_use use, const char *what, struct keys_secret **ret,
               struct err *e) {
    OWN(secret) struct keys_secret *first = NULL;
    OWN(secret) struct keys_secret *second = NULL;
    static const struct {
        const char *prompt, *name, *else_do;
    } uses[] = {
        [CMD_PASSPHRASE_OPEN] = {"Passphrase for", "passphrase", ""},
        [CMD_PASSPHRASE_NEW] = {"New passphrase for", "passphrase",
                                ", or --no-passphrase to leave the keys unsealed (for trials)"},
        [CMD_PASSPHRASE_PIN] = {"PIN of token", "PIN", ", or add pin-source=FILE to the key's URI"},
    };
    if (!isatty(STDIN_FILENO))
        return err_set(e, &err_usage,
                       "no %s for %s: give --passphrase-file FILE or set EDGECTL_PASSPHRASE%s",
                       uses[use].name, what, uses[use].else_do);
    if (prompt(uses[use].prompt, what, &first, e) < 0)
        return -1;
    if (use == CMD_PASSPHRASE_NEW) {
        if (prompt("The same again for", what, &second, e) < 0)
            return -1;
        if (!same(first, second))
            return err_set(e, &err_usage, "the two passphrases differ; nothing was made");
    }
    *ret = own_take(&first);
    return 0;
}

static int from_environment(char *value, struct keys_secret **ret, struct err *e) {
    size_t len = strlen(value);
    if (len > SIGN_PASSPHRASE_MAX_BYTES)
        return err_set(e, &err_limit, "EDGECTL_PASSPHRASE: a passphrase has at most %d bytes",
                       SIGN_PASSPHRASE_MAX_BYTES);
    // Wipes it in the environment too: what this command starts does not inherit it.
    return keys_secret_take(value, len, ret, e);
}

int cmd_passphrase_get(struct cmd_passphrase *p, enum cmd_passphrase_use use, const char *what,
                       const struct keys_secret **ret, struct err *e) {
    OWN(secret) struct keys_secret *secret = NULL;
    if (!p->secret) {
        char *value = getenv(CMD_PASSPHRASE_VARIABLE);
        bool typed = !p->file && !(value && *value);
        int r = 0;
        if (p->file)
            r = keys_secret_read(AT_FDCWD, p->file, SIGN_PASSPHRASE_MAX_BYTES, 1, &secret, e);
        else if (value && *value)
            r = from_environment(value, &secret, e);
        else
            r = ask(use, what, &secret, e);
        if (r < 0)
            return -1;
        if (keys_secret_len(secret) == 0)
            return err_set(e, &err_usage, "the passphrase for %s is empty", what);
        p->secret = own_take(&secret);
        p->typed = typed;
    }
    *ret = p->secret;
    return 0;
}

int cmd_passphrase_pin(void *context, const char *token, const struct keys_secret **ret,
                       struct err *e) {
    struct cmd_passphrase *p = context;
    const char *value = getenv(CMD_PASSPHRASE_VARIABLE);
    OWN(secret) struct keys_secret *pin = NULL;
    if (!p->typed && (p->secret || p->file || (value && *value)))
        return cmd_passphrase_get(p, CMD_PASSPHRASE_PIN, token, ret, e);
    if (!p->pin || strcmp(p->token, token) != 0) {
        if (ask(CMD_PASSPHRASE_PIN, token, &pin, e) < 0)
            return -1;
        if (keys_secret_len(pin) == 0)
            return err_set(e, &err_usage, "the PIN of token %s is empty", token);
        keys_secret_free(p->pin);
        p->pin = own_take(&pin);
        (void)snprintf(p->token, sizeof p->token, "%s", token);
    }
    *ret = p->pin;
    return 0;
}

int cmd_passphrase_open_key(struct cmd_passphrase *p, int dir, const char *path,
                            struct keys_secret **ret_seed, struct keys_pub *ret_pub,
                            struct err *e) {
    struct sign_keyfile_info info;
    const struct keys_secret *passphrase = NULL;
    if (sign_keyfile_info(dir, path, &info, e) < 0)
        return -1;
    if (info.sealed && cmd_passphrase_get(p, CMD_PASSPHRASE_OPEN, path, &passphrase, e) < 0)
        return -1;
    return sign_keyfile_open(dir, path, passphrase, ret_seed, ret_pub, e);
}
