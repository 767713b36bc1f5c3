// SPDX-License-Identifier: Apache-2.0
//
// Reading a probe out of a manifest: what every probe has, what a probation adds, what each kind
// has. A member that is not of its kind would be an instruction not understood, and is refused.
#include "bundle/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/message.h"
#include "bundle/probe/metric.h"
#include "bundle/tree.h"

#define KNOWN_MAX 24 // members of any probe, and their end

const char *const bundle_probe_kind_names[BUNDLE_PROBE_KINDS] = {
    [BUNDLE_PROBE_EXEC] = "exec",
    [BUNDLE_PROBE_HTTP] = "http",
    [BUNDLE_PROBE_METRIC] = "metric",
    [BUNDLE_PROBE_GOLDEN] = "golden",
};

const char *const bundle_probe_element_names[BUNDLE_PROBE_ELEMENTS] = {
    [BUNDLE_PROBE_F32] = "f32", [BUNDLE_PROBE_F64] = "f64", [BUNDLE_PROBE_I8] = "i8",
    [BUNDLE_PROBE_U8] = "u8",   [BUNDLE_PROBE_I32] = "i32", [BUNDLE_PROBE_TEXT] = "text",
};

static const char *const known_always[] = {"component", "kind", "name", "phase", "timeout_s", NULL};
static const char *const known_after[] = {"start_delay_s", "interval_s", "failures", NULL};
static const char *const known_exec[] = {"runner", "args", NULL};
static const char *const known_http[] = {"url", "status", NULL};
static const char *const known_metric[] = {"source", "metric", "min", "max", NULL};
static const char *const known_golden[] = {
    "runner",         "cases",        "element", "tolerance", "tolerance_relative",
    "latency_p95_us", "memory_bytes", NULL};
static const char *const known_case[] = {"input", "expected", NULL};

static int wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e) {
    return err_set(e, &err_bad_manifest, "%s.%s: expected %s", at->path, key, expected);
}

static int read_word(const struct doc_at *at, const char *key, const char *const *words, size_t n,
                     size_t *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, BUNDLE_NAME_MAX, &text, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    char shown[BUNDLE_NAME_MAX];
    return err_set(e, &err_bad_manifest, "%s.%s: %s is not one this format knows", at->path, key,
                   text_safe(text, shown, sizeof shown));
}

static int read_name(const struct doc_at *at, const char *key, const char **ret, struct err *e) {
    if (doc_string(at, key, BUNDLE_NAME_MAX, ret, e) < 0)
        return -1;
    if (!text_is_name(*ret, BUNDLE_NAME_MAX))
        return wrong(at, key, "a name of letters, digits, '.', '_', '-' and '+'", e);
    return 0;
}

static int read_u64(const struct doc_at *at, const char *key, uint64_t min, uint64_t max,
                    uint64_t absent, uint64_t *ret, struct err *e) {
    uint64_t value = absent;
    if (doc_u64_opt(at, key, min, max, &value, e) < 0)
        return -1;
    *ret = value;
    return 0;
}

// 0, or DOC_ABSENT with *ret as it was.
static int read_decimal(const struct doc_at *at, const char *key, struct decimal *ret,
                        struct err *e) {
    const char *text = NULL;
    int got = doc_string_opt(at, key, NUM_DECIMAL_TEXT, &text, e);
    if (got != 0)
        return got;
    struct err cause = ERR_NONE;
    if (num_parse_decimal(text, key, ret, &cause) < 0)
        return wrong(at, key, "a decimal in quotes, such as \"0.25\"", e);
    return 0;
}

static int refuse_unknown(const struct doc_at *at, const struct bundle_probe *probe,
                          struct err *e) {
    static const char *const *const known_kinds[BUNDLE_PROBE_KINDS] = {
        [BUNDLE_PROBE_EXEC] = known_exec,
        [BUNDLE_PROBE_HTTP] = known_http,
        [BUNDLE_PROBE_METRIC] = known_metric,
        [BUNDLE_PROBE_GOLDEN] = known_golden,
    };
    static const char *const none[] = {NULL};
    const char *const *lists[] = {known_always, probe->after ? known_after : none,
                                  known_kinds[probe->kind]};
    const char *known[KNOWN_MAX];
    size_t n = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (size_t j = 0; lists[i][j]; j++)
            known[n++] = lists[i][j];
    known[n] = NULL;
    return doc_no_unknown(at, known, e);
}

