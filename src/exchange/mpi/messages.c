/* messages.c -- frames by MPI's messages.
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
 *   - nothing collective;
 *   - what was begun with a dead process is never cancelled or waited for.  Its memory stays until MPI gives it
 *     back, which may be never: at most a batch a peer;
 *   - when a connection breaks, no header of a message may be queued in Open MPI, or it aborts the survivor
 *     (pml/ob1), and no message may be begun on it, or it loses its place in the loop of events (btl/tcp).
 *
 * The last is why sends go out in batches, each begun when all that was sent to that peer before has arrived, just
 * after MPI has looked at its connections: sends are synchronous (Issend), so the connection is empty then and takes
 * all headers at once, and to a dead peer nothing more is begun.  prepare() in link_mpi.c sets what else that needs.
 * It also bounds what piles up at a receiver that is slow, or stopped.  Receivers take announced frames as they have
 * room for; what they have not taken waits at its sender. */
#define _GNU_SOURCE
#include "exchange/mpi/messages.h"

#include <string.h>
#include <time.h>

enum {
    SMALL = 4096, /* bytes of a control message */
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
};

/* Tags of control messages. */
enum {
    TAG_FRAMES, /* uint32_t n, their bytes [n]; then the frames themselves, or nothing: they follow as bulk */
    TAG_GOODBYE, /* goodbye */
};

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
    uint32_t sending; /* requests */
    uint32_t taking;  /* receives of announced frames that are posted */
    size_t   waiting; /* bytes in out */
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

typedef struct messages {
    asgdi_carrier c;
    MPI_Comm      control, bulk;
    bool          starved; /* some announced frame waits for room, or memory */
    peer         *peers;
    uint8_t      *boxes;  /* [size][SMALL]: of the control receives */
    uint32_t      ready;  /* peers whose next frame is here */
    uint32_t      turn;   /* peer to be asked next */
    size_t        held;   /* bytes of announced frames that are coming in or not fetched */
    size_t        queued; /* frames in all peers' out */
    int           n, capacity;
    MPI_Request  *requests; /* [capacity], and so are: */
    MPI_Status   *statuses;
    slot         *slots;
    int          *done;
} messages;

