// SPDX-License-Identifier: Apache-2.0
//
// What the resident agent and its worker say to each other. One worker process does one job and
// ends. It is started with
//
//   fd 3   a SOCK_SEQPACKET socket to the agent: the messages below, one a packet
//   fd 4   a memfd with the job (JSON, struct agent_job; written by the agent, so trusted)
//   fd 5…  the descriptors the job needs, in the order listed at each kind of job
//
// Everything the worker says is fixed-size or bounded, and believed only as far as it can be
// checked: an instruction is verified by signature, staged contents by hashing what was written.
// The device's secret key never leaves the agent: the worker asks for a signature over a challenge.
// A worker that ends without a RESULT has failed (worker_failed).
//
// The voices (w: worker, a: agent)
//
//   check-in  w: SIGN {challenge}        when it has no token or the controller said 401
//             a: SIGNATURE {64 bytes}
//             w: TOKEN {token}           to be handed to the next job
//             w: ANSWER {…}              instruction bytes follow in the same packet
//             w: RESULT {ok | error}
//   enrol     w: SIGN, a: SIGNATURE, w: ENROLLED {device, state}, w: RESULT
//   fetch     w: MANIFEST {id}           the manifest lies in the memfd; the worker has verified it
//             a: PROCEED {images}        after it verified the manifest for itself and judged
//                                        requirements, floors, component types and space; a refusal
//                                        is the end of the worker. With it come descriptors, in
//                                        the order of what is said about them: slots that images
//                                        are to be written to, and those that the images of the
//                                        generation before lie in, all of them to read; and, where
//                                        there is one to be written, two pipes, to and from the
//                                        scribe, and the memory they share
//             w: PROGRESS {done, total}  at most four a second
//             w: SPENT {bytes by kind}   what the job cost the link so far. In a job that is
//             a: LIMIT {bytes}           `limited` every AGENT_JOB_SPENT_BYTES or _SPENT_MS, and the
//                                        worker waits for the answer: when that comes it is durable.
//                                        In others seldom, without an answer
//             w: RESULT
//   scribe    a: PROCEED {images}        descriptors: the slots to be written
//             s: SETTLED {image, bytes}  so much of an image lies in its slot and is not written
//                                        again; 0: what was said before is void
//             s: RESULT                  when its pipe has ended
//   probe     w: SAMPLE {status | value}
//             w: RESULT
//   refresh   w: RESULT                  what was fetched and held lies in the incoming directory,
//                                        unjudged, also after an error; a mandate last of all
//   judge     w: RESULT                  the verdict (agent/trust/verdict.h) lies in the memfd,
//                                        also after an error
//
// A scribe (agent/scribe.h) is no worker: it is the agent's own program, and writes what the worker has
// for the slots of images, so that the worker has no descriptor to write to one. The worker says to it,
// over a pipe,
//
//   struct agent_job_record  WRITE      `bytes` at `offset` of an image; they lie at `at` of the memory
//                                       that both have (agent/ring.h)
//                            ZERO       the same of zeros, which lie nowhere
//                            SETTLE     nothing below `offset` of an image comes again
//                            AWAIT      the scribe answers with a byte when all that came before
//                                       can be read
//
// One more mode needs no agent: `edge-agent-worker --verify ROOT FILE` reads and checks a whole
// bundle (unpack_check) and writes nothing. It exits with 0, or prints one line on stderr and exits
// with the error kind's status; `edge-agent verify` passes both on.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bundle/checkin.h"
#include "bundle/target.h"

#define AGENT_JOB_CONTROL_FD     3
#define AGENT_JOB_SPEC_FD        4
#define AGENT_JOB_FIRST_FD       5
#define AGENT_JOB_SPEC_MAX_BYTES (64 * 1024)
#define AGENT_JOB_BODY_MAX_BYTES BUNDLE_MESSAGE_MAX_BYTES
#define AGENT_JOB_PATH_MAX       1024
#define AGENT_JOB_SITE_CACHE_MAX 512
// What a crash can hide of a budget, and how old the word about a metered link may be.
#define AGENT_JOB_SPENT_BYTES (1024 * 1024)
#define AGENT_JOB_SPENT_MS    10000
#define AGENT_JOB_TARGET_MAX  (BUNDLE_TARGET_PATH_BYTES - 1)
// What a refresh calls a mandate in the incoming directory: no metadata is called so.
#define AGENT_JOB_MANDATE_FILE "mandate"

enum agent_job_kind {
    // Descriptors: memfd with the check-in's body (JSON of bundle_checkin, ready to send).
    AGENT_JOB_CHECKIN,
    // Descriptors: memfd with facts (canonical JSON object).
    AGENT_JOB_ENROLL,
    // Descriptors: directory <n>.partial; previous generation's directory or /dev/null; root.json;
    // the bundle file when installing from a file, else /dev/null; an empty memfd, into which the
    // worker writes the manifest member's bytes before it sends MANIFEST; the directory of the
    // generation before the previous one, where that is kept, or /dev/null.
    AGENT_JOB_FETCH,
    AGENT_JOB_PROBE, // no descriptors
    // Descriptors: directory for what is fetched (private/incoming); directory with the trusted
    // metadata, to read.
    AGENT_JOB_REFRESH,
    // The same two, both to read; an empty memfd for the verdict. It has no network.
    AGENT_JOB_JUDGE,
    AGENT_JOB_KINDS
};

