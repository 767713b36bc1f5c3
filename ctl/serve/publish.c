// SPDX-License-Identifier: Apache-2.0
//
// Taking in bundles, and the thread and files of all uploads.
#include "ctl/serve/publish.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/random.h"
#include "base/text.h"
#include "bundle/unpack/open.h"
#include "bundle/unpack/stage.h"
#include "ctl/kind.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/publish_parts.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/store/audit.h"

#define TEMPORARY ".upload-"

struct serve_publisher {
    struct serve_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct serve_work *first, **last;
    size_t uploads; // under way
    bool stopping, stopped;
};

// Gives back what an upload holds while it is under way: its place, before anybody can see that it
// is over, by an answer or by a file that went.
static void end_upload(struct serve_upload *upload) {
    struct serve_publisher *publisher = upload->server->publisher;
    struct err ignored = ERR_NONE;
    own_drop_fd(&upload->fd);
    upload->fd = -1;
    if (upload->counted) {
        (void)pthread_mutex_lock(&publisher->lock);
        publisher->uploads--;
        (void)pthread_mutex_unlock(&publisher->lock);
    }
    upload->counted = false;
    if (upload->temporary[0] != '\0')
        (void)fs_remove(upload->server->bundles, upload->temporary, &ignored);
    upload->temporary[0] = '\0';
}

// ── In the HTTP thread ──

static void free_upload(void *state) {
    struct serve_upload *upload = state;
    end_upload(upload);
    store_release_clear(&upload->bundle);
    free(upload);
}

static bool take_place(struct serve_publisher *publisher) {
    (void)pthread_mutex_lock(&publisher->lock);
    bool room = !publisher->stopping && publisher->uploads < SERVE_PUBLISH_UPLOADS_MAX;
    publisher->uploads += room;
    (void)pthread_mutex_unlock(&publisher->lock);
    return room;
}

int serve_publish_begin(struct serve_call *call, uint64_t bytes, struct err *e) {
    struct serve_server *server = call->server;
    struct serve_upload *upload = calloc(1, sizeof *upload);
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    if (upload == NULL)
        return err_set(e, &err_memory, "publishing: out of memory");
    upload->server = server;
    upload->fd = -1;
    call->state = upload;
    call->free_state = free_upload;
    upload->counted = take_place(server->publisher);
    if (!upload->counted)
        return err_set(e, &err_overloaded, "%d uploads are under way; try again later",
                       SERVE_PUBLISH_UPLOADS_MAX);
    random_fill(random, sizeof random);
    text_hex(random, sizeof random, hex);
    (void)snprintf(upload->temporary, sizeof upload->temporary, TEMPORARY "%s", hex);
    if (fs_create(server->bundles, upload->temporary, 0640, &upload->fd, e) < 0 ||
        fs_allocate(upload->fd, bytes, e) < 0)
        return err_prefix(e, "publishing");
    return 0;
}

int serve_publish_write(struct serve_call *call, const void *data, size_t len, struct err *e) {
    struct serve_upload *upload = call->state;
    return fs_write(upload->fd, data, len, e) < 0 ? err_prefix(e, "publishing") : 0;
}

// ── In the publisher's thread ──

