/* link_local.h -- a link between threads of one program: what a process sends is in the other's queue at
 * once.  A process can be cut off: nothing that it sends arrives, and it gets nothing, as if it were dead. */
#ifndef TESTS_LINK_LOCAL_H
#define TESTS_LINK_LOCAL_H

#include "test.h"

#include <pthread.h>
#include <time.h>

#include "exchange/link.h"

enum { LOCAL_MOST = 16 };

/* For threads of their own, which cannot fail a test of cmocka's. */
#define MUST(condition)                                                                   \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

typedef struct local_item {
    struct local_item *next;
    asgdi_frame       *frame;
    uint32_t           from;
} local_item;

typedef struct local_net {
    pthread_mutex_t lock;
    pthread_cond_t  came[LOCAL_MOST];
    local_item     *first[LOCAL_MOST], *last[LOCAL_MOST];
    bool            cut[LOCAL_MOST];
    uint32_t        size;
    uint64_t        run, frames;
} local_net;

typedef struct local_link {
    asgdi_link link;
    local_net *net;
} local_link;

static inline void local_net_init(local_net *n, uint32_t size)
{
    *n = (local_net){.size = size, .run = 4711};
    pthread_mutex_init(&n->lock, NULL);
    for (uint32_t i = 0; i < size; i++) pthread_cond_init(&n->came[i], NULL);
}

static inline void local_net_free(local_net *n)
{
    for (uint32_t i = 0; i < n->size; i++)
        for (local_item *x = n->first[i], *next; x; x = next) {
            next = x->next;
            asgdi_frame_free(x->frame);
            free(x);
        }
    for (uint32_t i = 0; i < n->size; i++) pthread_cond_destroy(&n->came[i]);
    pthread_mutex_destroy(&n->lock);
}

static inline void local_cut(local_net *n, uint32_t process)
{
    pthread_mutex_lock(&n->lock);
    n->cut[process] = true;
    pthread_mutex_unlock(&n->lock);
}

static inline void local_heal(local_net *n, uint32_t process)
{
    pthread_mutex_lock(&n->lock);
    n->cut[process] = false;
    pthread_mutex_unlock(&n->lock);
}

static inline void local_send(asgdi_link *l, uint32_t to, asgdi_frame *f)
{
    local_net   *n    = ((local_link *)l)->net;
    local_item  *item = calloc(1, sizeof *item);
    asgdi_frame *copy = asgdi_frame_new(f->bytes); /* frames are counted by one thread */
    MUST(item && copy);
    memcpy(copy->data, f->data, f->bytes);
    *item = (local_item){.frame = copy, .from = l->self};
    asgdi_frame_free(f);
    pthread_mutex_lock(&n->lock);
    n->frames++;
    if (n->cut[to] || n->cut[l->self]) {
        asgdi_frame_free(copy);
        free(item);
    } else {
        if (n->first[to])
            n->last[to]->next = item;
        else
            n->first[to] = item;
        n->last[to] = item;
        pthread_cond_signal(&n->came[to]);
    }
    pthread_mutex_unlock(&n->lock);
}

static inline asgdi_frame *local_receive(asgdi_link *l, uint32_t *from)
{
    local_net   *n = ((local_link *)l)->net;
    asgdi_frame *f = NULL;
    pthread_mutex_lock(&n->lock);
    local_item *item = n->first[l->self];
    if (item) {
        n->first[l->self] = item->next;
        f                 = item->frame;
        *from             = item->from;
    }
    if (f && n->cut[l->self]) {
        asgdi_frame_free(f);
        f = NULL;
    }
    pthread_mutex_unlock(&n->lock);
    free(item);
    return f;
}

static inline void local_drop(asgdi_link *l, uint32_t process)
{
    (void)l;
    (void)process;
}

static inline size_t local_waiting(const asgdi_link *l, uint32_t process)
{
    (void)l;
    (void)process;
    return 0;
}

static inline void local_rest(asgdi_link *l, double seconds)
{
    local_net      *n = ((local_link *)l)->net;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const double until = (double)t.tv_nsec * 1e-9 + seconds;
    t.tv_sec += (time_t)until;
    t.tv_nsec = (long)((until - (double)(time_t)until) * 1e9);
    pthread_mutex_lock(&n->lock);
    if (!n->first[l->self]) pthread_cond_timedwait(&n->came[l->self], &n->lock, &t);
    pthread_mutex_unlock(&n->lock);
}

static inline void local_close(asgdi_link *l, double seconds, bool lost, int code)
{
    (void)seconds;
    (void)lost;
    (void)code;
    free(l);
}

static inline asgdi_link *local_open(local_net *n, uint32_t self)
{
    local_link *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->link = (asgdi_link){.name    = "local",
                           .self    = self,
                           .size    = n->size,
                           .run     = n->run,
                           .host    = "here",
                           .send    = local_send,
                           .receive = local_receive,
                           .drop    = local_drop,
                           .waiting = local_waiting,
                           .rest    = local_rest,
                           .close   = local_close};
    l->net  = n;
    return &l->link;
}

#endif