// Network settings, from the configuration.
struct agent_job_net {
    char controller[BUNDLE_URL_MAX + 1]; // base URL; "" when there is none
    char ca_file[AGENT_JOB_PATH_MAX];    // "" system's
    char proxy[BUNDLE_URL_MAX + 1];      // "" none ("environment" is resolved by the agent)
    char site_cache[AGENT_JOB_SITE_CACHE_MAX + 1]; // base URL (agent/net/cache.h); "" none
    uint64_t connect_timeout_s;
    uint64_t request_timeout_s; // whole check-in
    uint64_t rate_max_bytes_s;  // 0 none
    uint64_t rate_min_bytes_s;  // below this for stall_s: too_slow
    uint64_t stall_s;
    uint64_t fetch_timeout_s;    // whole download; 0 none
    uint64_t fetch_budget_bytes; // 0 none
    uint64_t retries;            // of a broken download, before the job gives up
    int64_t time_floor_s; // latest of trusted time, build time: TLS dates are checked against
                          // max(this, wall clock)
    bool allow_http;      // plain http to other hosts than loopback
};

struct agent_job {
    enum agent_job_kind kind;
    struct agent_job_net net;
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char token[BUNDLE_TOKEN_MAX + 1];        // checkin: what the last job handed back, or ""
    char enroll_token[BUNDLE_TOKEN_MAX + 1]; // enroll
    char public_key[2 * KEYS_ED25519_PUBLIC_BYTES + 1];
    // fetch
    char url[BUNDLE_URL_MAX + 1]; // absolute; "" from the file descriptor
    uint64_t bundle_bytes;        // exact size the instruction names; 0 unknown
    char bundle[KEYS_DIGEST_HEX]; // manifest id it must have; "" any (install FILE)
    bool resume;
    uint64_t decode_max_bytes;
    char delta_url[BUNDLE_URL_MAX + 1]; // "" none was offered
    uint64_t delta_bytes;
    char delta_base[KEYS_DIGEST_HEX]; // manifest id of what it starts from
    char delta_head[KEYS_DIGEST_HEX]; // by the targets; "" they do not name it
    uint64_t delta_head_bytes;
    bool limited;         // what the link may carry is the agent's to say, again and again
    uint64_t limit_bytes; // for the update in all
    uint64_t spent_bytes; // by it before this job
    uint64_t tries;       // with this one
    uint64_t begun;       // enum agent_job_packing of an unfinished staging
    uint64_t begun_bytes; // fetched for that
    // probe
    char probe_url[BUNDLE_URL_MAX + 1]; // loopback http: or file:
    char metric[BUNDLE_URL_MAX + 1];    // "" for an http probe
    uint64_t timeout_s;                 // of a probe; of a whole refresh
    // refresh, judge
    char repository[BUNDLE_URL_MAX + 1];   // base URL, without metadata/
    int64_t now_s;                         // what expires at or before it is refused; 0: unknown
    char target[AGENT_JOB_TARGET_MAX + 1]; // wanted path, "" none
    char delta_target[AGENT_JOB_TARGET_MAX + 1]; // wanted too, but may be absent; "" none
    char mandate_url[BUNDLE_URL_MAX + 1];        // absolute; "" none is wanted
    uint64_t mandate_bytes;
};

// Also what a record keeps (enum fsm_packing) and what is chosen between (enum worker_way).
enum agent_job_packing { AGENT_JOB_NOTHING_BEGUN, AGENT_JOB_DELTA, AGENT_JOB_BUNDLE };

enum agent_job_message_type {
    AGENT_JOB_SIGN = 1,  // worker → agent
    AGENT_JOB_SIGNATURE, // agent → worker
    AGENT_JOB_TOKEN,
    AGENT_JOB_ENROLLED,
    AGENT_JOB_ANSWER,
    AGENT_JOB_MANIFEST,
    AGENT_JOB_PROGRESS,
    AGENT_JOB_SAMPLE,
    AGENT_JOB_RESULT,
    AGENT_JOB_PROCEED, // agent → worker; the only one that carries descriptors
    AGENT_JOB_SPENT,
    AGENT_JOB_LIMIT,  // agent → worker
    AGENT_JOB_SETTLED // scribe → agent
};

#define AGENT_JOB_IMAGES_MAX      (2 * BUNDLE_COMPONENTS_MAX)
#define AGENT_JOB_SCRIBE_FDS      3 // two pipes and a memory
#define AGENT_JOB_PROCEED_FDS_MAX (AGENT_JOB_IMAGES_MAX + AGENT_JOB_SCRIBE_FDS)

enum agent_job_record_what {
    AGENT_JOB_WRITE = 1,
    AGENT_JOB_SETTLE,
    AGENT_JOB_AWAIT,
    AGENT_JOB_ZERO
};
struct agent_job_record {
    uint32_t what;
    uint32_t image; // the how manieth of those to be written
    uint64_t offset;
    uint64_t bytes;
    uint64_t at;
};

