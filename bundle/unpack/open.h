// SPDX-License-Identifier: Apache-2.0
//
// Opening a bundle: the first bytes (headers, manifest) and nothing more. Candidate and verified bundle are different types.
#pragma once

#include "bundle/manifest.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/source.h"

// What a source is told to expect, as nothing is known before: most manifests, and with them the beginning of the index.
#define UNPACK_OPEN_FIRST_BYTES (16 * 1024)

struct unpack_candidate; // skeleton and raw manifest were read, nothing verified
struct unpack_bundle;    // manifest verified against a role; index and contents not read yet

int unpack_open(const struct unpack_source *source, struct unpack_candidate **ret, struct err *e)
    __attribute__((nonnull));
void unpack_candidate_free(struct unpack_candidate *candidate);
// Borrowed; for inspect and for handing the raw envelope on.
struct slice unpack_candidate_manifest(const struct unpack_candidate *candidate) __attribute__((nonnull));
// What two headers say: the size of the data, and with it the total, is the manifest's to say and 0 here.
const struct bundle_skeleton *unpack_candidate_skeleton(const struct unpack_candidate *candidate)
    __attribute__((nonnull));

// Consumes the candidate in every case (NULL afterwards). Also checks that the skeleton's sizes are the manifest's. Kinds of
// bundle_manifest_verify, bad_skeleton.
int unpack_verify(struct unpack_candidate **candidate, const struct keys_role *role, struct unpack_bundle **ret,
                  struct err *e) __attribute__((nonnull));
// The same by the role bundle of a root or one of its delegations (bundle_manifest_verify_root). Also kind delegation.
int unpack_verify_root(struct unpack_candidate **candidate, const struct keys_root *root, struct unpack_bundle **ret,
                       struct err *e) __attribute__((nonnull));
void unpack_bundle_free(struct unpack_bundle *bundle);
const struct bundle_manifest *unpack_bundle_manifest(const struct unpack_bundle *bundle) __attribute__((nonnull));
const struct bundle_skeleton *unpack_bundle_skeleton(const struct unpack_bundle *bundle) __attribute__((nonnull));
