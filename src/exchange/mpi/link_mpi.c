/* link_mpi.c -- frames between processes by MPI's messages; a module of its own (link.h), so that neither
 * libasgd nor asgd needs MPI to be there.
 *
 *     control    the sizes of frames, and up to SMALL bytes of them behind it; goodbyes; into one receive of that size
 *                for each peer, always posted
 *     bulk       frames that are longer than that; into memory of exactly their size, posted in the order announced
 *
 * Frames that wait together go together, for a message costs MPI as much as copying some 100 KiB: it is asked for and
 * granted before it is sent, by processes that sleep in between.
 *
 * Two communicators, so that neither is taken for the other.  MPI keeps the messages of a pair in order in each,
 * and receive() hands frames out in the order announced, so frames of a pair stay in order.
 *
 * What has to hold for the survivors of a killed process to go on (Open MPI 4.1 with orte_enable_recovery):
 *   - no call waits: every send and receive is begun, then asked about;
 *   - every receive names its peer: one for anybody would hang on a message that a dead process sent half of;
 *   - nothing collective after open();
 *   - what was begun with a dead process is never cancelled or waited for.  Its memory stays until MPI gives it
 *     back, which may be never: at most a batch a peer;
 *   - when a connection breaks, no header of a message may be queued in Open MPI, or it aborts the survivor
 *     (pml/ob1), and no message may be begun on it, or it loses its place in the loop of events (btl/tcp).
 *
 * The last is why sends go out in batches, each begun when all that was sent to that peer before has arrived, just
 * after MPI has looked at its connections: sends are synchronous (Issend), so the connection is empty then and takes
 * all headers at once, and to a dead peer nothing more is begun.  prepare() sets what else that needs.
 * It also bounds what piles up at a receiver that is slow, or stopped.  Receivers take announced frames as they have
 * room for; what they have not taken waits at its sender. */
#define _GNU_SOURCE
#include "exchange/link.h"
#include "exchange/mpi/launcher.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    PROTOCOL = 2,    /* of the messages here; the same in all processes */
    SMALL    = 4096, /* bytes of a control message */
    /* What goes together: bytes, unless it is one frame, and frames. */
    TOGETHER      = 512 << 10,
    TOGETHER_MOST = 64,
    /* Bytes that are sent to a peer at a time; and of them those that MPI sends without being asked,
     * which of a long frame are RENDEZVOUS, headers included. */
    BATCH      = 4 << 20,
    AT_ONCE    = 24 << 10,
    RENDEZVOUS = 1536,
    /* Bytes of long frames that are coming in or were not fetched; but one a peer always may. */
    RECEIVE_MOST = 64 << 20,
    MASK_BYTES   = ASGDI_PROCESSES_MAX / 8,
};

/* Tags of control messages. */
enum {
    TAG_FRAMES, /* uint32_t n, their bytes [n]; then the frames themselves, or nothing: they follow as bulk */
    TAG_GOODBYE, /* goodbye */
};

typedef struct goodbye {
    int32_t code;
    uint8_t gone[MASK_BYTES]; /* processes that the sender has dropped */
} goodbye;

/* A frame that waits to be sent. */
typedef struct parcel parcel;
struct parcel {
    parcel      *next;
    asgdi_frame *frame;
};

/* A message on its way out: two where it is long. */
typedef struct letter {
    uint8_t      requests; /* of MPI, with this memory */
    asgdi_frame *frame;    /* one long frame goes out from where it is; NULL: all is here */
    uint8_t      text[];   /* of the control message, and what follows it */
} letter;

/* A message on its way in, and what receive() has not fetched of it. */
typedef struct bundle bundle;
struct bundle {
    bundle      *next;
    asgdi_frame *frame;          /* one, or some one after the other; NULL: no receive is posted */
    uint32_t     bytes;          /* of all */
    uint32_t     n, fetched, at; /* frames; of them, and bytes of them, fetched */
    bool         bulk;           /* counts as held */
    bool         taking;         /* MPI has it */
    bool         here;           /* has come in */
    bool         abandoned;      /* nobody wants it, but MPI has it */
    uint32_t     size[];         /* [n] */
};

typedef struct peer {
    bool     gone;      /* dropped, or MPI reported an error with it */
    bool     bye;       /* its goodbye has come: nothing comes after it */
    bool     bye_begun; /* ours is on its way to it */
    uint32_t sending;   /* requests */
    uint32_t taking;    /* receives of announced frames that are posted */
    size_t   waiting;   /* bytes in out */
    parcel  *out, *out_last;
    bundle  *in, *in_last;
    bundle  *unposted; /* the first of `in` that is announced and has no receive */
} peer;