struct agent_job_sign {
    bool enroll; // else token
    char challenge[BUNDLE_CHALLENGE_HEX];
    char
        device[BUNDLE_DEVICE_ID_MAX + 1]; // must be the agent's own (enroll: the one it wishes for)
};
struct agent_job_signature {
    uint8_t bytes[KEYS_ED25519_SIGNATURE_BYTES];
};
struct agent_job_token {
    char token[BUNDLE_TOKEN_MAX + 1];
    uint64_t expires_in_s;
};
struct agent_job_enrolled {
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char state[16]; // accepted, pending, rejected
};
struct agent_job_answer {
    char nonce[BUNDLE_NONCE_HEX];
    int64_t now_s;
    uint64_t poll_s;
    uint64_t retry_after_s; // from Retry-After, 0 none
    uint64_t acked;
    bool facts_wanted;
    uint64_t n_refused;
    uint64_t refused[BUNDLE_REPORTS_PER_CHECKIN_MAX];
    char why_code[ERR_NAME_BYTES];
    char why_text[BUNDLE_REPORT_TEXT_MAX + 1];
    // Versions that the repository has, by the controller's word; 0 unknown. A hint.
    uint64_t repository_root, repository_snapshot;
    uint64_t instruction_bytes;
    uint8_t instruction[BUNDLE_INSTRUCTION_MAX_BYTES]; // only instruction_bytes of it are sent
};
struct agent_job_manifest {
    struct keys_digest id;
    uint64_t total_bytes;  // of the bundle file
    uint64_t stream_bytes; // of contents to write at most
};
struct agent_job_image {
    char component[BUNDLE_NAME_MAX + 1];
    bool old;       // where the image of the generation before lies
    uint64_t bytes; // of the image that is to be written
};
struct agent_job_proceed {
    uint64_t n_images; // descriptors come with the packet, one for each
    bool has_scribe; // and behind them a pipe to the scribe, one from it, and the memory they share
    struct agent_job_image images[AGENT_JOB_IMAGES_MAX];
};
struct agent_job_progress {
    uint64_t done_bytes;
    uint64_t total_bytes;
};
struct agent_job_spent {
    struct bundle_report_bytes bytes;      // of this job
    uint64_t begun, begun_bytes;           // as of struct agent_job, by now
    uint64_t need_bytes;                   // of the whole update, as far as is known; 0 not
    bool no_delta;                         // the delta is not to be tried again
    char note[BUNDLE_REPORT_TEXT_MAX + 1]; // why the one that was offered was not used; "" it was
};
struct agent_job_limit {
    uint64_t bytes; // UINT64_MAX none
};
struct agent_job_settled {
    uint64_t image; // as of agent_job_record
    uint64_t bytes;
};
struct agent_job_sample {
    bool found;
    uint64_t status;
    double value;
};
struct agent_job_result {
    char kind[ERR_NAME_BYTES]; // "" success
    char text[ERR_TEXT_BYTES];
    uint64_t source_bytes; // taken from the network or the file
    uint64_t stream_bytes;
    uint64_t retry_after_s; // when the server said so with an error
};

struct agent_job_message {
    enum agent_job_message_type type;
    union {
        struct agent_job_sign sign;
        struct agent_job_signature signature;
        struct agent_job_token token;
        struct agent_job_enrolled enrolled;
        struct agent_job_answer answer;
        struct agent_job_manifest manifest;
        struct agent_job_proceed proceed;
        struct agent_job_progress progress;
        struct agent_job_spent spent;
        struct agent_job_limit limit;
        struct agent_job_settled settled;
        struct agent_job_sample sample;
        struct agent_job_result result;
    } u;
};

// The job as JSON and back (both written by this project's own programs of the same version).
int agent_job_format(const struct agent_job *job, struct buf *ret, struct err *e)
    __attribute__((nonnull));
int agent_job_parse(struct slice text, struct agent_job *ret, struct err *e)
    __attribute__((nonnull));

// One packet each way. Receiving checks the length against the type, NUL-terminates every string
// and refuses what does not fit (worker_failed). 1 (AGENT_JOB_CLOSED) when the other side is gone;
// AGENT_JOB_NOTHING when a non-blocking socket has nothing.
enum { AGENT_JOB_CLOSED = 1, AGENT_JOB_NOTHING = 2 };
// On failure what ret points to is undefined.
int agent_job_send(int fd, const struct agent_job_message *message, struct err *e)
    __attribute__((nonnull));
int agent_job_receive(int fd, struct agent_job_message *ret, struct err *e)
    __attribute__((nonnull));
// A PROCEED with its descriptors, which stay the sender's and become the receiver's. What is received
// may be another message, then without any. ret_fds has AGENT_JOB_PROCEED_FDS_MAX places.
int agent_job_send_proceed(int fd, const struct agent_job_message *message, const int *fds,
                           struct err *e) __attribute__((nonnull));
int agent_job_receive_proceed(int fd, struct agent_job_message *ret, int *ret_fds, struct err *e)
    __attribute__((nonnull));
