/* meet.c -- processes that can already say something to all get a TCP connection between each two of them.
 *
 * Each tells on which machine it is, then listens and tells where: on the loopback interface if all are on one machine,
 * else on all interfaces, for as long as the meeting lasts.  Then each calls those with lower numbers, at one address of
 * theirs after the other, and is called by those with higher ones.  Both sides say who they are and what only processes
 * of this job know: an address may lead to a stranger, or to a machine that has the same one (as every machine's bridge of
 * containers does), and strangers may call.
 *
 * That keeps out what comes by mistake, not somebody who listens to the network: for that it is to be trusted, as MPI
 * trusts it. */
#define _GNU_SOURCE
#include "exchange/mpi/meet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ADDRESSES  = 16, /* of a process, at the most */
    STRANGERS  = 32, /* callers who have not said who they are, besides the processes */
    CALL_MS    = 3000,
    WAIT_MS    = 50,
    PAUSE_MS   = 100, /* before a process's first address is tried again after its last */
    MAGIC      = 0x64677361,
    HOST_BYTES = 192,
};

/* What a process tells all: who is on one machine, in one network namespace, has the same. */
typedef struct place {
    char host[HOST_BYTES];
} place;

typedef struct address {
    uint8_t ip[16]; /* IPv4: ::ffff:a.b.c.d */
} address;

/* And then where it listens. */
typedef struct card {
    int32_t  error; /* it cannot, an errno; 0: it does */
    uint32_t n;
    uint16_t port;
    char     name[62]; /* of its host, for messages */
    address  at[ADDRESSES];
} card;

/* And at the end whether it has met all. */
typedef struct outcome {
    uint32_t good;
    char     why[508];
} outcome;

/* What both sides of a connection say first. */
typedef struct hello {
    uint32_t magic, from, to, zero;
    uint8_t  secret[ASGDI_SECRET];
} hello;

/* A connection on its way: to a process of a lower number, or from somebody. */
typedef struct call {
    int      fd; /* -1: none */
    bool     connecting;
    double   until; /* it is given up; fd -1: it is tried again */
    uint32_t next;  /* of the addresses, the one to be tried next */
    int      error; /* of the last one that was tried */
    size_t   got;   /* bytes of: */
    hello    hello;
} call;

typedef struct meeting {
    const asgdi_meeting *m;
    card                *cards; /* [size] */
    place               *places;
    outcome             *outcomes;
    call                *calls;  /* [size]: to those with lower numbers */
    call                *guests; /* [size + STRANGERS]: who called */
    int                 *fd;     /* [size] */
    int                  listens;
    uint32_t             missing; /* processes that are not connected yet */
    struct pollfd       *polls;   /* [1 + 2 size + STRANGERS] */
} meeting;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- where this process is ---- */

static void read_line(const char *path, char *out, size_t bytes)
{
    const int     fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n  = fd < 0 ? -1 : read(fd, out, bytes - 1);
    if (fd >= 0) close(fd);
    out[n > 0 ? n : 0]      = 0;
    out[strcspn(out, "\n")] = 0;
}

static place this_place(void)
{
    place         p = {0};
    char          boot[64], net[64], name[62] = "";
    const ssize_t n    = readlink("/proc/self/ns/net", net, sizeof net - 1);
    net[n > 0 ? n : 0] = 0;
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    gethostname(name, sizeof name - 1);
    /* without both it is not known to be the same machine, and its name must do */
    snprintf(p.host, sizeof p.host, "%s %s", *boot && *net ? boot : name, net);
    return p;
}

/* Whether a word is in a list with commas. */
static bool is_listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        if (length == n && memcmp(at, word, n) == 0) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static address of_ipv4(const void *ip)
{
    address a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    memcpy(a.ip + 12, ip, 4);
    return a;
}

static bool address_of(const struct sockaddr *from, address *a)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        *a = of_ipv4(&in.sin_addr);
        return true;
    }
    struct sockaddr_in6 in6;
    if (from->sa_family != AF_INET6) return false;
    memcpy(&in6, from, sizeof in6);
    memcpy(a->ip, &in6.sin6_addr, sizeof a->ip);
    return !IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr);
}