/* What a request of MPI is for.  The first `size` slots are the peers' control receives, for ever; behind
 * them is what is under way, in any order. */
typedef enum slot_kind { FREE, CONTROL, SEND, TAKE } slot_kind;
typedef struct slot {
    slot_kind kind;
    uint32_t  peer;
    letter   *letter; /* SEND, but for a goodbye */
    bundle   *bundle; /* TAKE */
} slot;

typedef struct mpi_link {
    asgdi_link   link;
    MPI_Comm     control, bulk;
    bool         ours;    /* MPI was begun here, so it is ended here */
    bool         out;     /* the others have given this process up */
    bool         lost;    /* nothing may be waited for that all would have to do */
    bool         starved; /* some announced frame waits for room, or memory */
    bool         closing; /* what comes in is thrown away */
    peer        *peers;
    uint8_t     *boxes;  /* [size][SMALL]: of the control receives */
    uint32_t     ready;  /* peers whose next frame is here */
    uint32_t     turn;   /* peer to be asked next */
    size_t       held;   /* bytes of announced frames that are coming in or not fetched */
    size_t       queued; /* frames in all peers' out */
    int          n, capacity;
    MPI_Request *requests; /* [capacity], and so are: */
    MPI_Status  *statuses;
    slot        *slots;
    int         *done;
    goodbye      bye;
} mpi_link;