static json_t *components_json(const struct bundle_manifest_view *view) {
    json_t *all = json_object();
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        if (json_object_set_new(all, c->name,
                                json_pack("{s:s, s:I}", "type",
                                          c->type == BUNDLE_COMPONENT_FILES ? "files" : "image",
                                          "security_version", (json_int_t)c->security_version)) <
            0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static int describe(const struct bundle_manifest *manifest, uint64_t size, struct store_bundle *ret,
                    struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    *ret = (struct store_bundle){
        .size = size, .serial = view->header.version, .expires_s = view->header.expires_s};
    (void)keys_digest_hex(bundle_manifest_id(manifest), ret->id);
    (void)snprintf(ret->name, sizeof ret->name, "%s", view->name);
    (void)snprintf(ret->version, sizeof ret->version, "%s", view->release);
    (void)snprintf(ret->variant, sizeof ret->variant, "%s", view->variant);
    (void)snprintf(ret->requires, sizeof ret->requires, "%s", view->requires);
    ret->components = components_json(view);
    return ret->components == NULL ? err_set(e, &err_memory, "publishing: out of memory") : 0;
}

static int verify_open(const struct serve_server *server, const struct unpack_source *source,
                       uint64_t size, struct unpack_bundle **ret, struct store_bundle *ret_row,
                       struct err *e) {
    struct unpack_candidate *candidate = NULL;
    if (unpack_open(source, &candidate, e) < 0 ||
        unpack_verify_root(&candidate, server->root, ret, e) < 0)
        return -1;
    const struct bundle_manifest *manifest = unpack_bundle_manifest(*ret);
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    if (keys_envelope_check_expiry(&view->header, "the bundle",
                                   chrono_wall_ms(server->clock) / 1000, e) < 0)
        return -1;
    return describe(manifest, size, ret_row, e);
}

int serve_publish_take(struct serve_call *call, struct err *e) {
    const struct serve_server *server = call->server;
    struct serve_upload *upload = call->state;
    struct unpack_source_file file;
    struct unpack_source source;
    struct unpack_bundle *bundle = NULL;
    if (unpack_source_from_file(upload->fd, &file, &source, e) < 0)
        return -1;
    int done = verify_open(server, &source, file.size, &bundle, &upload->bundle, e);
    if (done == 0)
        done = unpack_check(bundle, &source, SERVE_PUBLISH_DECODE_MAX, e);
    if (done == 0)
        done = serve_repository_take(server, unpack_bundle_manifest(bundle), e);
    unpack_bundle_free(bundle);
    (void)snprintf(upload->name, sizeof upload->name, "%s.edge", upload->bundle.id);
    return done;
}

// Durable before it has its name, so that a name always means a whole bundle.
static int place(const struct serve_server *server, struct serve_upload *upload, struct err *e) {
    if (fs_sync(upload->fd, e) < 0 ||
        fs_rename(server->bundles, upload->temporary, upload->name, e) < 0)
        return -1;
    upload->temporary[0] = '\0';
    return fs_sync(server->bundles, e);
}

static void publish(struct serve_work *work) {
    struct serve_upload *upload = work->call->state;
    struct err e = ERR_NONE;
    bool placed =
        work->call->route->take(work->call, &e) == 0 && place(upload->server, upload, &e) == 0;
    end_upload(upload);
    if (placed) {
        serve_work_submit(work);
        return;
    }
    (void)err_prefix(&e, "publishing");
    serve_call_fail(work->call, &e);
    work->refused = true;
    work->ready(work->context);
}

static void *loop(void *context) {
    struct serve_publisher *p = context;
    for (;;) {
        (void)pthread_mutex_lock(&p->lock);
        while (p->first == NULL && !p->stopping)
            (void)pthread_cond_wait(&p->work, &p->lock);
        struct serve_work *work = p->first;
        if (work != NULL) {
            p->first = work->next;
            if (p->first == NULL)
                p->last = &p->first;
        }
        (void)pthread_mutex_unlock(&p->lock);
        if (work == NULL)
            return NULL;
        publish(work);
    }
}

void serve_publish_submit(struct serve_publisher *p, struct serve_work *work) {
    work->next = NULL;
    (void)pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    if (!stopping) {
        *p->last = work;
        p->last = &work->next;
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (!stopping)
        return;
    struct err e = ERR_NONE;
    (void)err_set(&e, &err_overloaded, "the controller is stopping");
    serve_call_fail(work->call, &e);
    work->refused = true;
    work->ready(work->context);
}

// What an upload left that was cut off by a power failure.
static int remove_temporary(void *context, const char *name, mode_t type, struct err *e) {
    const struct serve_server *server = context;
    (void)type;
    if (strncmp(name, TEMPORARY, strlen(TEMPORARY)) != 0)
        return 0;
    return fs_remove(server->bundles, name, e);
}

int serve_publish_open(struct serve_server *server, struct serve_publisher **ret, struct err *e) {
    if (fs_list(server->bundles, ".", remove_temporary, server, e) < 0)
        return err_prefix(e, "cleaning up after uploads");
    struct serve_publisher *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    p->server = server;
    p->last = &p->first;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    int failed = pthread_create(&p->thread, NULL, loop, p);
    if (failed != 0) {
        free(p);
        return err_errno(e, failed, "starting the thread that publishes");
    }
    *ret = p;
    return 0;
}

void serve_publish_stop(struct serve_publisher *p) {
    if (p == NULL || p->stopped)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stopping = true;
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    p->stopped = true;
}

void serve_publish_close(struct serve_publisher *p) {
    if (p == NULL)
        return;
    serve_publish_stop(p);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->work);
    free(p);
}

// ── In the store's thread ──

// What the release has no place for got its name before that was known. A file without a row is
// otherwise left: it may be what a store that was restored from a backup will be given again.
void serve_publish_drop(const struct serve_upload *upload) {
    struct err ignored = ERR_NONE;
    (void)fs_remove(upload->server->bundles, upload->name, &ignored);
}

int serve_publish_run(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_upload *upload = call->state;
    struct store_bundle *bundle = &upload->bundle;
    struct serve_engine *engine = call->server->engine;
    struct store_event event = {.kind = "release_published"};
    bundle->published_s = serve_call_now_s(call);
    (void)snprintf(bundle->actor, sizeof bundle->actor, "%s", call->who.name);
    int added = store_release_add(db, bundle, e);
    if (added < 0) {
        if (err_is(e, &err_exists))
            serve_publish_drop(upload);
        return -1;
    }
    if (added == STORE_RELEASE_KNOWN) {
        struct store_bundle there;
        serve_engine_doubt(engine); // its file may have another size now
        if (store_release_get(db, bundle->id, &there, e) != 0)
            return -1;
        int done = serve_call_answer(call, 200, serve_show_bundle(&there), e);
        store_release_clear(&there);
        return done;
    }
    OWN(json) json_t *shown = serve_show_bundle(bundle);
    (void)snprintf(event.subject, sizeof event.subject, "%s %s", bundle->name, bundle->version);
    if (store_audit_add(db, bundle->published_s, call->who.name, "release.publish", event.subject,
                        shown, e) < 0 ||
        serve_engine_tell(engine, db, call->now_ms, &event, e) < 0)
        return -1;
    serve_engine_doubt(engine); // read the releases anew
    return serve_call_answer(call, 201, json_incref(shown), e);
}
