// SPDX-License-Identifier: Apache-2.0
//
// The faults and how an answer is put together; see mishap.h.
#include "tests/support/mishap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_MAX    6
#define AT_ONCE_MAX 3
#define HEAD_BYTES  (96 * 1024) // above what a client may take of one
#define SILENCE_MS  600000      // ended by the client

enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE };

struct answer {
    unsigned status;
    uint64_t first, last, total; // as the Content-Range of a 206 says
    uint64_t length;             // as the Content-Length says
    enum framing framing;
    bool no_range, bare, keep;
    const char *begin; // in front of the status line
    const char *lines; // further headers
    const char *status_line;
    const char *location;
    size_t padding; // bytes of further headers
    uint8_t *body;  // in mishap.body
    size_t body_len;
    size_t cut_head, cut; // SIZE_MAX: not at all
    unsigned stall_ms;
    size_t stall_at;
};

struct mishap {
    uint64_t seed;
    struct slice file, other;
    size_t n_steps, at;
    bool honest;
    unsigned steps[PLAN_MAX][AT_ONCE_MAX]; // rows of the table, and 1; 0 none
    unsigned played;
    char head[HEAD_BYTES];
    uint8_t *body;
    size_t room;
};

uint64_t mishap_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t mishap_below(uint64_t *seed, uint64_t bound) {
    return mishap_random(seed) % bound;
}

static size_t somewhere(struct mishap *m, size_t len) {
    return len ? (size_t)mishap_below(&m->seed, len) : 0;
}

// Ranges

static void ignore_range(struct mishap *m, struct answer *a) {
    a->status = 200;
    a->first = 0;
    a->last = m->file.len - 1;
    memcpy(a->body, m->file.data, m->file.len);
    a->length = a->body_len = m->file.len;
}

static void begin_elsewhere(struct mishap *m, struct answer *a) {
    a->status = 206;
    a->first = a->first > 0 && mishap_below(&m->seed, 2) ? somewhere(m, a->first) : a->first + 1;
}

static void change_total(struct mishap *m, struct answer *a) {
    uint64_t by = 1 + mishap_below(&m->seed, 1000);
    a->total = mishap_below(&m->seed, 2) ? a->total + by : a->total - by;
    if (a->status == 200)
        a->length = a->total;
}

static void lose_range(struct mishap *m, struct answer *a) {
    (void)m;
    a->status = 206;
    a->no_range = true;
}

static void many_ranges(struct mishap *m, struct answer *a) {
    lose_range(m, a);
    a->lines = "Content-Type: multipart/byteranges; boundary=x\r\n";
}

static void no_such_range(struct mishap *m, struct answer *a) {
    (void)m;
    a->status = 416;
    a->length = a->body_len = 0;
}

static void give_less(struct mishap *m, struct answer *a) {
    if (a->body_len < 2)
        return;
    a->status = 206;
    a->length = a->body_len = 1 + somewhere(m, a->body_len - 1);
    a->last = a->first + a->body_len - 1;
}

static void go_on_behind(struct mishap *m, struct answer *a) {
    size_t more = 1 + somewhere(m, 1000);
    memset(a->body + a->body_len, 'x', more);
    a->body_len += more;
    if (mishap_below(&m->seed, 2))
        a->framing = BY_CHUNKS;
    else
        a->length += more;
}

static void another_etag(struct mishap *m, struct answer *a) {
    a->lines = mishap_below(&m->seed, 2) ? "ETag: W/\"two\"\r\n" : "ETag: \"three\"\r\n";
}

static void another_file(struct mishap *m, struct answer *a) {
    if (a->first < m->other.len && a->body_len <= m->other.len - a->first)
        memcpy(a->body, m->other.data + a->first, a->body_len);
    another_etag(m, a);
}

static void say_gzip(struct mishap *m, struct answer *a) {
    (void)m;
    a->lines = "Content-Encoding: gzip\r\n";
}

// Framing

static void two_lengths(struct mishap *m, struct answer *a) {
    a->lines = mishap_below(&m->seed, 2) ? "Content-Length: 7\r\n" : "Content-Length: 1000000\r\n";
}

static void length_and_chunks(struct mishap *m, struct answer *a) {
    (void)m;
    a->framing = BY_CHUNKS;
    a->lines = "Content-Length: 100\r\n";
}

static void bad_chunks(struct mishap *m, struct answer *a) {
    static const char *const sizes[] = {"-1\r\n", "fffffffffffffffff\r\n", "zz\r\n", "\r\n\r\n"};
    const char *size = sizes[mishap_below(&m->seed, 4)];
    a->framing = BY_CLOSE;
    a->lines = "Transfer-Encoding: chunked\r\n";
    memcpy(a->body, size, strlen(size));
    a->body_len = strlen(size);
}