/* This machine's addresses, those of IPv4 first. */
static void find_addresses(card *c)
{
    const char     *only = getenv("ASGD_INTERFACES");
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) return;
    for (int family = AF_INET; family != 0; family = family == AF_INET ? AF_INET6 : 0) {
        for (const struct ifaddrs *i = all; i && c->n < ADDRESSES; i = i->ifa_next) {
            if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP))
                continue;
            if (only && *only ? !is_listed(only, i->ifa_name) : i->ifa_flags & IFF_LOOPBACK)
                continue;
            if (address_of(i->ifa_addr, &c->at[c->n])) c->n++;
        }
    }
    freeifaddrs(all);
}

static socklen_t fill(struct sockaddr_storage *to, const address *a, uint16_t port, int family)
{
    *to = (struct sockaddr_storage){0};
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, a->ip + 12, 4);
        memcpy(to, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&in6.sin6_addr, a->ip, sizeof a->ip);
    memcpy(to, &in6, sizeof in6);
    return sizeof in6;
}

static int family_of(const address *a)
{
    static const uint8_t ipv4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(a->ip, ipv4, sizeof ipv4) == 0 ? AF_INET : AF_INET6;
}

/* Where the kernel likes; a: at which address.  -1: errno says why not. */
static int listen_at(const address *a, int backlog, uint16_t *port)
{
    const int               family = family_of(a);
    struct sockaddr_storage at;
    socklen_t               n  = fill(&at, a, 0, family);
    const int               fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int               no = 0;
    if (fd < 0) return -1;
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, backlog) == 0 &&
        getsockname(fd, (struct sockaddr *)&at, &n) == 0) {
        struct sockaddr_in in; /* the port is in the same place in both */
        memcpy(&in, &at, sizeof in);
        *port = ntohs(in.sin_port);
        return fd;
    }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static card open_door(meeting *g, bool one_machine)
{
    const uint8_t loopback[4] = {127, 0, 0, 1}, any4[4] = {0};
    const address any6    = {{0}};
    const int     backlog = (int)g->m->size + STRANGERS;
    card          c       = {0};
    gethostname(c.name, sizeof c.name - 1);
    if (one_machine) {
        c.at[c.n++] = of_ipv4(loopback);
        g->listens  = listen_at(&c.at[0], backlog, &c.port);
    } else {
        const address any = of_ipv4(any4);
        find_addresses(&c);
        g->listens = listen_at(&any6, backlog, &c.port); /* and IPv4, by the same socket */
        if (g->listens < 0) g->listens = listen_at(&any, backlog, &c.port);
    }
    c.error = g->listens < 0 ? errno : 0;
    return c;
}

/* ---- calls ---- */

static hello hello_to(const meeting *g, uint32_t to)
{
    hello h = {.magic = MAGIC, .from = g->m->self, .to = to};
    memcpy(h.secret, g->m->secret, sizeof h.secret);
    return h;
}

static bool is_of_this_job(const meeting *g, const hello *h)
{
    uint8_t differs = 0;
    for (int i = 0; i < ASGDI_SECRET; i++) differs |= h->secret[i] ^ g->m->secret[i];
    return h->magic == MAGIC && h->to == g->m->self && h->from < g->m->size && differs == 0;
}

static void hang_up(call *c, int error)
{
    if (c->fd >= 0) close(c->fd);
    c->fd    = -1;
    c->error = error;
    c->got   = 0;
}

static void connected(meeting *g, uint32_t with, call *c)
{
    const int yes = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    g->fd[with] = c->fd;
    c->fd       = -1;
    g->missing--;
}

/* What the other side says; true: all of it is there.  A few bytes into an empty connection go in one piece, or never. */
static bool hear(call *c)
{
    const ssize_t n = recv(c->fd, (uint8_t *)&c->hello + c->got, sizeof c->hello - c->got, 0);
    if (n > 0) c->got += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        hang_up(c, n == 0 ? ECONNRESET : errno);
    return c->fd >= 0 && c->got == sizeof c->hello;
}

/* A process that was stopped, say, finds calls whose callers have given up, and called again. */
static bool has_hung_up(const call *c)
{
    uint8_t more;
    return recv(c->fd, &more, 1, MSG_PEEK) >= 0;
}

static bool say(call *c, const hello *h)
{
    if (send(c->fd, h, sizeof *h, MSG_NOSIGNAL) == (ssize_t)sizeof *h) return true;
    hang_up(c, errno);
    return false;
}

