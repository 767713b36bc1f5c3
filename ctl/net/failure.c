// SPDX-License-Identifier: Apache-2.0
//
// From libcurl's codes and the controller's answers to error kinds.
#include "ctl/net/failure.h"

#include "base/doc.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "keys/kind.h"

const struct err_kind *net_failure_kind(const char *name) {
    const struct err_kind *const *const tables[] = {err_base_kinds, keys_kinds, bundle_kinds,
                                                    ctl_kinds};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const struct err_kind *kind = err_find(tables[i], name);
        if (kind)
            return kind;
    }
    return NULL;
}

static const struct err_kind *kind_of(CURLcode code) {
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return &err_timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return &err_controller_tls;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_PARTIAL_FILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return &err_controller_garbage;
    case CURLE_OUT_OF_MEMORY:
        return &err_memory;
    default:
        return &err_controller_unreachable;
    }
}

static const char *advice(const struct err_kind *kind) {
    if (kind == &err_controller_unreachable)
        return "; is the controller running, and is this its address?";
    if (kind == &err_controller_tls)
        return "; --ca-file names the certificates to trust";
    if (kind == &err_controller_garbage)
        return "; is this the address of a controller?";
    return "";
}

int net_failure_transfer(CURLcode code, const char *detail, const char *url, struct err *e) {
    char shown[200], why[200];
    const struct err_kind *kind = kind_of(code);
    return err_set(e, kind, "%s: %s%s", text_safe(url, shown, sizeof shown),
                   text_safe(*detail ? detail : curl_easy_strerror(code), why, sizeof why),
                   advice(kind));
}

static const struct err_kind *kind_of_status(long status) {
    switch (status) {
    case 400:
    case 411:
        return &err_bad_request;
    case 401:
        return &err_unauthorized;
    case 403:
        return &err_permission;
    case 404:
        return &err_not_found;
    case 409:
        return &err_exists;
    case 413:
        return &err_limit;
    case 429:
        return &err_rate_limited;
    case 502:
    case 504:
        return &err_controller_unreachable;
    case 503:
        return &err_overloaded;
    case 507:
        return &err_no_space;
    default:
        return &err_controller_garbage;
    }
}

int net_failure_answer(long status, struct slice body, struct err *e) {
    const struct doc_limits limits = {.bytes = 64 * 1024, .depth = 8, .values = 256};
    struct err ignored = ERR_NONE;
    struct doc_at at;
    const char *code = NULL, *text = NULL;
    char shown[400];
    OWN(json) json_t *document = NULL;
    if (status < 400)
        return err_set(e, &err_controller_garbage,
                       "the controller wants to redirect us (status %ld); give the address it "
                       "means with --controller",
                       status);
    if (doc_parse(body, "answer", &limits, &document, &ignored) < 0 ||
        doc_root(document, "answer", &at, &ignored) < 0 ||
        doc_string(&at, "code", ERR_NAME_BYTES, &code, &ignored) < 0 ||
        doc_string(&at, "text", 4096, &text, &ignored) < 0)
        return err_set(e, kind_of_status(status),
                       "the answer has status %ld and is not a controller's; is this its address?",
                       status);
    const struct err_kind *kind = net_failure_kind(code);
    // A controller newer than we are may name kinds that we do not know: the status still tells.
    return err_set(e, kind ? kind : kind_of_status(status), "%s",
                   text_safe(text, shown, sizeof shown));
}