static mpi_link *mine(asgdi_link *l)
{
    return (mpi_link *)l;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- queues ---- */

static void out_append(peer *q, parcel *p)
{
    p->next = NULL;
    if (q->out)
        q->out_last->next = p;
    else
        q->out = p;
    q->out_last = p;
}

/* The frame that has waited longest; the caller's now. */
static asgdi_frame *out_pop(mpi_link *m, peer *q)
{
    parcel      *p = q->out;
    asgdi_frame *f = p->frame;
    q->out         = p->next;
    q->waiting -= f->bytes;
    m->queued--;
    free(p);
    return f;
}

static void in_append(peer *q, bundle *b)
{
    b->next = NULL;
    if (q->in)
        q->in_last->next = b;
    else
        q->in = b;
    q->in_last = b;
}

static bool head_is_here(const peer *q)
{
    return q->in && q->in->here;
}

static void bundle_free(bundle *b)
{
    asgdi_frame_free(b->frame);
    free(b);
}

/* Of a queue, the oldest; what MPI has stays until it is done. */
static void in_pop(mpi_link *m, peer *q)
{
    bundle *b = q->in;
    q->in     = b->next;
    if (b->bulk) m->held -= b->bytes;
    b->abandoned = b->taking;
    if (!b->abandoned) bundle_free(b);
}

static void letter_free(letter *e)
{
    asgdi_frame_free(e->frame);
    free(e);
}

/* ---- requests ---- */

/* Room for so many more requests; false: no memory, nothing changed. */
static bool room(mpi_link *m, int more)
{
    if (m->n + more <= m->capacity) return true;
    const size_t n = (size_t)(m->n + more) * 2;
#define GROW(array)                                        \
    do {                                                   \
        void *p = realloc(m->array, n * sizeof *m->array); \
        if (!p) return false;                              \
        m->array = p;                                      \
    } while (0)
    GROW(requests);
    GROW(statuses);
    GROW(slots);
    GROW(done);
#undef GROW
    m->capacity = (int)n;
    return true;
}

static bool post_control(mpi_link *m, uint32_t from)
{
    return MPI_Irecv(m->boxes + (size_t)from * SMALL, SMALL, MPI_BYTE, (int)from, MPI_ANY_TAG,
                     m->control, &m->requests[from]) == MPI_SUCCESS;
}

/* ---- losing a peer ---- */

static void drop(asgdi_link *l, uint32_t process)
{
    mpi_link *m = mine(l);
    if (process == l->self) {
        m->out = true;
        return;
    }
    peer *q = &m->peers[process];
    if (q->gone) return;
    q->gone = true;
    m->ready -= head_is_here(q);
    while (q->out) asgdi_frame_free(out_pop(m, q));
    while (q->in) in_pop(m, q);
    q->unposted = NULL;
    m->starved  = true; /* others may have the room now */
}

/* MPI reports an error: nothing sensible comes from there any more. */
static void lose(mpi_link *m, uint32_t process)
{
    m->lost = true;
    drop(&m->link, process);
}

/* ---- out ---- */

/* The request that was just begun in requests[n], for which there was room(); e: NULL for a goodbye. */
static void sending(mpi_link *m, uint32_t to, letter *e)
{
    m->peers[to].sending++;
    m->slots[m->n++] = (slot){.kind = SEND, .peer = to, .letter = e};
    if (e) e->requests++;
}

static bool send_control(mpi_link *m, uint32_t to, letter *e, size_t bytes, bool last)
{
    MPI_Request *r = &m->requests[m->n];
    const int    error =
        last ? MPI_Issend(e->text, (int)bytes, MPI_BYTE, (int)to, TAG_FRAMES, m->control, r)
                : MPI_Isend(e->text, (int)bytes, MPI_BYTE, (int)to, TAG_FRAMES, m->control, r);
    if (error == MPI_SUCCESS) sending(m, to, e);
    return error == MPI_SUCCESS;
}

static bool send_bulk(mpi_link *m, uint32_t to, letter *e, const uint8_t *from, size_t bytes)
{
    if (MPI_Issend(from, (int)bytes, MPI_BYTE, (int)to, 0, m->bulk, &m->requests[m->n]) !=
        MPI_SUCCESS)
        return false;
    sending(m, to, e);
    return true;
}

/* What the next message to a peer is of. */
typedef struct message {
    uint32_t n;
    size_t   head, bytes; /* of the sizes; of the frames */
} message;

static bool is_long(const message *a)
{
    return a->head + a->bytes > SMALL;
}

static message next_message(const peer *q)
{
    message a = {0};
    for (const parcel *p = q->out; p && a.n < TOGETHER_MOST; p = p->next) {
        if (a.n && a.bytes + p->frame->bytes > TOGETHER) break;
        a.bytes += p->frame->bytes;
        a.n++;
    }
    a.head = sizeof(uint32_t) * (1 + a.n);
    return a;
}

/* false: no memory, and nothing is changed. */
static bool send_message(mpi_link *m, uint32_t to, const message *a)
{
    peer      *q      = &m->peers[to];
    const bool as_is  = a->n == 1 && is_long(a);
    letter    *e      = malloc(sizeof *e + a->head + (as_is ? 0 : a->bytes));
    uint8_t   *frames = e ? e->text + a->head : NULL;
    if (!e) return false;
    *e = (letter){0};
    memcpy(e->text, &a->n, sizeof a->n);
    for (uint32_t i = 0; i < a->n; i++) {
        asgdi_frame *f = out_pop(m, q);
        memcpy(e->text + sizeof(uint32_t) * (1 + i), &f->bytes, sizeof f->bytes);
        if (as_is) {
            e->frame = f;
            break;
        }
        memcpy(frames, f->data, f->bytes);
        frames += f->bytes;
        asgdi_frame_free(f);
    }
    const bool sent =
        is_long(a) ? send_control(m, to, e, a->head, false) &&
                         send_bulk(m, to, e, as_is ? e->frame->data : e->text + a->head, a->bytes)
                   : send_control(m, to, e, a->head + a->bytes, true);
    if (sent) return true;
    if (e->requests == 0) letter_free(e);
    lose(m, to);
    return true;
}

/* The next frames for a peer, if all that went to it before has arrived. */
static void send_batch(mpi_link *m, uint32_t to)
{
    peer *q = &m->peers[to];
    if (q->sending > 0) return;
    size_t at_once = 0, bytes = 0;
    while (q->out && room(m, 2)) {
        const message a = next_message(q);
        at_once += a.head + (is_long(&a) ? RENDEZVOUS : a.bytes + RENDEZVOUS / 8);
        bytes += a.bytes;
        if (q->sending > 0 && (at_once > AT_ONCE || bytes > BATCH)) return;
        if (!send_message(m, to, &a) || q->gone) return;
    }
}

static void send(asgdi_link *l, uint32_t to, asgdi_frame *f)
{
    mpi_link *m = mine(l);
    parcel   *p = m->peers[to].gone ? NULL : malloc(sizeof *p);
    if (!p) { /* gone, or no memory: a frame may be lost */
        asgdi_frame_free(f);
        return;
    }
    p->frame = f;
    out_append(&m->peers[to], p);
    m->peers[to].waiting += f->bytes;
    m->queued++;
}

static size_t waiting(const asgdi_link *l, uint32_t process)
{
    return ((const mpi_link *)l)->peers[process].waiting;
}

/* ---- in ---- */

/* A bundle that is here is at the end of its peer's queue, or was somewhere in it. */
static void arrived(mpi_link *m, peer *q, bundle *b)
{
    b->here = true;
    m->ready += b == q->in;
}

/* Posts receives for announced frames, as far as there is room. */
static void take_announced(mpi_link *m, uint32_t from)
{
    peer *q = &m->peers[from];
    while (q->unposted) {
        bundle *b = q->unposted;
        if ((q->taking > 0 && m->held + b->bytes > RECEIVE_MOST) || !room(m, 1) ||
            !(b->frame = asgdi_frame_new(b->bytes))) {
            m->starved = true;
            return;
        }
        b->bulk = true;
        m->held += b->bytes;
        if (MPI_Irecv(b->frame->data, (int)b->bytes, MPI_BYTE, (int)from, 0, m->bulk,
                      &m->requests[m->n]) != MPI_SUCCESS) {
            lose(m, from);
            return;
        }
        b->taking        = true;
        m->slots[m->n++] = (slot){.kind = TAKE, .peer = from, .bundle = b};
        q->taking++;
        do q->unposted = q->unposted->next;
        while (q->unposted && q->unposted->here);
    }
}

static void take_all_announced(mpi_link *m)
{
    m->starved = false;
    for (uint32_t p = 0; p < m->link.size; p++) take_announced(m, p);
}

static void end_of_job(int code);

static void take_goodbye(mpi_link *m, uint32_t from, const goodbye *g)
{
    if (g->code) end_of_job(g->code);
    m->peers[from].bye = true;
    for (uint32_t p = 0; m->closing && p < m->link.size; p++)
        if (p != m->link.self && (g->gone[p / 8] >> p % 8 & 1)) lose(m, p);
}

/* What a control message says of frames: none of them is here yet.  NULL: nonsense, or no memory. */
static bundle *read_sizes(const uint8_t *box, size_t bytes)
{
    uint32_t n = 0;
    if (bytes >= sizeof n) memcpy(&n, box, sizeof n);
    if (n == 0 || n > TOGETHER_MOST || sizeof n * (1 + (size_t)n) > bytes) return NULL;
    bundle *b = malloc(sizeof *b + n * sizeof *b->size);
    if (!b) return NULL;
    *b        = (bundle){.n = n};
    bool good = true;
    memcpy(b->size, box + sizeof n, n * sizeof *b->size);
    for (uint32_t i = 0; i < n && good; i++) {
        good = b->size[i] > 0 && b->size[i] <= ASGDI_FRAME_MAX &&
               (n == 1 || b->size[i] <= TOGETHER - b->bytes);
        b->bytes += b->size[i];
    }
    const size_t here = bytes - sizeof n * (1 + (size_t)n);
    if (good && (here == 0 || here == b->bytes)) return b;
    free(b);
    return NULL;
}

/* A control message of so many bytes. */
static void take_control(mpi_link *m, uint32_t from, int tag, size_t bytes)
{
    peer          *q   = &m->peers[from];
    const uint8_t *box = m->boxes + (size_t)from * SMALL;
    if (tag == TAG_GOODBYE && bytes == sizeof(goodbye)) {
        goodbye g;
        memcpy(&g, box, sizeof g);
        take_goodbye(m, from, &g);
        return;
    }
    bundle *b = tag == TAG_FRAMES ? read_sizes(box, bytes) : NULL;
    if (!b) { /* an announcement that is forgotten would put all that follow out of step */
        lose(m, from);
        return;
    }
    const size_t here = bytes - sizeof(uint32_t) * (1 + (size_t)b->n);
    if (here == 0) {
        in_append(q, b);
        if (!q->unposted) q->unposted = b;
        take_announced(m, from);
        return;
    }
    b->frame = asgdi_frame_new(here);
    if (!b->frame) { /* frames may be lost */
        bundle_free(b);
        return;
    }
    memcpy(b->frame->data, box + (bytes - here), here);
    in_append(q, b);
    arrived(m, q, b);
}

/* Request i is done. */
static void complete(mpi_link *m, int i, const MPI_Status *status, bool failed)
{
    const slot s = m->slots[i];
    peer      *q = &m->peers[s.peer];
    int        bytes;
    m->requests[i] = MPI_REQUEST_NULL;
    switch (s.kind) {
    case FREE: return;
    case CONTROL:
        if (!failed && !q->gone) {
            failed = MPI_Get_count(status, MPI_BYTE, &bytes) != MPI_SUCCESS || bytes < 0;
            if (!failed) take_control(m, s.peer, status->MPI_TAG, (size_t)bytes);
            if (!failed && !q->gone && !q->bye) failed = !post_control(m, s.peer);
        }
        if (failed) lose(m, s.peer);
        return;
    case SEND: q->sending--; break;
    case TAKE: q->taking--; break;
    }
    m->slots[i].kind = FREE;
    if (failed) lose(m, s.peer); /* while the memory still counts as MPI's */
    if (s.letter && --s.letter->requests == 0) letter_free(s.letter);
    if (!s.bundle) return;
    s.bundle->taking = false;
    if (s.bundle->abandoned)
        bundle_free(s.bundle);
    else
        arrived(m, q, s.bundle);
}

/* Slots behind the control receives that are free are filled with the last ones. */
static void compact(mpi_link *m)
{
    int keep = (int)m->link.size;
    for (int i = keep; i < m->n; i++) {
        if (m->slots[i].kind == FREE) continue;
        m->slots[keep]    = m->slots[i];
        m->requests[keep] = m->requests[i];
        keep++;
    }
    m->n = keep;
}

/* Lets MPI work, and deals with what is done; false: nothing was. */
static bool poll_once(mpi_link *m)
{
    int       n     = 0;
    const int error = MPI_Testsome(m->n, m->requests, &n, m->done, m->statuses);
    if (n == MPI_UNDEFINED || n <= 0) return false;
    bool in_status = false;
    if (error != MPI_SUCCESS) {
        int class;
        in_status = MPI_Error_class(error, &class) == MPI_SUCCESS && class == MPI_ERR_IN_STATUS;
    }
    for (int k = 0; k < n; k++)
        complete(m, m->done[k], &m->statuses[k],
                 in_status && m->statuses[k].MPI_ERROR != MPI_SUCCESS);
    compact(m);
    return true;
}

static void send_all(mpi_link *m)
{
    for (uint32_t p = 0; m->queued > 0 && p < m->link.size; p++) send_batch(m, p);
}

static void poll(mpi_link *m)
{
    enum { TURNS = 64 }; /* so that a flood does not keep the caller for ever */
    /* Open MPI looks first and then works, so what this work has brought is seen by a second look.  Once connections
     * have broken it may work at its sockets in one of eight calls only. */
    const int looks = m->lost ? 9 : 2;
    int       turns = 0;
    for (int look = 0; look < looks && turns == 0; look++) turns += poll_once(m);
    while (turns > 0 && turns < TURNS && poll_once(m)) turns++;
    if (m->starved) take_all_announced(m);
    send_all(m);
}

/* The next frame of a bundle that is here; NULL: no memory, and it is lost. */
static asgdi_frame *next_frame(bundle *b)
{
    const uint32_t bytes = b->size[b->fetched++];
    asgdi_frame   *f     = b->n == 1 ? asgdi_frame_hold(b->frame) : asgdi_frame_new(bytes);
    if (f && b->n > 1) memcpy(f->data, b->frame->data + b->at, bytes);
    b->at += bytes;
    return f;
}

static asgdi_frame *receive(asgdi_link *l, uint32_t *from)
{
    mpi_link *m = mine(l);
    if (!m->ready) poll(m);
    if (!m->ready) return NULL;
    while (!head_is_here(&m->peers[m->turn])) m->turn = (m->turn + 1) % l->size;
    peer        *q = &m->peers[m->turn];
    asgdi_frame *f = next_frame(q->in);
    *from          = m->turn;
    m->turn        = (m->turn + 1) % l->size;
    if (q->in->fetched == q->in->n) {
        in_pop(m, q);
        m->ready -= !head_is_here(q);
        if (m->starved) take_all_announced(m);
    }
    return f;
}

/* ---- passing time ---- */

static void nap(double seconds)
{
    const struct timespec t = {.tv_sec  = (time_t)seconds,
                               .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* MPI has nothing to wait on that would not spin, so it is asked again and again; each look costs the core that a worker
 * may need, so what the caller bears passes in one nap, and MPI is asked when the caller asks for what has come. */
static void rest(asgdi_link *l, double seconds)
{
    static const double MOST  = 2e-3;
    mpi_link           *m     = mine(l);
    const double        until = now() + seconds;
    send_all(m);
    for (double left = seconds; !m->ready && left > 0; left = until - now()) {
        nap(left < MOST ? left : MOST);
        if (left <= MOST) return;
        poll(m);
    }
}

/* ---- the end ---- */

/* Ends all processes, with this code. */
static void end_of_job(int code)
{
    asgdi_tell_launcher(code);
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}

/* Goodbye to those that are left, once nothing waits for them. */
static void say_goodbye(mpi_link *m)
{
    for (uint32_t p = 0; p < m->link.size; p++) {
        peer *q = &m->peers[p];
        if (p == m->link.self || q->gone || q->bye_begun || q->out || q->sending > 0 || !room(m, 1))
            continue;
        if (MPI_Isend(&m->bye, (int)sizeof m->bye, MPI_BYTE, (int)p, TAG_GOODBYE, m->control,
                      &m->requests[m->n]) == MPI_SUCCESS) {
            q->bye_begun = true;
            sending(m, p, NULL);
        } else {
            lose(m, p);
        }
    }
}

/* Nothing more is to go to or come from that peer. */
static bool settled(const peer *q, bool answered)
{
    return q->gone || (q->bye_begun && !q->sending && (!answered || (q->bye && !q->taking)));
}

/* Goodbyes both ways, until `until`; false: somebody did not answer.  answered: theirs are waited for, too. */
static bool part(mpi_link *m, double until, bool answered)
{
    m->closing = true;
    for (;;) {
        asgdi_frame *f;
        uint32_t     from, open = 0;
        say_goodbye(m);
        while ((f = receive(&m->link, &from))) asgdi_frame_free(f);
        for (uint32_t p = 0; p < m->link.size; p++)
            open += p != m->link.self && !settled(&m->peers[p], answered);
        const double t = now();
        if (open == 0 || !(t < until)) return open == 0;
        rest(&m->link, until - t < 0.01 ? until - t : 0.01);
    }
}

/* Ends the process where MPI_Finalize, which waits for all, has not come back in time. */
typedef struct guard {
    pthread_t       thread;
    pthread_mutex_t mutex;
    pthread_cond_t  cond;
    double          until;
    bool            done;
} guard;

static void *watch(void *arg)
{
    guard *g = arg;
    pthread_mutex_lock(&g->mutex);
    for (double left; !g->done && (left = g->until - now()) > 0;) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        const double at = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + left;
        t.tv_sec        = (time_t)at;
        t.tv_nsec       = (long)((at - (double)t.tv_sec) * 1e9);
        pthread_cond_timedwait(&g->cond, &g->mutex, &t);
    }
    if (!g->done) _exit(0);
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

static void finalize(double until)
{
#if !defined(OPEN_MPI)
    /* MPICH 4.0 over UCX's tcp hangs here now and then, waiting for a peer that is past it already.  Its mpirun minds
     * only what the processes exit with. */
    until = now() + 2;
#endif
    guard g = {
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .until = until};
    const bool guarded = pthread_create(&g.thread, NULL, watch, &g) == 0;
    MPI_Finalize();
    if (!guarded) return;
    pthread_mutex_lock(&g.mutex);
    g.done = true;
    pthread_cond_signal(&g.cond);
    pthread_mutex_unlock(&g.mutex);
    pthread_join(g.thread, NULL);
}

static void link_free(mpi_link *m)
{
    for (uint32_t p = 0; m->peers && p < m->link.size; p++) {
        while (m->peers[p].out) asgdi_frame_free(out_pop(m, &m->peers[p]));
        while (m->peers[p].in) in_pop(m, &m->peers[p]);
    }
    free(m->peers);
    free(m->boxes);
    free(m->requests);
    free(m->statuses);
    free(m->slots);
    free(m->done);
    free(m);
}

/* A setting of mpirun's, which it hands on to the processes. */
static bool setting_is(const char *name, const char *value)
{
    const char *text = getenv(name);
    return text && strcmp(text, value) == 0;
}

/* Where somebody is lost, MPI_Finalize would wait for it, and mpirun may take a process that ends without it for a
 * failed one.  So the lowest of those left ends the job, with success; all have said goodbye by then.  An mpirun
 * that is to bear everything takes no notice of that, and waits until each has ended. */
static void leave(mpi_link *m, int code)
{
    uint32_t lowest = 0;
    while (lowest != m->link.self && m->peers[lowest].gone) lowest++;
    asgdi_tell_launcher(code);
    fflush(NULL);
    if (!setting_is("OMPI_MCA_orte_enable_recovery", "1")) {
        signal(SIGTERM, SIG_DFL); /* which is how it will come */
        if (lowest == m->link.self) MPI_Abort(MPI_COMM_WORLD, code);
        nap(1);
    }
    _exit(code);
}

/* The others have given this process up: how it ends must not look like a failure of the job. */
static void leave_alone(double seconds, int code)
{
    fflush(NULL);
    if (setting_is("OMPI_MCA_orte_enable_recovery", "1")) _exit(code);
    if (!setting_is("OMPI_MCA_orte_abort_on_non_zero_status", "0"))
        nap(seconds); /* the others may end first */
    raise(SIGKILL);   /* mpirun bears that, but not that a process leaves by itself */
}

static void close_link(asgdi_link *l, double seconds, bool lost, int code)
{
    mpi_link    *m     = mine(l);
    const double until = now() + seconds;
    m->bye.code        = code;
    m->lost |= lost;
    for (uint32_t p = 0; p < l->size; p++) {
        m->lost |= m->peers[p].gone;
        m->bye.gone[p / 8] |= (uint8_t)(m->peers[p].gone << p % 8);
    }
    if (m->out) leave_alone(seconds, code);
    if (code) {
        part(m, seconds < 1 ? until : now() + 1, false);
        end_of_job(code);
    }
    if (!part(m, until, true) || m->lost) leave(m, code);
    asgdi_tell_launcher(code);
    if (m->ours) {
        finalize(until + 1);
    } else {
        MPI_Comm_free(&m->bulk);
        MPI_Comm_free(&m->control);
    }
    link_free(m);
}

/* ---- the beginning ---- */

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#if defined(OPEN_MPI)
#define MADE_FOR \
    "Open MPI " TEXT(OMPI_MAJOR_VERSION) "." TEXT(OMPI_MINOR_VERSION) "." TEXT(OMPI_RELEASE_VERSION)
#elif defined(I_MPI_VERSION)
#define MADE_FOR "Intel MPI " I_MPI_VERSION
#elif defined(MPICH_VERSION)
#define MADE_FOR "MPICH " MPICH_VERSION
#else
#define MADE_FOR "MPI " TEXT(MPI_VERSION) "." TEXT(MPI_SUBVERSION)
#endif

/* How many processes whoever started this one says there are; 0: nobody says. */
static long told_processes(const char **by)
{
    static const struct {
        const char *variable, *by;
    } known[] = {{"OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"},
                 {"PMI_SIZE", "MPICH's mpirun"},
                 {"SLURM_STEP_NUM_TASKS", "srun"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *text = getenv(known[i].variable);
        *by              = known[i].by;
        if (text) return strtol(text, NULL, 10);
    }
    return 0;
}

/* Settings of Open MPI, where the user has not made them: before it is begun. */
static void prepare(void)
{
    static const char *const settings[][2] = {
        /* It would give up the processor whenever it finds nothing to do; rest() knows better when. */
        {"mpi_yield_when_idle", "0"},
        /* What of a message is sent before the receiver asks for it, and the rest in one piece, which is the one
         * kind that survives the end of a connection. */
        {"btl_tcp_eager_limit", "8192"},
        {"btl_tcp_rndv_eager_limit", "1024"},
        {"btl_tcp_min_rdma_pipeline_size", "0"},
        {"btl_tcp_rdma_pipeline_send_length", "0"},
        /* It counts connections wrongly when they break, and may then look at sockets once in 10 ms only. */
        {"mpi_event_tick_rate", "1"},
        /* By poll(2), an event that is added for a socket which was just closed is kept, and found again when the
         * number is used again: an endless loop. */
        {"opal_event_include", "epoll"},
        /* Reading a dead process's memory aborts the reader. */
        {"btl_vader_single_copy_mechanism", "none"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char name[64];
        snprintf(name, sizeof name, "OMPI_MCA_%s", settings[i][0]);
        setenv(name, settings[i][1], 0);
    }
    /* Writing to a dead process's socket raises this signal, whose default ends the process. */
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

/* One thread calls MPI, so FUNNELED is what is right.  But Open MPI then takes locks that nobody contends for, and one
 * of them twice where it cleans up after a broken connection: a deadlock.  Its SINGLE takes none, and its own
 * threads do not depend on it. */
#if defined(OPEN_MPI)
enum { THREADS = MPI_THREAD_SINGLE };
#else
enum { THREADS = MPI_THREAD_FUNNELED };
#endif

/* Begins MPI, unless the program has.  0: it is usable here; else `why` says why not. */
static int begin(bool *ours, char *why, size_t bytes)
{
    int begun, ended, level, main_thread;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    *ours = !begun;
    if (ended) {
        snprintf(why, bytes, "MPI has been ended in this process, and cannot be begun again");
        return -1;
    }
    if (begun) {
        MPI_Query_thread(&level);
        MPI_Is_thread_main(&main_thread);
        if (main_thread || level >= MPI_THREAD_SERIALIZED) return 0;
        snprintf(
            why, bytes,
            "MPI was begun by another thread; begin it with MPI_THREAD_SERIALIZED, or not at all");
        return -1;
    }
    prepare();
    asgdi_tell_launcher_start(ASGDI_LAUNCH_OPENING);
    if (MPI_Init_thread(NULL, NULL, THREADS, &level) != MPI_SUCCESS) {
        snprintf(why, bytes, "MPI_Init_thread failed");
        return -1;
    }
#if defined(OPEN_MPI)
    /* From now on it is quiet: its advice about broken connections goes through mpirun, waiting for it, and has been
     * seen to crash it.  A variable of Open MPI 4; others do not have it. */
    bool *quiet = dlsym(RTLD_DEFAULT, "orte_execute_quiet");
    if (quiet) *quiet = true;
#endif
    return 0;
}

static bool link_alloc(mpi_link *m)
{
    const size_t n = m->link.size;
    m->peers       = calloc(n, sizeof *m->peers);
    m->boxes       = malloc(n * SMALL);
    if (!m->peers || !m->boxes || !room(m, (int)n)) return false;
    m->n = (int)n;
    for (uint32_t p = 0; p < n; p++) {
        m->slots[p]    = (slot){.kind = CONTROL, .peer = p};
        m->requests[p] = MPI_REQUEST_NULL;
        if (p != m->link.self && !post_control(m, p)) return false;
    }
    return true;
}

/* What is the same for all comes from process 0.  Collective; false: not all are able to go on. */
static bool agree(mpi_link *m, bool able)
{
    uint64_t hello[2] = {0, PROTOCOL};
    if (m->link.self == 0 && getrandom(hello, sizeof hello[0], 0) != sizeof hello[0]) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        hello[0] =
            (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid();
    }
    MPI_Bcast(hello, (int)sizeof hello, MPI_BYTE, 0, m->control);
    m->link.run = hello[0];
    int mine = able && hello[1] == PROTOCOL, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, m->control);
    return all;
}

static int open_link(asgdi_link **out, char *why, size_t bytes)
{
    const char *by;
    int         rank, size;
    mpi_link   *m = calloc(1, sizeof *m);
    if (!m) {
        snprintf(why, bytes, "no memory");
        return -1;
    }
    if (begin(&m->ours, why, bytes) != 0) {
        free(m);
        return -1;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const long told = told_processes(&by);
    if (size == 1 && told > 1) {
        snprintf(why, bytes,
                 "%s has started %ld processes, but " MADE_FOR
                 ", which this is built with, sees one: start it with "
                 "the mpirun of " MADE_FOR " (or srun --mpi=..., as `srun --mpi=list` has it)",
                 by, told);
        goto failed;
    }
    if (size > ASGDI_PROCESSES_MAX) {
        snprintf(why, bytes, "%d processes; at most %d can work together", size,
                 ASGDI_PROCESSES_MAX);
        goto failed;
    }
    m->link = (asgdi_link){.name    = "mpi",
                           .self    = (uint32_t)rank,
                           .size    = (uint32_t)size,
                           .send    = send,
                           .receive = receive,
                           .drop    = drop,
                           .waiting = waiting,
                           .rest    = rest,
                           .close   = close_link};
    if (gethostname(m->link.host, sizeof m->link.host - 1) != 0) strcpy(m->link.host, "?");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_dup(MPI_COMM_WORLD, &m->control);
    MPI_Comm_dup(MPI_COMM_WORLD, &m->bulk);
    MPI_Comm_set_errhandler(m->control, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(m->bulk, MPI_ERRORS_RETURN);
    if (!agree(m, link_alloc(m))) {
        snprintf(
            why, bytes,
            "the processes cannot work together: not all have the same version of asgd, or one has "
            "no memory");
        goto failed;
    }
    asgdi_tell_launcher_start(ASGDI_LAUNCH_OPEN);
    *out = &m->link;
    return 0;
failed:
    if (m->ours) MPI_Finalize();
    link_free(m);
    return -1;
}

extern const asgdi_link_module   asgdi_module; /* ASGDI_LINK_SYMBOL */
ASGD_API const asgdi_link_module asgdi_module = {
    .abi = ASGDI_LINK_ABI, .made_for = MADE_FOR, .open = open_link};