static void endless_headers(struct mishap *m, struct answer *a) {
    (void)m;
    a->padding = HEAD_BYTES / 2;
}

static void bare_lines(struct mishap *m, struct answer *a) {
    (void)m;
    a->bare = true;
}

static void interim(struct mishap *m, struct answer *a) {
    (void)m;
    a->begin = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
}

static void no_http(struct mishap *m, struct answer *a) {
    static const char *const lines[] = {"SSH-2.0-OpenSSH_9.2", "HTTP/9.9 200 OK", "<html>",
                                        "HTTP/1.1 abc"};
    a->status_line = lines[mishap_below(&m->seed, 4)];
}

static void junk_behind(struct mishap *m, struct answer *a) {
    size_t more = 1 + somewhere(m, 100);
    a->framing = BY_LENGTH;
    memset(a->body + a->body_len, 'j', more);
    a->body_len += more;
}

static void chunks(struct mishap *m, struct answer *a) {
    (void)m;
    a->framing = BY_CHUNKS;
}

static void until_the_end(struct mishap *m, struct answer *a) {
    (void)m;
    a->framing = BY_CLOSE;
}

static void hang_up(struct mishap *m, struct answer *a) {
    a->cut_head = mishap_below(&m->seed, 2) ? 0 : somewhere(m, 120);
}

// Bodies

static void flip(struct mishap *m, struct answer *a) {
    if (a->body_len)
        a->body[somewhere(m, a->body_len)] ^= (uint8_t)(1U << mishap_below(&m->seed, 8));
}

static void zeroes(struct mishap *m, struct answer *a) {
    size_t at = somewhere(m, a->body_len);
    memset(a->body + at, 0, somewhere(m, a->body_len - at));
}

static void repeat(struct mishap *m, struct answer *a) {
    size_t at = somewhere(m, a->body_len), len = somewhere(m, a->body_len - at);
    memmove(a->body + at, a->body, len);
}

static void break_off(struct mishap *m, struct answer *a) {
    a->cut = somewhere(m, a->body_len);
}

static void end_early(struct mishap *m, struct answer *a) {
    a->body_len = somewhere(m, a->body_len);
    if (mishap_below(&m->seed, 2))
        a->framing = BY_CLOSE;
}

// Timing: most plans have none, as each costs a second or two

static void fall_silent(struct mishap *m, struct answer *a) {
    if (mishap_below(&m->seed, 6)) {
        break_off(m, a);
        return;
    }
    a->stall_ms = SILENCE_MS;
    a->stall_at = somewhere(m, a->body_len);
    a->cut_head = mishap_below(&m->seed, 2) ? SIZE_MAX : somewhere(m, 120);
}

// Other answers

static void busy(struct mishap *m, struct answer *a) {
    static const unsigned statuses[] = {500, 502, 503, 429, 408};
    a->status = statuses[mishap_below(&m->seed, 5)];
    a->lines = mishap_below(&m->seed, 3) ? "" : "Retry-After: 7\r\n";
    a->length = a->body_len = somewhere(m, a->body_len);
}

static void not_here(struct mishap *m, struct answer *a) {
    static const unsigned statuses[] = {404, 403, 401, 410, 204, 205, 299, 400, 407};
    a->status = statuses[mishap_below(&m->seed, 9)];
    a->length = a->body_len = a->status == 204 ? 0 : somewhere(m, a->body_len);
}

static void portal(struct mishap *m, struct answer *a) {
    static const char page[] = "<html><body>Welcome. Please log in.</body></html>";
    a->status = 200;
    a->lines = "Content-Type: text/html\r\n";
    a->framing = mishap_below(&m->seed, 2) ? BY_LENGTH : BY_CLOSE;
    memcpy(a->body, page, sizeof page - 1);
    a->length = a->body_len = sizeof page - 1;
}

static void lead_on(struct mishap *m, struct answer *a) {
    static const char *const places[] = {"/moved/x.edge", "/portal", "/loop"};
    a->status = mishap_below(&m->seed, 2) ? 302 : 307;
    a->location = places[mishap_below(&m->seed, 3)];
    a->length = a->body_len = somewhere(m, a->body_len);
}

static void lead_astray(struct mishap *m, struct answer *a) {
    static const char *const places[] = {"file:///etc/passwd", "ftp://127.0.0.1:1/x",
                                         "gopher://127.0.0.1:1/x", "https:///", "http://"};
    lead_on(m, a);
    a->location = places[mishap_below(&m->seed, 5)];
}

#define BROKEN (MISHAP_UNREACHABLE | MISHAP_TRUNCATED | MISHAP_GARBAGE)

