/* sockets.c -- frames by TCP, one connection between each two processes.
 *
 * On a connection, one after the other
 *
 *     uint32_t    bytes of what follows, and of which kind it is (GOODBYE)
 *     bytes       a frame, or a goodbye
 *
 * as the machine has them: all machines of a job have the same byte order, as frames have (wire.h).  TCP keeps them whole
 * and in order.  Frames that wait go into the kernel together, by one call; what comes in is taken by one call as far as it
 * is there, long frames straight to where they stay.  Nothing is asked or granted before it is sent: a receiver that is
 * slow, or stopped, leaves it in the kernel's buffers, and when they are full at its sender.
 *
 * A process that rests sleeps until something comes.  A connection that ends or fails means that its peer is gone, of
 * which the exchange hears by its silence, as over any link. */
#define _GNU_SOURCE
#include "exchange/mpi/sockets.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    TOGETHER = 64,        /* frames that go into the kernel by one call */
    STAGE    = 32 << 10,  /* bytes that are taken at once besides the rest of a frame */
    IN_A_ROW = 512 << 10, /* and from one peer, before others have their turn */
    EVENTS   = 64,
};
#define GOODBYE 0x80000000u

/* What waits to be sent. */
typedef struct parcel parcel;
struct parcel {
    parcel      *next;
    uint32_t     head;
    asgdi_frame *frame;
};

/* A frame that has come in. */
typedef struct arrival arrival;
struct arrival {
    arrival     *next;
    uint32_t     from;
    asgdi_frame *frame;
};

typedef struct peer {
    int          fd; /* -1: none, or none any more */
    parcel      *out, *out_last;
    size_t       written; /* of the first parcel, its head included */
    size_t       waiting; /* bytes of the frames in out */
    bool         full;    /* the kernel takes no more; it says when it does */
    uint32_t     head;    /* of what is coming in */
    uint32_t     got;     /* bytes of it, its head included */
    asgdi_frame *in;      /* where it goes; NULL: no memory, it is thrown away */
} peer;

typedef struct sockets {
    asgdi_carrier      c;
    peer              *peers;
    arrival           *first, *last; /* not fetched by receive() */
    size_t             queued;       /* parcels in all peers' out */
    int                events;       /* epoll's descriptor */
    int                n, next;      /* of event: how many there are, which one is looked at next */
    bool               slept;        /* nothing had come when rest() ended, just now */
    struct epoll_event event[EVENTS];
    uint8_t            stage[STAGE];
} sockets;

static sockets *mine(asgdi_link *l)
{
    return (sockets *)l;
}

static uint32_t size_in(uint32_t head)
{
    return head & ~GOODBYE;
}

/* ---- losing a peer ---- */

static void pop_parcel(sockets *s, peer *q)
{
    parcel *p = q->out;
    q->out    = p->next;
    q->waiting -= p->frame->bytes;
    q->written = 0;
    s->queued--;
    asgdi_frame_free(p->frame);
    free(p);
}

/* There is no way to it any more; what has come in from it stays. */
static void lose(sockets *s, uint32_t process)
{
    peer *q                 = &s->peers[process];
    s->c.with[process].gone = true;
    s->c.lost |= !s->c.with[process].bye;
    if (q->fd >= 0) close(q->fd);
    q->fd = -1;
    while (q->out) pop_parcel(s, q);
    asgdi_frame_free(q->in);
    q->in = NULL;
}

static void forget_arrivals(sockets *s, uint32_t from)
{
    arrival *a = s->first, *next;
    s->first = s->last = NULL;
    for (; a; a = next) {
        next = a->next;
        if (a->from == from) {
            asgdi_frame_free(a->frame);
            free(a);
            continue;
        }
        a->next = NULL;
        if (s->last)
            s->last->next = a;
        else
            s->first = a;
        s->last = a;
    }
}

static void drop(asgdi_link *l, uint32_t process)
{
    sockets *s = mine(l);
    if (process == l->self) {
        s->c.out = true;
        return;
    }
    lose(s, process);
    forget_arrivals(s, process);
}

/* ---- out ---- */

/* Takes the caller's hold on the frame.  false: no memory, and it is lost. */
static bool append(sockets *s, uint32_t to, asgdi_frame *f, uint32_t kind)
{
    peer   *q = &s->peers[to];
    parcel *p = malloc(sizeof *p);
    if (!p) {
        asgdi_frame_free(f);
        return false;
    }
    *p = (parcel){.head = f->bytes | kind, .frame = f};
    if (q->out)
        q->out_last->next = p;
    else
        q->out = p;
    q->out_last = p;
    q->waiting += f->bytes;
    s->queued++;
    return true;
}

static void send_frame(asgdi_link *l, uint32_t to, asgdi_frame *f)
{
    sockets *s = mine(l);
    if (s->c.with[to].gone)
        asgdi_frame_free(f);
    else
        append(s, to, f, 0);
}

