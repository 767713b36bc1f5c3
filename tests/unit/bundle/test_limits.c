// SPDX-License-Identifier: Apache-2.0
//
// Ceilings of what is signed and of what is said: below, at and above each.
#include <criterion/criterion.h>
#include <stdio.h>

#include "bundle/checkin.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"
#include "tests/support/forge.h"
#include "tests/unit/bundle/wire.h"

static const struct slice content = {(const uint8_t *)"x", 1};

static json_t *probes(size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(all, json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "name",
                                                   json_sprintf("probe-%zu", i), "phase", "after",
                                                   "component", "c", "kind", "metric", "source",
                                                   "file:/run/metrics", "metric", "x", "max", "1"));
    return all;
}

// The kind, or "read" when the manifest has as many probes as it was given.
static const char *read_manifest(size_t n) {
    struct err e = ERR_NONE;
    struct buf tree, bundle;
    struct keys_role role;
    struct bundle_manifest *manifest = NULL;
    OWN(json) json_t *members = json_pack("{s:o}", "probes", probes(n));
    buf_init(&tree, 4096);
    buf_init(&bundle, 1 << 20);
    forge_file_line("a", content, false, &tree);
    const struct forge f = {
        .tree = buf_text(&tree), .n_contents = 1, .contents = &content, .members = members};
    forge_bundle(&f, &bundle);
    forge_role(1, 1, &role);
    int done = bundle_manifest_verify(forge_manifest_of(buf_slice(&bundle)), &role, &manifest, &e);
    if (done == 0)
        cr_assert_eq(bundle_manifest_view(manifest)->n_probes, n);
    else
        (void)fprintf(stderr, "%zu probes: %s\n", n, e.text);
    bundle_manifest_free(manifest);
    buf_clear(&tree);
    buf_clear(&bundle);
    return done == 0 ? "read" : e.kind->name;
}

Test(bundle_limits, probes_of_a_manifest) {
    cr_expect_str_eq(read_manifest(BUNDLE_PROBES_MAX - 1), "read");
    cr_expect_str_eq(read_manifest(BUNDLE_PROBES_MAX), "read");
    cr_expect_str_eq(read_manifest(BUNDLE_PROBES_MAX + 1), "bad_manifest");
}

static const char *read_checkin(size_t n_metrics) {
    OWN(mem)
    char *text = wire_file(EDGE_SOURCE_DIR "/tests/data/wire/checkin/valid/full/message.json");
    OWN(json) json_t *document = wire_json(text);
    json_t *metrics = json_object();
    struct bundle_checkin m;
    struct err e = ERR_NONE;
    for (size_t i = 0; i < n_metrics; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "metric-%zu", i);
        (void)json_object_set_new(metrics, name, json_string("1.5"));
    }
    (void)json_object_set_new(document, "metrics", metrics);
    if (bundle_checkin_parse(document, &m, &e) < 0)
        return e.kind->name;
    cr_assert_eq(json_object_size(m.metrics), n_metrics);
    bundle_checkin_clear(&m);
    return "read";
}

Test(bundle_limits, metrics_of_a_checkin) {
    cr_expect_str_eq(read_checkin(BUNDLE_METRICS_MAX - 1), "read");
    cr_expect_str_eq(read_checkin(BUNDLE_METRICS_MAX), "read");
    cr_expect_str_eq(read_checkin(BUNDLE_METRICS_MAX + 1), "limit");
}