static const struct fault {
    const char *name;
    void (*apply)(struct mishap *m, struct answer *a);
    unsigned ends;
    bool mends; // asking again may do, so that what comes after it is played too
} faults[] = {
    {"ignore-range", ignore_range, 0, true},
    {"begin-elsewhere", begin_elsewhere, MISHAP_GARBAGE, false},
    {"change-total", change_total,
     MISHAP_TOO_MUCH | MISHAP_TRUNCATED | MISHAP_GARBAGE | MISHAP_CONTENT, false},
    {"lose-range", lose_range, MISHAP_GARBAGE, false},
    {"many-ranges", many_ranges, MISHAP_GARBAGE, false},
    {"no-such-range", no_such_range, MISHAP_TRUNCATED, false},
    {"give-less", give_less, BROKEN, true},
    {"go-on-behind", go_on_behind, MISHAP_GARBAGE | MISHAP_TOO_MUCH | MISHAP_CONTENT, false},
    {"another-etag", another_etag, 0, true},
    {"another-file", another_file, MISHAP_CONTENT, false},
    {"say-gzip", say_gzip, MISHAP_GARBAGE, false},
    {"two-lengths", two_lengths, BROKEN | MISHAP_TOO_MUCH | MISHAP_CONTENT, false},
    {"length-and-chunks", length_and_chunks, BROKEN, false},
    {"bad-chunks", bad_chunks, BROKEN | MISHAP_CONTENT, false},
    {"endless-headers", endless_headers, MISHAP_LIMIT, false},
    {"bare-lines", bare_lines, 0, true},
    {"interim", interim, 0, true},
    {"no-http", no_http, BROKEN, false},
    {"junk-behind", junk_behind, MISHAP_GARBAGE | MISHAP_TOO_MUCH | MISHAP_CONTENT, false},
    {"chunks", chunks, 0, true},
    {"until-the-end", until_the_end, 0, true},
    {"hang-up", hang_up, BROKEN, true},
    {"flip", flip, MISHAP_CONTENT, false},
    {"zeroes", zeroes, MISHAP_CONTENT, false},
    {"repeat", repeat, MISHAP_CONTENT, false},
    {"break-off", break_off, BROKEN, true},
    {"end-early", end_early, BROKEN, true},
    {"fall-silent", fall_silent, BROKEN | MISHAP_TOO_SLOW, true},
    {"busy", busy, MISHAP_HTTP, true},
    {"not-here", not_here, MISHAP_HTTP, false},
    {"portal", portal, MISHAP_TRUNCATED | MISHAP_TOO_MUCH | MISHAP_CONTENT, false},
    {"lead-on", lead_on,
     MISHAP_TRUNCATED | MISHAP_TOO_MUCH | MISHAP_CONTENT | MISHAP_REDIRECTED | MISHAP_HTTP, false},
    {"lead-astray", lead_astray, MISHAP_REDIRECTED | MISHAP_UNREACHABLE | MISHAP_HTTP, false},
};
#define N_FAULTS (sizeof faults / sizeof faults[0])

// Three of four mend, or most plans would end with their first answer.
static unsigned draw(struct mishap *m) {
    bool any = mishap_below(&m->seed, 4) == 0;
    size_t i;
    do
        i = mishap_below(&m->seed, N_FAULTS);
    while (!any && !faults[i].mends);
    return (unsigned)i + 1;
}

struct mishap *mishap_open(uint64_t seed, struct slice file, struct slice other) {
    struct mishap *m = calloc(1, sizeof *m);
    if (!m)
        abort();
    m->seed = seed;
    m->file = file;
    m->other = other;
    m->room = 2 * file.len + HEAD_BYTES; // chunk heads and what is added
    m->body = malloc(m->room);
    if (!m->body)
        abort();
    m->n_steps = 1 + mishap_below(&m->seed, PLAN_MAX);
    for (size_t i = 0; i < m->n_steps; i++) {
        size_t together = 1 + mishap_below(&m->seed, AT_ONCE_MAX);
        for (size_t k = 0; k < together; k++)
            m->steps[i][k] = draw(m);
    }
    return m;
}

void mishap_close(struct mishap *m) {
    free(m->body);
    free(m);
}

void mishap_end(struct mishap *m) {
    m->honest = true;
}

unsigned mishap_played(const struct mishap *m) {
    return m->played;
}

void mishap_print(const struct mishap *m, FILE *to) {
    for (size_t i = 0; i < m->n_steps; i++) {
        fprintf(to, "%s", i < m->at ? " played:" : " not played:");
        for (size_t k = 0; k < AT_ONCE_MAX && m->steps[i][k]; k++)
            fprintf(to, "%c%s", k ? '+' : ' ', faults[m->steps[i][k] - 1].name);
    }
    fprintf(to, "\n");
}