static size_t waiting(const asgdi_link *l, uint32_t process)
{
    return ((const sockets *)l)->peers[process].waiting;
}

/* Whether the kernel is to say when it takes more. */
static void set_full(sockets *s, uint32_t process, bool full)
{
    peer              *q = &s->peers[process];
    struct epoll_event e = {.events = EPOLLIN | (full ? EPOLLOUT : 0), .data.u32 = process};
    q->full              = full;
    if (epoll_ctl(s->events, EPOLL_CTL_MOD, q->fd, &e) != 0) lose(s, process);
}

/* One more piece, but for the first *skip bytes of it and those before. */
static void add_piece(struct msghdr *m, void *from, size_t bytes, size_t *skip)
{
    const size_t skipped = *skip < bytes ? *skip : bytes;
    *skip -= skipped;
    if (skipped == bytes) return;
    m->msg_iov[m->msg_iovlen++] = (struct iovec){(uint8_t *)from + skipped, bytes - skipped};
}

static void written(sockets *s, peer *q, size_t bytes)
{
    while (bytes > 0) {
        const size_t left = sizeof q->out->head + q->out->frame->bytes - q->written;
        if (bytes < left) {
            q->written += bytes;
            return;
        }
        bytes -= left;
        pop_parcel(s, q);
    }
}

