// SPDX-License-Identifier: Apache-2.0
//
// Reading the plain settings by their table, and the whole of the configuration; the structured
// ones are in config_parts.c.
#include "agent/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/config_parts.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"

enum row_type { TEXT, PATH, U64, BOOL };

struct row {
    const char *name;
    enum row_type type;
    size_t offset;
    const char *text; // default of TEXT and PATH
    uint64_t number;  // default of U64 and BOOL
    uint64_t least;
    uint64_t most;
    bool required;
};

#define DEFAULT_TEXT(fallback) .text = (fallback), .required = (fallback) == NULL
#define DEFAULT_PATH(fallback) DEFAULT_TEXT(fallback)
#define DEFAULT_U64(fallback)  .number = (fallback)
#define DEFAULT_BOOL(fallback) .number = (fallback)
#define X(name_, type_, fallback_, min_, max_, unit_, help_)                                       \
    {.name = #name_,                                                                               \
     .type = type_,                                                                                \
     .offset = offsetof(struct agent_config, name_),                                               \
     .least = (min_),                                                                              \
     .most = (max_),                                                                               \
     DEFAULT_##type_(fallback_)},
static const struct row rows[] = {AGENT_CONFIG_TABLE(X)};
#undef X
#define ROWS (sizeof rows / sizeof rows[0])

#define X(name, type, fallback, min, max, unit, help) #name,
static const char *const known[] = {AGENT_CONFIG_TABLE(X) AGENT_CONFIG_PARTS NULL};
#undef X

static const struct doc_limits limits = {
    .bytes = AGENT_CONFIG_MAX_BYTES, .depth = 8, .values = 4096, .floats = false};

static int read_text(struct agent_config *c, const struct doc_at *at, const struct row *row,
                     struct err *e) {
    const char *text = row->text;
    int found = row->required ? doc_string(at, row->name, row->most, &text, e)
                              : doc_string_opt(at, row->name, row->most, &text, e);
    if (found < 0)
        return -1;
    if (strlen(text) < row->least)
        return err_set(e, &err_config, "%s: %s: must not be empty", at->path, row->name);
    if (row->type == PATH && agent_config_parts_settle(c, at, row->name, &text, e) < 0)
        return -1;
    memcpy((char *)c + row->offset, &text, sizeof text);
    return 0;
}

static int read_row(struct agent_config *c, const struct doc_at *at, const struct row *row,
                    struct err *e) {
    uint64_t number = row->number;
    bool flag = row->number != 0;
    switch (row->type) {
    case TEXT:
    case PATH:
        return read_text(c, at, row, e);
    case U64:
        if (doc_u64_opt(at, row->name, row->least, row->most, &number, e) < 0)
            return -1;
        memcpy((char *)c + row->offset, &number, sizeof number);
        return 0;
    case BOOL:
        if (doc_bool_opt(at, row->name, &flag, e) < 0)
            return -1;
        memcpy((char *)c + row->offset, &flag, sizeof flag);
        return 0;
    }
    return err_set(e, &err_internal, "a row of the configuration has no type");
}

// Refuses unknown keys, or notes and removes them one by one.
static int settle_unknown(const struct doc_at *at, enum agent_config_mode mode,
                          struct buf *warnings, struct err *e) {
    const char *unknown;
    if (mode == AGENT_CONFIG_STRICT)
        return doc_no_unknown(at, known, e);
    while (doc_find_unknown(at, known, &unknown) == 1) {
        struct err refused = ERR_NONE;
        (void)doc_no_unknown(at, known, &refused);
        if (buf_add_format(warnings, e, "%s (ignored)\n", refused.text) < 0)
            return -1;
        if (json_object_del(at->value, unknown) < 0)
            return err_set(e, &err_internal, "an unknown key cannot be removed");
    }
    return 0;
}

static int read_document(const struct doc_at *at, enum agent_config_mode mode, struct buf *warnings,
                         struct agent_config *c, struct err *e) {
    if (settle_unknown(at, mode, warnings, e) < 0)
        return -1;
    for (size_t i = 0; i < ROWS; i++) {
        if (read_row(c, at, &rows[i], e) < 0)
            return -1;
    }
    return agent_config_parts_read(at, c, e);
}

static int folder_of(const char *path, char **ret, struct err *e) {
    OWN(mem) char *whole = realpath(path, NULL);
    if (!whole)
        return err_errno(e, errno, "configuration %s", path);
    char *slash = strrchr(whole, '/');
    if (slash == whole)
        slash++;
    *slash = '\0';
    *ret = own_take(&whole);
    return 0;
}

int agent_config_read(const char *path, enum agent_config_mode mode, struct buf *warnings,
                      struct agent_config *ret, struct err *e) {
    struct agent_config config = {.timezone = ""};
    OWN(buf) struct buf text;
    struct doc_at at;
    buf_init(&text, AGENT_CONFIG_MAX_BYTES);
    if (fs_read_file(AT_FDCWD, path, AGENT_CONFIG_MAX_BYTES, &text, e) < 0 ||
        folder_of(path, &config.folder, e) < 0)
        return -1;
    struct slice slice = {.data = text.data, .len = text.len};
    if (doc_parse(slice, path, &limits, &config.document, e) < 0 ||
        doc_root(config.document, path, &at, e) < 0 ||
        read_document(&at, mode, warnings, &config, e) < 0) {
        agent_config_clear(&config);
        // Whatever the reader calls it, for a script it is a wrong configuration.
        if (err_is(e, &err_syntax) || err_is(e, &err_limit))
            e->kind = &err_config;
        return -1;
    }
    *ret = config;
    return 0;
}

void agent_config_clear(struct agent_config *config) {
    json_decref(config->document);
    free(config->folder);
    config->document = NULL;
    config->folder = NULL;
}

const struct agent_config_runner *agent_config_runner(const struct agent_config *config,
                                                      const char *name) {
    for (size_t i = 0; i < config->n_runners; i++) {
        if (strcmp(config->runners[i].name, name) == 0)
            return &config->runners[i];
    }
    return NULL;
}

const struct agent_config_slots *agent_config_slots(const struct agent_config *config,
                                                    const char *component) {
    for (size_t i = 0; i < config->n_slots; i++) {
        if (strcmp(config->slots[i].component, component) == 0)
            return &config->slots[i];
    }
    return NULL;
}

const struct agent_config_hook *agent_config_hook(const struct agent_config *config,
                                                  const char *component) {
    for (size_t i = 0; i < config->n_hooks; i++) {
        if (strcmp(config->hooks[i].component, component) == 0)
            return &config->hooks[i];
    }
    return NULL;
}

static json_t *row_value(const struct agent_config *c, const struct row *row) {
    const char *at = (const char *)c + row->offset;
    const char *text;
    uint64_t number;
    bool flag;
    switch (row->type) {
    case TEXT:
    case PATH:
        memcpy(&text, at, sizeof text);
        // A URL may have somebody's password in it.
        return json_string((strcmp(row->name, "enroll_token") == 0 && text[0]) ||
                                   (row->type == TEXT && strchr(text, '@'))
                               ? "(set)"
                               : text);
    case U64:
        memcpy(&number, at, sizeof number);
        return json_integer((json_int_t)number);
    case BOOL:
        memcpy(&flag, at, sizeof flag);
        return json_boolean(flag);
    }
    return NULL;
}

json_t *agent_config_effective(const struct agent_config *config) {
    static const char *const parts[] = {AGENT_CONFIG_PARTS NULL};
    OWN(json) json_t *object = json_object();
    for (size_t i = 0; object && i < ROWS; i++) {
        if (json_object_set_new(object, rows[i].name, row_value(config, &rows[i])) < 0)
            return NULL;
    }
    for (size_t i = 0; object && parts[i]; i++) {
        json_t *part = json_object_get(config->document, parts[i]);
        if (part && json_object_set(object, parts[i], part) < 0)
            return NULL;
    }
    return own_take(&object);
}

const char *agent_config_endpoint(const struct agent_config *config, const char *name) {
    for (size_t i = 0; i < config->n_endpoints; i++) {
        if (strcmp(config->endpoints[i].name, name) == 0)
            return config->endpoints[i].url;
    }
    return NULL;
}