// Answers

// "Range: bytes=FIRST-" or "FIRST-LAST"; true when there is one that the file has.
static bool read_range(const char *request, const struct mishap *m, uint64_t *first,
                       uint64_t *last) {
    const char *at = strcasestr(request, "\r\nRange: bytes=");
    char *end = NULL;
    *first = 0;
    *last = m->file.len - 1;
    if (!at)
        return false;
    *first = strtoull(at + 15, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *last = strtoull(end + 1, NULL, 10);
    if (*last >= m->file.len)
        *last = m->file.len - 1;
    return *first <= *last;
}

static void answer_honestly(struct mishap *m, const char *request, struct answer *a) {
    *a = (struct answer){.status = 200,
                         .keep = true,
                         .body = m->body,
                         .cut_head = SIZE_MAX,
                         .cut = SIZE_MAX,
                         .begin = "",
                         .lines = "",
                         .total = m->file.len};
    if (read_range(request, m, &a->first, &a->last))
        a->status = 206;
    a->length = a->body_len = a->last - a->first + 1;
    memcpy(a->body, m->file.data + a->first, a->body_len);
}

// The whole body as one chunk, in place.
static void wrap_in_a_chunk(struct answer *a) {
    char size[32];
    int len = snprintf(size, sizeof size, "%zx\r\n", a->body_len);
    memmove(a->body + len, a->body, a->body_len);
    memcpy(a->body, size, (size_t)len);
    a->body_len += (size_t)len;
    memcpy(a->body + a->body_len, "\r\n0\r\n\r\n", 7);
    a->body_len += 7;
}

static void bare(char *head) {
    char *to = head;
    for (const char *at = head; *at; at++)
        if (*at != '\r')
            *to++ = *at;
    *to = '\0';
}

static void write_head(struct mishap *m, const struct answer *a) {
    FILE *f = fmemopen(m->head, sizeof m->head, "w");
    if (!f)
        abort();
    fprintf(f, "%s", a->begin);
    if (a->status_line)
        fprintf(f, "%s\r\n", a->status_line);
    else
        fprintf(f, "HTTP/1.1 %u Whatever\r\n", a->status);
    fprintf(f, "%sConnection: %s\r\n", a->lines, a->keep ? "keep-alive" : "close");
    if (a->location)
        fprintf(f, "Location: %s\r\n", a->location);
    if (a->status == 206 && !a->no_range)
        fprintf(f, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", a->first,
                a->last, a->total);
    if (a->framing == BY_LENGTH)
        fprintf(f, "Content-Length: %" PRIu64 "\r\n", a->length);
    if (a->framing == BY_CHUNKS)
        fprintf(f, "Transfer-Encoding: chunked\r\n");
    for (size_t i = 0; i < a->padding; i += 40)
        fprintf(f, "X-%08zu: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", i);
    fprintf(f, "\r\n");
    fclose(f);
    if (a->bare)
        bare(m->head);
    if (a->cut_head < strlen(m->head))
        m->head[a->cut_head] = '\0';
}

static void play(struct mishap *m, struct answer *a) {
    const unsigned *step = m->steps[m->at++];
    for (size_t k = 0; k < AT_ONCE_MAX && step[k]; k++) {
        faults[step[k] - 1].apply(m, a);
        m->played |= faults[step[k] - 1].ends;
    }
}

void mishap_answer(void *context, size_t n, const char *request, struct faultd_scene *ret) {
    struct mishap *m = context;
    struct answer a;
    (void)n;
    answer_honestly(m, request, &a);
    if (strncmp(request, "GET /portal", 11) == 0) {
        portal(m, &a);
    } else if (strncmp(request, "GET /loop", 9) == 0) {
        lead_on(m, &a);
        a.location = "/loop";
    } else if (!m->honest && m->at < m->n_steps) {
        play(m, &a);
    }
    a.keep = a.keep && a.framing != BY_CLOSE && a.cut_head == SIZE_MAX && a.body_len == a.length;
    if (a.framing == BY_CHUNKS)
        wrap_in_a_chunk(&a);
    write_head(m, &a);
    if (a.cut_head != SIZE_MAX)
        a.body_len = 0;
    *ret = (struct faultd_scene){.head = m->head,
                                 .body = m->body,
                                 .body_len = a.body_len,
                                 .cut = a.cut < a.body_len ? a.cut : FAULTD_WHOLE,
                                 .stall_ms = a.stall_ms,
                                 .stall_at = a.stall_at,
                                 .keep = a.keep};
}