static void write_some(sockets *s, uint32_t to)
{
    peer *q = &s->peers[to];
    while (q->out && !q->full) {
        struct iovec  piece[2 * TOGETHER];
        struct msghdr m    = {.msg_iov = piece};
        size_t        skip = q->written;
        for (parcel *p = q->out; p && m.msg_iovlen <= 2 * TOGETHER - 2; p = p->next) {
            add_piece(&m, &p->head, sizeof p->head, &skip);
            add_piece(&m, p->frame->data, p->frame->bytes, &skip);
        }
        const ssize_t n = sendmsg(q->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            written(s, q, (size_t)n);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            set_full(s, to, true);
        else if (errno != EINTR)
            lose(s, to);
    }
}

static void write_all(sockets *s)
{
    for (uint32_t p = 0; s->queued > 0 && p < s->c.link.size; p++) write_some(s, p);
}

/* ---- in ---- */

static void arrived(sockets *s, uint32_t from, asgdi_frame *f)
{
    arrival *a = malloc(sizeof *a);
    if (!a) { /* frames may be lost */
        asgdi_frame_free(f);
        return;
    }
    *a = (arrival){.from = from, .frame = f};
    if (s->last)
        s->last->next = a;
    else
        s->first = a;
    s->last = a;
}

/* The head is there.  false: nonsense. */
static bool begin_record(sockets *s, uint32_t from)
{
    peer          *q     = &s->peers[from];
    const uint32_t bytes = size_in(q->head);
    const bool     bye   = q->head & GOODBYE;
    if (s->c.with[from].bye || bytes == 0 || bytes > ASGDI_FRAME_MAX) return false;
    if (bye && bytes != sizeof(asgdi_goodbye)) return false;
    q->in = asgdi_frame_new(bytes);
    return q->in || !bye;
}

static void end_record(sockets *s, uint32_t from)
{
    peer        *q = &s->peers[from];
    asgdi_frame *f = q->in;
    q->in          = NULL;
    q->got         = 0;
    if (q->head & GOODBYE) {
        asgdi_goodbye g;
        memcpy(&g, f->data, sizeof g);
        asgdi_frame_free(f);
        asgdi_carrier_goodbye(&s->c, from, &g);
    } else if (f) {
        arrived(s, from, f);
    }
}

/* So many bytes from the stage.  false: nonsense. */
static bool take_stage(sockets *s, uint32_t from, size_t bytes)
{
    peer          *q  = &s->peers[from];
    const uint8_t *at = s->stage;
    while (bytes > 0) {
        const bool   in_head = q->got < sizeof q->head;
        const size_t left    = (in_head ? 0 : size_in(q->head)) + sizeof q->head - q->got,
                     n       = left < bytes ? left : bytes;
        if (in_head)
            memcpy((uint8_t *)&q->head + q->got, at, n);
        else if (q->in)
            memcpy(q->in->data + (q->got - sizeof q->head), at, n);
        q->got += (uint32_t)n;
        at += n;
        bytes -= n;
        if (n < left) return true;
        if (!in_head)
            end_record(s, from);
        else if (!begin_record(s, from))
            return false;
    }
    return true;
}

static void read_some(sockets *s, uint32_t from)
{
    peer *q = &s->peers[from];
    for (size_t all = 0; all < IN_A_ROW && q->fd >= 0;) {
        struct iovec piece[2];
        int          n    = 0;
        const size_t rest = q->in ? size_in(q->head) + sizeof q->head - q->got : 0;
        if (rest > 0) piece[n++] = (struct iovec){q->in->data + (q->got - sizeof q->head), rest};
        piece[n++]        = (struct iovec){s->stage, STAGE};
        const ssize_t got = readv(q->fd, piece, n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (got <= 0) {
            lose(s, from);
            return;
        }
        const size_t bytes = (size_t)got, straight = bytes < rest ? bytes : rest;
        q->got += (uint32_t)straight;
        if (rest > 0 && straight == rest) end_record(s, from);
        if (!take_stage(s, from, bytes - straight)) {
            lose(s, from);
            return;
        }
        if (bytes < rest + STAGE) return; /* there was no more */
        all += bytes;
    }
}

/* Asks the kernel what has come; false: nothing. */
static bool look(sockets *s)
{
    const bool slept = s->slept;
    write_all(s);
    s->n = s->next = 0;
    s->slept       = false;
    if (slept) return false;
    const int n = epoll_wait(s->events, s->event, EVENTS, 0);
    s->n        = n > 0 ? n : 0;
    return s->n > 0;
}

static void deal_with(sockets *s, const struct epoll_event *e)
{
    const uint32_t p = e->data.u32;
    peer          *q = &s->peers[p];
    if (q->fd >= 0 && e->events & EPOLLOUT) {
        set_full(s, p, false);
        write_some(s, p);
    }
    if (q->fd >= 0 && e->events & ~(uint32_t)EPOLLOUT) read_some(s, p);
}

static asgdi_frame *receive(asgdi_link *l, uint32_t *from)
{
    sockets *s = mine(l);
    while (!s->first) {
        if (s->next == s->n && !look(s)) return NULL;
        if (s->next < s->n) deal_with(s, &s->event[s->next++]);
    }
    arrival     *a = s->first;
    asgdi_frame *f = a->frame;
    *from          = a->from;
    s->first       = a->next;
    if (!s->first) s->last = NULL;
    free(a);
    return f;
}

/* ---- passing time ---- */

static void rest(asgdi_link *l, double seconds)
{
    sockets              *s = mine(l);
    struct pollfd         p = {.fd = s->events, .events = POLLIN};
    const struct timespec t = {.tv_sec  = (time_t)seconds,
                               .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    write_all(s);
    if (s->first || s->next < s->n || !(seconds > 0)) return;
    s->slept = ppoll(&p, 1, &t, NULL) == 0;
}

/* ---- the beginning and the end ---- */

static void say_goodbye(asgdi_carrier *c, uint32_t to)
{
    sockets     *s = (sockets *)c;
    asgdi_frame *f = asgdi_frame_new(sizeof c->bye);
    if (!f) return; /* it will be tried again */
    memcpy(f->data, &c->bye, sizeof c->bye);
    c->with[to].bye_begun = append(s, to, f, GOODBYE);
}

static bool is_still(const asgdi_carrier *c, uint32_t process, bool both)
{
    (void)both; /* before a goodbye all has come in */
    return !((const sockets *)c)->peers[process].out;
}

static void sockets_free(asgdi_carrier *c)
{
    sockets *s = (sockets *)c;
    for (uint32_t p = 0; p < c->link.size; p++) {
        lose(s, p);
        forget_arrivals(s, p);
    }
    close(s->events);
    free(s->peers);
    free(c->with);
    free(s);
}

asgdi_carrier *asgdi_sockets_new(uint32_t self, uint32_t size, const int *fd)
{
    sockets        *s     = calloc(1, sizeof *s);
    asgdi_standing *with  = calloc(size, sizeof *with);
    peer           *peers = calloc(size, sizeof *peers);
    const int       epoll = epoll_create1(EPOLL_CLOEXEC);
    bool            whole = s && with && peers && epoll >= 0;
    for (uint32_t p = 0; whole && p < size; p++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = p};
        peers[p].fd          = p == self ? -1 : fd[p];
        whole                = p == self || epoll_ctl(epoll, EPOLL_CTL_ADD, fd[p], &e) == 0;
    }
    if (!whole) {
        for (uint32_t p = 0; p < size; p++)
            if (p != self) close(fd[p]);
        if (epoll >= 0) close(epoll);
        free(s);
        free(with);
        free(peers);
        return NULL;
    }
    s->peers  = peers;
    s->events = epoll;
    s->c      = (asgdi_carrier){
             .with = with, .say_goodbye = say_goodbye, .is_still = is_still, .free = sockets_free};
    s->c.link = (asgdi_link){.name    = "tcp",
                             .self    = self,
                             .size    = size,
                             .send    = send_frame,
                             .receive = receive,
                             .drop    = drop,
                             .waiting = waiting,
                             .rest    = rest};
    return &s->c;
}