/* Another address, at once or, where all were tried, after a pause. */
static void give_up(meeting *g, uint32_t to, int error, double t)
{
    call *c = &g->calls[to];
    hang_up(c, error);
    c->next  = (c->next + 1) % g->cards[to].n;
    c->until = c->next == 0 ? t + PAUSE_MS * 1e-3 : t;
}

static void try_address(meeting *g, uint32_t to, double t)
{
    const card             *theirs = &g->cards[to];
    const address          *a      = &theirs->at[g->calls[to].next];
    call                   *c      = &g->calls[to];
    struct sockaddr_storage at;
    const int               family = family_of(a);
    const socklen_t         n      = fill(&at, a, theirs->port, family);

    c->fd         = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->until      = t + CALL_MS * 1e-3;
    c->connecting = true;
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&at, n) != 0 && errno != EINPROGRESS))
        give_up(g, to, errno, t);
}

static void follow_call(meeting *g, uint32_t to, bool ready, double t)
{
    const card *theirs = &g->cards[to];
    call       *c      = &g->calls[to];
    if (g->fd[to] >= 0 || theirs->error || theirs->n == 0) return;
    if (c->fd < 0) {
        if (t >= c->until) try_address(g, to, t);
        return;
    }
    if (ready && c->connecting) {
        int       error = 0;
        socklen_t n     = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        const hello h = hello_to(g, to);
        c->connecting = false;
        if (error)
            hang_up(c, error);
        else
            say(c, &h);
    } else if (ready && hear(c)) {
        if (is_of_this_job(g, &c->hello)) { /* it answers only what is for it */
            connected(g, to, c);
            return;
        }
        hang_up(c, EADDRNOTAVAIL);
    }
    if (c->fd < 0)
        give_up(g, to, c->error, t);
    else if (t >= c->until)
        give_up(g, to, ETIMEDOUT, t);
}

