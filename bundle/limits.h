// SPDX-License-Identifier: Apache-2.0
//
// Every ceiling of the bundle format and of the messages, in one place. FORMAT.md §9 and §17 explain them.
#pragma once

#define BUNDLE_MANIFEST_MAX_BYTES (64 * 1024) // the manifest member with its padding
#define BUNDLE_MANIFEST_ROOM_BYTES 2048       // least padding a builder leaves: nine more signatures
#define BUNDLE_MANIFEST_ALIGN 4096            // the member's size is a multiple of this
#define BUNDLE_COMPONENTS_MAX 16
#define BUNDLE_PROBES_MAX 32
#define BUNDLE_NAME_MAX 64     // names of components, releases, variants, probes
#define BUNDLE_RELEASE_MAX 64  // what people call a version
#define BUNDLE_PREDICATE_MAX 2048
#define BUNDLE_PATH_MAX 1024   // bytes of a path in a tree
#define BUNDLE_SEGMENT_MAX 255 // bytes between two slashes
#define BUNDLE_DEPTH_MAX 64    // segments of a path
#define BUNDLE_LINK_MAX 1024   // bytes of a link's target
#define BUNDLE_TREE_LINE_MAX 16384 // bytes of one line of a tree with its newline (JSON escapes included)
#define BUNDLE_TREE_ENTRIES_MAX 1000000
#define BUNDLE_TREE_MAX_BYTES (1024LL * 1024 * 1024)
#define BUNDLE_STREAM_MAX_BYTES (1LL << 42) // all contents together, 4 TiB
#define BUNDLE_FRAME_MAX_BYTES (4 * 1024 * 1024) // a frame, stored or decoded
#define BUNDLE_FRAME_DEFAULT_BYTES (1024 * 1024)
#define BUNDLE_FRAME_MIN_BYTES (64 * 1024)       // what a manifest may name as the ceiling of its frames
#define BUNDLE_FRAME_FRESH_BYTES (1024 * 1024)   // a fresh frame, decoded: it has a buffer of its own
#define BUNDLE_CHUNK_MIN_BYTES (2 * 1024) // but for the last chunk of a content
#define BUNDLE_CHUNK_AVG_BYTES (8 * 1024)
#define BUNDLE_CHUNK_MAX_BYTES (32 * 1024)
#define BUNDLE_INDEX_PAGE_BYTES 4096
#define BUNDLE_INDEX_MAX_BYTES (16LL * 1024 * 1024 * 1024)
#define BUNDLE_SECURITY_VERSION_MAX 4294967295LL

#define BUNDLE_FACTS_MAX 256
#define BUNDLE_FACT_NAME_MAX 64
#define BUNDLE_FACT_VALUE_MAX 256
#define BUNDLE_DEVICE_ID_MAX 64
#define BUNDLE_MESSAGE_MAX_BYTES (256 * 1024) // a check-in or its answer
#define BUNDLE_INSTRUCTION_MAX_BYTES (32 * 1024)
#define BUNDLE_REPORTS_PER_CHECKIN_MAX 64
#define BUNDLE_REPORT_TEXT_MAX 512
#define BUNDLE_REPORT_DETAIL_MAX 2048 // a failed probe's last output
#define BUNDLE_URL_MAX 2048
#define BUNDLE_METRICS_MAX 32