static int parse_common(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    static const char *const phases[] = {"before", "after", "both"};
    size_t kind = 0, phase = 0;
    if (read_word(at, "kind", bundle_probe_kind_names, BUNDLE_PROBE_KINDS, &kind, e) < 0 ||
        read_word(at, "phase", phases, sizeof phases / sizeof phases[0], &phase, e) < 0)
        return -1;
    p->kind = (enum bundle_probe_kind)kind;
    p->before = phase != 1;
    p->after = phase != 0;
    if (refuse_unknown(at, p, e) < 0 || read_name(at, "name", &p->name, e) < 0 ||
        read_name(at, "component", &p->component, e) < 0 ||
        read_u64(at, "timeout_s", 1, BUNDLE_PROBE_TIMEOUT_MAX_S, BUNDLE_PROBE_TIMEOUT_DEFAULT_S,
                 &p->timeout_s, e) < 0)
        return -1;
    if (!p->after)
        return 0;
    if (read_u64(at, "start_delay_s", 0, BUNDLE_PROBE_DELAY_MAX_S, 0, &p->start_delay_s, e) < 0 ||
        read_u64(at, "interval_s", 1, BUNDLE_PROBE_DELAY_MAX_S, BUNDLE_PROBE_INTERVAL_DEFAULT_S,
                 &p->interval_s, e) < 0)
        return -1;
    return read_u64(at, "failures", 1, BUNDLE_PROBE_FAILURES_MAX, BUNDLE_PROBE_FAILURES_DEFAULT,
                    &p->failures, e);
}

static int parse_exec(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    struct doc_at args;
    if (read_name(at, "runner", &p->runner, e) < 0)
        return -1;
    int got = doc_array_opt(at, "args", BUNDLE_PROBE_ARGS_MAX, &args, e);
    if (got != 0)
        return got < 0 ? -1 : 0;
    p->n_args = json_array_size(args.value);
    for (size_t i = 0; i < p->n_args; i++)
        if (doc_element_string(&args, i, BUNDLE_PROBE_ARG_BYTES_MAX, &p->args[i], e) < 0)
            return -1;
    return 0;
}

// http://HOST[:PORT][/…] where HOST can only be this machine. Strict, so that no reader of URLs
// sees another host in it.
static bool is_loopback_url(const char *url) {
    static const char *const hosts[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
    const char *rest = NULL;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0] && !rest; i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
            rest = url + strlen(hosts[i]);
    if (!rest)
        return false;
    if (*rest == ':') {
        size_t digits = strspn(++rest, "0123456789");
        char port[8] = "";
        uint64_t number = 0;
        struct err unused = ERR_NONE;
        if (digits >= sizeof port)
            return false;
        memcpy(port, rest, digits);
        if (num_parse_u64(port, "port", 1, 65535, &number, &unused) < 0)
            return false;
        rest += digits;
    }
    if (*rest && *rest != '/')
        return false;
    for (; *rest; rest++)
        if (*rest <= 0x20 || *rest >= 0x7f || strchr("\\\"<>^`{|}", *rest))
            return false;
    return true;
}

static bool is_file_url(const char *url) {
    static const char scheme[] = "file:/";
    return strncmp(url, scheme, sizeof scheme - 1) == 0 && url[sizeof scheme - 1] &&
           bundle_message_is_line(url);
}

bool bundle_probe_is_source(const char *url) {
    return is_loopback_url(url) || is_file_url(url);
}

const char *bundle_probe_endpoint(const char *url) {
    static const char scheme[] = "endpoint:";
    return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : NULL;
}

static int read_url(const struct doc_at *at, const char *key, bool file_too, const char **ret,
                    struct err *e) {
    if (doc_string(at, key, BUNDLE_URL_MAX, ret, e) < 0)
        return -1;
    const char *endpoint = bundle_probe_endpoint(*ret);
    if (endpoint ? text_is_name(endpoint, BUNDLE_NAME_MAX)
                 : is_loopback_url(*ret) || (file_too && is_file_url(*ret)))
        return 0;
    return wrong(at, key,
                 file_too ? "endpoint:NAME, file:/… or an http:// URL on 127.0.0.1, [::1] or "
                            "localhost"
                          : "endpoint:NAME or an http:// URL on 127.0.0.1, [::1] or localhost",
                 e);
}

static int parse_http(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    if (read_url(at, "url", false, &p->url, e) < 0)
        return -1;
    return read_u64(at, "status", 100, 599, BUNDLE_PROBE_STATUS_DEFAULT, &p->status, e);
}