static void open_for_guests(meeting *g, double t)
{
    for (uint32_t i = 0; i < g->m->size + STRANGERS; i++) {
        if (g->guests[i].fd >= 0) continue;
        const int fd = accept4(g->listens, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        g->guests[i] = (call){.fd = fd, .until = t + CALL_MS * 1e-3};
    }
}

static void follow_guest(meeting *g, call *c, bool ready, double t)
{
    if (c->fd < 0) return;
    if (ready && hear(c)) {
        const uint32_t from = c->hello.from;
        const hello    h    = hello_to(g, from);
        if (!is_of_this_job(g, &c->hello) || from <= g->m->self || has_hung_up(c))
            hang_up(c, 0);
        else if (say(c, &h)) {
            if (g->fd[from] >= 0) { /* it has given up the first one, and calls again */
                close(g->fd[from]);
                g->missing++;
            }
            connected(g, from, c);
        }
    }
    if (c->fd >= 0 && t >= c->until) hang_up(c, ETIMEDOUT);
}

/* Until all are connected, or the time is over. */
static void meet(meeting *g)
{
    const uint32_t self = g->m->self, size = g->m->size, guests = size + STRANGERS;
    const double   until = now() + g->m->seconds;
    struct pollfd *door = g->polls, *calls = door + 1, *callers = calls + self;
    for (double t; g->missing > 0 && (t = now()) < until;) {
        *door = (struct pollfd){.fd = g->listens, .events = POLLIN};
        for (uint32_t i = 0; i < self; i++) {
            const call *c = &g->calls[i];
            calls[i] = (struct pollfd){.fd = c->fd, .events = c->connecting ? POLLOUT : POLLIN};
        }
        for (uint32_t i = 0; i < guests; i++)
            callers[i] = (struct pollfd){.fd = g->guests[i].fd, .events = POLLIN};
        const int wait = t > until - g->m->seconds + 1e-3 * WAIT_MS ? WAIT_MS : 1;
        if (poll(door, 1 + self + guests, wait) < 0) continue;
        t = now();
        for (uint32_t i = 0; i < self; i++) follow_call(g, i, calls[i].revents, t);
        for (uint32_t i = 0; i < guests; i++) follow_guest(g, &g->guests[i], callers[i].revents, t);
        if (door->revents) open_for_guests(g, t);
    }
}

/* ---- all of it ---- */

static void text_of(const address *a, char *out, size_t bytes)
{
    if (family_of(a) == AF_INET)
        inet_ntop(AF_INET, a->ip + 12, out, (socklen_t)bytes);
    else
        inet_ntop(AF_INET6, a->ip, out, (socklen_t)bytes);
}

static outcome judge(const meeting *g)
{
    const asgdi_meeting *m = g->m;
    outcome              o = {.good = g->missing == 0};
    for (uint32_t p = 0; p < m->size && !*o.why && !o.good; p++) {
        const card *c = &g->cards[p];
        if (p == m->self || g->fd[p] >= 0) continue;
        int used = snprintf(o.why, sizeof o.why,
                            "process %u (%s) and process %u (%s) cannot reach each other by TCP",
                            m->self, g->cards[m->self].name, p, c->name);
        if (c->error || c->n == 0)
            snprintf(o.why + used, sizeof o.why - (size_t)used, ": the latter %s",
                     c->error ? strerror(c->error) : "has no address");
        for (uint32_t i = 0; !c->error && i < c->n && used < (int)sizeof o.why - 100; i++) {
            char text[64];
            text_of(&c->at[i], text, sizeof text);
            used += snprintf(o.why + used, sizeof o.why - (size_t)used, "%s%s", i ? ", " : " at ",
                             text);
        }
        if (!c->error && p < m->self)
            snprintf(o.why + used, sizeof o.why - (size_t)used, ": %s",
                     strerror(g->calls[p].error));
    }
    return o;
}

static void leave(meeting *g, bool met)
{
    for (uint32_t i = 0; g->calls && i < g->m->size; i++) hang_up(&g->calls[i], 0);
    for (uint32_t i = 0; g->guests && i < g->m->size + STRANGERS; i++) hang_up(&g->guests[i], 0);
    for (uint32_t p = 0; p < g->m->size && !met; p++) {
        if (g->fd[p] >= 0) close(g->fd[p]);
        g->fd[p] = -1;
    }
    if (g->listens >= 0) close(g->listens);
    free(g->cards);
    free(g->places);
    free(g->outcomes);
    free(g->calls);
    free(g->guests);
    free(g->polls);
}

/* false: no memory. */
static bool prepare(meeting *g)
{
    const uint32_t size = g->m->size, guests = size + STRANGERS;
    g->cards    = calloc(size, sizeof *g->cards);
    g->places   = calloc(size, sizeof *g->places);
    g->outcomes = calloc(size, sizeof *g->outcomes);
    g->calls    = calloc(size, sizeof *g->calls);
    g->guests   = calloc(guests, sizeof *g->guests);
    g->polls    = calloc(1 + size + guests, sizeof *g->polls);
    for (uint32_t i = 0; g->calls && i < size; i++) g->calls[i].fd = -1;
    for (uint32_t i = 0; g->guests && i < guests; i++) g->guests[i].fd = -1;
    return g->cards && g->places && g->outcomes && g->calls && g->guests && g->polls;
}

static int gather(const meeting *g, const void *mine, size_t bytes, void *all)
{
    return g->m->gather(g->m->user, mine, bytes, all);
}

/* 0: all have met all; else `why`, of the lowest process that has not. */
static int arrange(meeting *g, char *why, size_t bytes)
{
    const uint32_t size     = g->m->size;
    const place    here     = this_place();
    bool           one      = true;
    outcome       *outcomes = g->outcomes;
    snprintf(why, bytes, "MPI fails");
    if (gather(g, &here, sizeof here, g->places) != 0) return -1;
    for (uint32_t p = 0; p < size; p++) one = one && memcmp(&g->places[p], &here, sizeof here) == 0;
    const card mine = open_door(g, one);
    if (gather(g, &mine, sizeof mine, g->cards) != 0) return -1;
    if (g->listens >= 0) meet(g);
    const outcome out = judge(g);
    if (gather(g, &out, sizeof out, outcomes) != 0) return -1;
    for (uint32_t p = 0; p < size; p++) {
        if (outcomes[p].good) continue;
        outcomes[p].why[sizeof outcomes[p].why - 1] = 0;
        snprintf(why, bytes, "%s", outcomes[p].why);
        return -1;
    }
    return 0;
}

int asgdi_meet(const asgdi_meeting *m, int *fd, char *why, size_t bytes)
{
    meeting g = {.m = m, .fd = fd, .listens = -1, .missing = m->size - 1};
    for (uint32_t p = 0; p < m->size; p++) fd[p] = -1;
    snprintf(why, bytes, "no memory");
    const bool met = prepare(&g) && arrange(&g, why, bytes) == 0;
    leave(&g, met);
    return met ? 0 : -1;
}
