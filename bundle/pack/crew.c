// SPDX-License-Identifier: Apache-2.0
//
// Threads and the pile they work off.
#include "bundle/pack/crew.h"

#include <sched.h>

struct pile {
    const struct pack_crew *crew;
    pthread_mutex_t lock;
    uint64_t next;
    bool failed;
    struct err error;
};

unsigned pack_crew_threads(unsigned wanted) {
    cpu_set_t cores;
    if (wanted == 0)
        wanted = sched_getaffinity(0, sizeof cores, &cores) == 0 ? (unsigned)CPU_COUNT(&cores) : 1;
    return wanted > PACK_CREW_MAX ? PACK_CREW_MAX : wanted;
}

static bool take(struct pile *p, uint64_t *ret) {
    (void)pthread_mutex_lock(&p->lock);
    bool more = !p->failed && p->next < p->crew->n_tasks;
    if (more)
        *ret = p->next++;
    (void)pthread_mutex_unlock(&p->lock);
    return more;
}

static void fail(struct pile *p, const struct err *e) {
    (void)pthread_mutex_lock(&p->lock);
    if (!p->failed)
        p->error = *e;
    p->failed = true;
    (void)pthread_mutex_unlock(&p->lock);
    if (p->crew->stop)
        p->crew->stop(p->crew->context);
}

static void *member(void *context) {
    struct pile *p = context;
    const struct pack_crew *crew = p->crew;
    struct err e = ERR_NONE;
    void *own = NULL;
    uint64_t task;
    int r = crew->enter(crew->context, &own, &e);
    while (r == 0 && take(p, &task))
        r = crew->work(crew->context, own, task, &e);
    if (r < 0)
        fail(p, &e);
    crew->leave(crew->context, own);
    return NULL;
}

int pack_crew_run(const struct pack_crew *crew, struct err *e) {
    struct pile pile = {.crew = crew, .lock = PTHREAD_MUTEX_INITIALIZER, .error = ERR_NONE};
    pthread_t threads[PACK_CREW_MAX];
    unsigned wanted = pack_crew_threads(crew->threads), n = 0;
    if (wanted > crew->n_tasks)
        wanted = (unsigned)crew->n_tasks;
    // Fewer threads than wished for are slower, not wrong.
    while (n + 1 < wanted && pthread_create(&threads[n], NULL, member, &pile) == 0)
        n++;
    (void)member(&pile);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_mutex_destroy(&pile.lock);
    if (pile.failed)
        *e = pile.error;
    return pile.failed ? -1 : 0;
}