static messages *mine(asgdi_link *l)
{
    return (messages *)l;
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
static asgdi_frame *out_pop(messages *m, peer *q)
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
static void in_pop(messages *m, peer *q)
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
static bool room(messages *m, int more)
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

static bool post_control(messages *m, uint32_t from)
{
    return MPI_Irecv(m->boxes + (size_t)from * SMALL, SMALL, MPI_BYTE, (int)from, MPI_ANY_TAG,
                     m->control, &m->requests[from]) == MPI_SUCCESS;
}

/* ---- losing a peer ---- */

static void drop(asgdi_link *l, uint32_t process)
{
    messages *m = mine(l);
    peer     *q = &m->peers[process];
    if (process == l->self) {
        m->c.out = true;
        return;
    }
    if (m->c.with[process].gone) return;
    m->c.with[process].gone = true;
    m->ready -= head_is_here(q);
    while (q->out) asgdi_frame_free(out_pop(m, q));
    while (q->in) in_pop(m, q);
    q->unposted = NULL;
    m->starved  = true; /* others may have the room now */
}

/* MPI reports an error: nothing sensible comes from there any more. */
static void lose(messages *m, uint32_t process)
{
    m->c.lost = true;
    drop(&m->c.link, process);
}

/* ---- out ---- */

/* The request that was just begun in requests[n], for which there was room(); e: NULL for a goodbye. */
static void sending(messages *m, uint32_t to, letter *e)
{
    m->peers[to].sending++;
    m->slots[m->n++] = (slot){.kind = SEND, .peer = to, .letter = e};
    if (e) e->requests++;
}

static bool send_control(messages *m, uint32_t to, letter *e, size_t bytes, bool last)
{
    MPI_Request *r = &m->requests[m->n];
    const int    error =
        last ? MPI_Issend(e->text, (int)bytes, MPI_BYTE, (int)to, TAG_FRAMES, m->control, r)
                : MPI_Isend(e->text, (int)bytes, MPI_BYTE, (int)to, TAG_FRAMES, m->control, r);
    if (error == MPI_SUCCESS) sending(m, to, e);
    return error == MPI_SUCCESS;
}

static bool send_bulk(messages *m, uint32_t to, letter *e, const uint8_t *from, size_t bytes)
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
static bool send_message(messages *m, uint32_t to, const message *a)
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
static void send_batch(messages *m, uint32_t to)
{
    peer *q = &m->peers[to];
    if (q->sending > 0) return;
    size_t at_once = 0, bytes = 0;
    while (q->out && room(m, 2)) {
        const message a = next_message(q);
        at_once += a.head + (is_long(&a) ? RENDEZVOUS : a.bytes + RENDEZVOUS / 8);
        bytes += a.bytes;
        if (q->sending > 0 && (at_once > AT_ONCE || bytes > BATCH)) return;
        if (!send_message(m, to, &a) || m->c.with[to].gone) return;
    }
}

static void send(asgdi_link *l, uint32_t to, asgdi_frame *f)
{
    messages *m = mine(l);
    parcel   *p = m->c.with[to].gone ? NULL : malloc(sizeof *p);
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
    return ((const messages *)l)->peers[process].waiting;
}

/* ---- in ---- */

/* A bundle that is here is at the end of its peer's queue, or was somewhere in it. */
static void arrived(messages *m, peer *q, bundle *b)
{
    b->here = true;
    m->ready += b == q->in;
}

/* Posts receives for announced frames, as far as there is room. */
static void take_announced(messages *m, uint32_t from)
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

static void take_all_announced(messages *m)
{
    m->starved = false;
    for (uint32_t p = 0; p < m->c.link.size; p++) take_announced(m, p);
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
static void take_control(messages *m, uint32_t from, int tag, size_t bytes)
{
    peer          *q   = &m->peers[from];
    const uint8_t *box = m->boxes + (size_t)from * SMALL;
    if (tag == TAG_GOODBYE && bytes == sizeof(asgdi_goodbye)) {
        asgdi_goodbye g;
        memcpy(&g, box, sizeof g);
        asgdi_carrier_goodbye(&m->c, from, &g);
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
static void complete(messages *m, int i, const MPI_Status *status, bool failed)
{
    const slot s = m->slots[i];
    peer      *q = &m->peers[s.peer];
    int        bytes;

    const asgdi_standing *with = &m->c.with[s.peer];

    m->requests[i] = MPI_REQUEST_NULL;
    switch (s.kind) {
    case FREE: return;
    case CONTROL:
        if (!failed && !with->gone) {
            failed = MPI_Get_count(status, MPI_BYTE, &bytes) != MPI_SUCCESS || bytes < 0;
            if (!failed) take_control(m, s.peer, status->MPI_TAG, (size_t)bytes);
            if (!failed && !with->gone && !with->bye) failed = !post_control(m, s.peer);
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
static void compact(messages *m)
{
    int keep = (int)m->c.link.size;
    for (int i = keep; i < m->n; i++) {
        if (m->slots[i].kind == FREE) continue;
        m->slots[keep]    = m->slots[i];
        m->requests[keep] = m->requests[i];
        keep++;
    }
    m->n = keep;
}

/* Lets MPI work, and deals with what is done; false: nothing was. */
static bool poll_once(messages *m)
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

static void send_all(messages *m)
{
    for (uint32_t p = 0; m->queued > 0 && p < m->c.link.size; p++) send_batch(m, p);
}

static void poll(messages *m)
{
    enum { TURNS = 64 }; /* so that a flood does not keep the caller for ever */
    /* Open MPI looks first and then works, so what this work has brought is seen by a second look.  Once connections
     * have broken it may work at its sockets in one of eight calls only. */
    const int looks = m->c.lost ? 9 : 2;
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
    messages *m = mine(l);
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
    static const double MOST  = 500e-6;
    messages           *m     = mine(l);
    const double        until = now() + seconds;
    send_all(m);
    for (double left = seconds; !m->ready && left > 0; left = until - now()) {
        nap(left < MOST ? left : MOST);
        if (left <= MOST) return;
        poll(m);
    }
}

/* ---- the beginning and the end ---- */

static void say_goodbye(asgdi_carrier *c, uint32_t to)
{
    messages *m = (messages *)c;
    peer     *q = &m->peers[to];
    if (q->out || q->sending > 0 || !room(m, 1)) return;
    if (MPI_Isend(&c->bye, (int)sizeof c->bye, MPI_BYTE, (int)to, TAG_GOODBYE, m->control,
                  &m->requests[m->n]) == MPI_SUCCESS) {
        c->with[to].bye_begun = true;
        sending(m, to, NULL);
    } else {
        lose(m, to);
    }
}

static bool is_still(const asgdi_carrier *c, uint32_t process, bool both)
{
    const peer *q = &((const messages *)c)->peers[process];
    return !q->out && !q->sending && !(both && q->taking);
}

static void messages_free(asgdi_carrier *c)
{
    messages *m = (messages *)c;
    for (uint32_t p = 0; m->peers && p < c->link.size; p++) {
        while (m->peers[p].out) asgdi_frame_free(out_pop(m, &m->peers[p]));
        while (m->peers[p].in) in_pop(m, &m->peers[p]);
    }
    free(m->peers);
    free(m->boxes);
    free(m->requests);
    free(m->statuses);
    free(m->slots);
    free(m->done);
    free(c->with);
    free(m);
}

static bool alloc(messages *m)
{
    const size_t n = m->c.link.size;
    m->c.with      = calloc(n, sizeof *m->c.with);
    m->peers       = calloc(n, sizeof *m->peers);
    m->boxes       = malloc(n * SMALL);
    return m->c.with && m->peers && m->boxes && room(m, (int)n);
}

asgdi_carrier *asgdi_messages_new(uint32_t self, uint32_t size, MPI_Comm control, MPI_Comm bulk)
{
    messages *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    *m   = (messages){.control = control, .bulk = bulk};
    m->c = (asgdi_carrier){.say_goodbye = say_goodbye, .is_still = is_still, .free = messages_free};
    m->c.link = (asgdi_link){.name    = "mpi",
                             .self    = self,
                             .size    = size,
                             .send    = send,
                             .receive = receive,
                             .drop    = drop,
                             .waiting = waiting,
                             .rest    = rest};
    if (!alloc(m)) {
        messages_free(&m->c);
        return NULL;
    }
    m->n = (int)size;
    for (uint32_t p = 0; p < size; p++) {
        m->slots[p]    = (slot){.kind = CONTROL, .peer = p};
        m->requests[p] = MPI_REQUEST_NULL;
        if (p != self && !post_control(m, p)) return NULL; /* MPI has the memory of those before */
    }
    return &m->c;
}