static int parse_metric(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    if (read_url(at, "source", true, &p->url, e) < 0 ||
        doc_string(at, "metric", BUNDLE_PROBE_METRIC_MAX, &p->metric, e) < 0)
        return -1;
    struct probe_metric metric;
    if (probe_metric_parse(p->metric, &metric, e) < 0)
        return err_prefix(e, "%s", at->path);
    int min = read_decimal(at, "min", &p->min, e);
    int max = min < 0 ? -1 : read_decimal(at, "max", &p->max, e);
    if (max < 0)
        return -1;
    p->has_min = min == 0;
    p->has_max = max == 0;
    if (!p->has_min && !p->has_max)
        return wrong(at, "min, max", "at least one bound", e);
    if (p->has_min && p->has_max && num_compare_decimal(p->min, p->max) > 0)
        return wrong(at, "max", "no less than min", e);
    return 0;
}

static int read_path(const struct doc_at *at, const char *key, const char **ret, struct err *e) {
    if (doc_string(at, key, BUNDLE_PATH_MAX, ret, e) < 0)
        return -1;
    struct err cause = ERR_NONE;
    if (bundle_tree_check_path(*ret, strlen(*ret), &cause) < 0)
        return err_set(e, &err_bad_manifest, "%s.%s: %s", at->path, key, cause.text);
    return 0;
}

static int parse_cases(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    struct doc_at list;
    if (doc_array(at, "cases", BUNDLE_PROBE_CASES_MAX, &list, e) < 0)
        return -1;
    p->n_cases = json_array_size(list.value);
    if (p->n_cases == 0)
        return wrong(at, "cases", "at least one", e);
    p->cases = calloc(p->n_cases, sizeof *p->cases);
    if (!p->cases)
        return err_set(e, &err_memory, "reading a probe: out of memory");
    for (size_t i = 0; i < p->n_cases; i++) {
        struct doc_at one;
        if (doc_element(&list, i, &one, e) < 0 || doc_no_unknown(&one, known_case, e) < 0 ||
            read_path(&one, "input", &p->cases[i].input, e) < 0 ||
            read_path(&one, "expected", &p->cases[i].expected, e) < 0)
            return -1;
    }
    return 0;
}

static int parse_golden(const struct doc_at *at, struct bundle_probe *p, struct err *e) {
    size_t element = 0;
    if (read_name(at, "runner", &p->runner, e) < 0 ||
        read_word(at, "element", bundle_probe_element_names, BUNDLE_PROBE_ELEMENTS, &element, e) <
            0 ||
        read_decimal(at, "tolerance", &p->tolerance, e) < 0 ||
        read_decimal(at, "tolerance_relative", &p->tolerance_relative, e) < 0)
        return -1;
    p->element = (enum bundle_probe_element)element;
    if (p->tolerance.nano < 0 || p->tolerance_relative.nano < 0)
        return wrong(at, "tolerance, tolerance_relative", "decimals that are not negative", e);
    if (p->element == BUNDLE_PROBE_TEXT && (p->tolerance.nano || p->tolerance_relative.nano))
        return wrong(at, "tolerance", "none, for text agrees or does not", e);
    if (read_u64(at, "latency_p95_us", 0, BUNDLE_PROBE_LATENCY_MAX_US, 0, &p->latency_p95_us, e) <
            0 ||
        read_u64(at, "memory_bytes", 0, BUNDLE_PROBE_MEMORY_MAX_BYTES, 0, &p->memory_bytes, e) < 0)
        return -1;
    return parse_cases(at, p, e);
}

int bundle_probe_parse(const struct doc_at *at, struct bundle_probe *ret, struct err *e) {
    static int (*const parse_kind[BUNDLE_PROBE_KINDS])(const struct doc_at *, struct bundle_probe *,
                                                       struct err *) = {
        [BUNDLE_PROBE_EXEC] = parse_exec,
        [BUNDLE_PROBE_HTTP] = parse_http,
        [BUNDLE_PROBE_METRIC] = parse_metric,
        [BUNDLE_PROBE_GOLDEN] = parse_golden,
    };
    struct bundle_probe probe = {.cases = NULL};
    struct err cause = ERR_NONE;
    if (parse_common(at, &probe, &cause) < 0 || parse_kind[probe.kind](at, &probe, &cause) < 0) {
        bundle_probe_clear(&probe);
        return bundle_message_fail(&cause, &err_bad_manifest, e);
    }
    *ret = probe;
    return 0;
}

void bundle_probe_clear(struct bundle_probe *probe) {
    free(probe->cases);
    *probe = (struct bundle_probe){.cases = NULL};
}
