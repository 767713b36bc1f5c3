// SPDX-License-Identifier: Apache-2.0
//
// What is to be fetched, worked out before any content is touched. The new trees are walked beside the old ones; of what is not the same in both
// the rows of the index are taken, in few runs, and each chunk is looked for: in the file that an earlier try left, then in what the device
// holds of the bundle's components (bundle/unpack/old.h). What is found nowhere marks its frame. So the cost is known before it arises, and the source can
// be told what will be read (unpack_source_expect): runs of frames.
//
// Everything is on disk: a row for each chunk that is there or held, a row for each run. Two groups of frames (bundle/index.h) are read one after
// the other, so a plan with frames of both needs two passes over the contents, one for each (bundle/unpack/content.h). Each pass reads forward.
//
// A plan is no proof. What is copied is compared with its digest again, and a chunk that is gone by then is fetched.
#pragma once

#include "bundle/unpack/old.h"
#include "bundle/unpack/scratch.h"
#include "bundle/unpack/stage.h"
#include "bundle/unpack/stream.h"

// In a slot that was not written to for this bundle, after so many chunks in a row that are not in their place only each so manieth is looked
// at, until one is: reading and hashing all of a slot costs as much as writing it, and would mostly find that another image lies in it.
#define UNPACK_PLAN_MISSES 16
#define UNPACK_PLAN_SAMPLE 128
// Of these so many at most are asked of the medium before the first of them is compared: side by side they come sooner than one after another. No more
// than a medium's queue takes (32 commands with eMMC and SATA), and about 1 MiB of page cache at most.
#define UNPACK_PLAN_AHEAD 32

// What lies between two things that are needed is fetched with them up to this: less than the headers and the wait of another request.
#define UNPACK_PLAN_GAP_BYTES (8 * 1024)

// In the second number of a chunk's row the component is above the position; or it is this.
#define UNPACK_PLAN_POSITION_BITS 48
#define UNPACK_PLAN_KEPT UINT64_MAX

enum unpack_plan_way {
    UNPACK_PLAN_MAKE, // from its frame, or of a repeat from where it was seen first
    UNPACK_PLAN_KEEP, // it is in its place
    UNPACK_PLAN_COPY  // from what is held
};

struct unpack_plan_chunk {
    enum unpack_plan_way way;
    struct unpack_held_place place; // UNPACK_PLAN_COPY
};

// Frames that are needed one after another.
struct unpack_plan_run {
    uint64_t first, end; // numbers; none when they are the same
    uint64_t offset_end; // in the data
};

struct unpack_plan {
    // Set by the caller.
    const struct unpack_stage *how;
    const struct unpack_source *source;
    const struct bundle_manifest_view *view;
    struct unpack_stream *stream;
    uint64_t data_offset; // of the data member in the source
    bool is_far;          // its bytes cost more than looking for chunks does
    // The plan's own.
    struct unpack_old old;
    struct unpack_held held;
    uint64_t old_bytes, old_contents; // to be cut
    struct unpack_scratch chunks;     // of what is kept or copied: stream position, tree offset, component and position
    uint64_t next_chunk;              // row that was not passed yet
    struct unpack_scratch runs[2];    // known, fresh: first frame, end of the run in the data, end frame
    struct unpack_plan_run open[2];   // the last of each, not in the table
    uint8_t *pages;                   // of the index, a bit for each that is to be fetched
    uint8_t *chunk;                   // room for one
    bool samples;                     // in the slot that is planned now
    uint64_t missed;                  // chunks in a row that it did not have
    uint64_t fetch_bytes;  // of frames that are marked
    uint64_t reused_bytes; // of contents: left out or copied
    uint64_t kept_bytes;   // of contents: in their place
};

// Files of a plan: empty, the caller's.
enum { UNPACK_PLAN_HELD_FILE, UNPACK_PLAN_CHUNKS_FILE, UNPACK_PLAN_KNOWN_FILE, UNPACK_PLAN_FRESH_FILE, UNPACK_PLAN_FILES };

// Takes what the caller set in *plan, which is zeros otherwise but for `old`, initialised. Clear is due in every case. Kinds: io, memory.
int unpack_plan_open(struct unpack_plan *plan, const int fds[static UNPACK_PLAN_FILES], struct err *e)
    __attribute__((nonnull));
void unpack_plan_clear(struct unpack_plan *plan) __attribute__((nonnull));

// Plans the trees; the stream is at its beginning, and there again afterwards. trees: a file for each files component, with what an earlier try left in it.
int unpack_plan_trees(struct unpack_plan *plan, const int *trees, struct err *e) __attribute__((nonnull));
// Plans all other contents; the stream is where the trees end, and there again afterwards. trees: written and verified. Kinds: bad_tree, bad_index, those of the source.
int unpack_plan_contents(struct unpack_plan *plan, const int *trees, struct err *e) __attribute__((nonnull));

// Whether contents need two passes.
bool unpack_plan_has_two_passes(const struct unpack_plan *plan) __attribute__((nonnull));
// Contents are about to be walked again.
void unpack_plan_rewind(struct unpack_plan *plan) __attribute__((nonnull));
// What is to become of the chunk at this position of the stream, which rises until the next rewind.
int unpack_plan_look(struct unpack_plan *plan, uint64_t stream, struct unpack_plan_chunk *ret, struct err *e)
    __attribute__((nonnull));
// The group of frames that a piece comes from which is not a repeat.
size_t unpack_plan_group(const struct unpack_plan *plan, const struct unpack_piece *piece) __attribute__((nonnull));
// Tells the source that this piece's frame will be read, and what then.
int unpack_plan_expect(struct unpack_plan *plan, const struct unpack_piece *piece, struct err *e) __attribute__((nonnull));
