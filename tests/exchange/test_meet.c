/* test_meet.c -- processes, here threads, get a connection between each two of them, whoever else calls. */
#define _GNU_SOURCE
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange/mpi/meet.h"

enum { MOST = 8, ROOM = 1 << 13 };
#define SECRET "sixteen letters"

/* What stands in for MPI_Allgather. */
typedef struct hall {
    pthread_barrier_t barrier;
    uint32_t          size;
    uint8_t           told[MOST][ROOM];
    atomic_int        gathers; /* of process 0, so far */
    bool              strangers, impostor, breaks, stale, thief;
    int               kept[64], n_kept; /* calls of the thief */
} hall;

typedef struct member {
    hall     *hall;
    uint32_t  self;
    int       result, fd[MOST];
    char      why[600];
    pthread_t thread;
} member;

/* Where a socket of this program listens; false: it is no such socket. */
static bool listens(int fd, struct sockaddr_in *at)
{
    int       does = 0;
    socklen_t n    = sizeof does;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &does, &n) != 0 || !does) return false;
    n = sizeof *at;
    return getsockname(fd, (struct sockaddr *)at, &n) == 0 && at->sin_family == AF_INET;
}

/* Calls whoever listens here, and is rude; returns how many calls are open. */
static int call_all(int *out, int most)
{
    static const uint8_t rubbish[4096] = {0x61, 0x73, 0x67, 0x64, 1};
    struct sockaddr_in   at;
    int                  n = 0;
    for (int listener = 0; listener < 1024; listener++) {
        if (!listens(listener, &at)) continue;
        assert_int_equal(at.sin_addr.s_addr, htonl(INADDR_LOOPBACK)); /* all are on this machine */
        for (size_t bytes = 0; bytes <= sizeof rubbish && n < most; bytes = bytes ? bytes * 8 : 8) {
            const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
            if (bytes) assert_true(send(fd, rubbish, bytes, MSG_NOSIGNAL) > 0);
            out[n++] = fd;
        }
    }
    return n;
}

/* Calls in the name of process 4, before it calls: its own, given up since; or those of one who does not know the secret. Whoever
 * listens gets one for each that it may be. */
static void call_as_4(hall *h)
{
    struct sockaddr_in at;
    for (int listener = 0; listener < 1024; listener++) {
        for (uint32_t to = 0; to < h->size && listens(listener, &at); to++) {
            struct {
                uint32_t magic, from, to, zero;
                uint8_t  secret[ASGDI_SECRET];
            } hello = {.magic = 0x64677361, .from = 4, .to = to, .secret = SECRET};
            hello.secret[3] ^= h->thief;
            const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
            assert_int_equal(send(fd, &hello, sizeof hello, MSG_NOSIGNAL), sizeof hello);
            if (h->thief && h->n_kept < 64)
                h->kept[h->n_kept++] = fd;
            else
                close(fd);
        }
    }
}

static int gather(void *user, const void *mine, size_t bytes, void *all)
{
    member *m = user;
    hall   *h = m->hall;
    int     strangers[64], n = 0;
    assert_true(bytes <= ROOM);
    memcpy(h->told[m->self], mine, bytes);
    pthread_barrier_wait(&h->barrier);
    const int which = atomic_load(&h->gathers);
    for (uint32_t p = 0; p < h->size; p++) {
        const uint32_t of = h->impostor && which == 1 && p == 1 ? 0 : p;
        memcpy((uint8_t *)all + p * bytes, h->told[of], bytes);
    }
    pthread_barrier_wait(&h->barrier);
    if (m->self == 0) atomic_fetch_add(&h->gathers, 1);
    if (m->self == 0 && which == 1 && h->strangers) { /* they listen now */
        n = call_all(strangers, 64);
        assert_true(n > 0);
    }
    if (m->self == 0 && which == 1 && (h->stale || h->thief)) call_as_4(h);
    pthread_barrier_wait(&h->barrier); /* the strangers are first in the queues */
    if (m->self == 4 && which == 1 && (h->stale || h->thief))
        usleep(500000);                                 /* the others are done but for it */
    for (int i = 0; i < n; i += 2) close(strangers[i]); /* the others wait */
    return h->breaks && which == 1 ? -1 : 0;
}

static void *attend(void *of)
{
    member       *m       = of;
    asgdi_meeting meeting = {.self    = m->self,
                             .size    = m->hall->size,
                             .secret  = SECRET,
                             .seconds = m->hall->impostor                  ? 1
                                        : m->hall->stale || m->hall->thief ? 10
                                                                           : 60,
                             .gather  = gather,
                             .user    = m};
    m->result             = asgdi_meet(&meeting, m->fd, m->why, sizeof m->why);
    return NULL;
}

static void hold(hall *h, uint32_t size, member *m)
{
    h->size = size;
    assert_int_equal(pthread_barrier_init(&h->barrier, NULL, size), 0);
    for (uint32_t p = 0; p < size; p++) {
        m[p] = (member){.hall = h, .self = p};
        assert_int_equal(pthread_create(&m[p].thread, NULL, attend, &m[p]), 0);
    }
    for (uint32_t p = 0; p < size; p++) pthread_join(m[p].thread, NULL);
    pthread_barrier_destroy(&h->barrier);
    for (int i = 0; i < h->n_kept; i++) close(h->kept[i]);
}

static uint8_t word(uint32_t from, uint32_t to)
{
    return (uint8_t)(16 * from + to + 1);
}

/* Each says something to each, which arrives there and nowhere else. */
static void are_connected(uint32_t size, member *m)
{
    for (uint32_t p = 0; p < size; p++) {
        if (m[p].result) print_message("process %u: %s\n", p, m[p].why);
        assert_int_equal(m[p].result, 0);
        assert_int_equal(m[p].fd[p], -1);
        for (uint32_t q = 0; q < size; q++) {
            const uint8_t w = word(p, q);
            if (q != p) assert_int_equal(send(m[p].fd[q], &w, 1, MSG_NOSIGNAL), 1);
        }
    }
    for (uint32_t p = 0; p < size; p++) {
        for (uint32_t q = 0; q < size; q++) {
            uint8_t w[2] = {0};
            if (q == p) continue;
            for (int i = 0; i < 1000 && recv(m[p].fd[q], w, 2, MSG_PEEK) < 1; i++) usleep(1000);
            assert_int_equal(recv(m[p].fd[q], w, 2, 0), 1);
            assert_int_equal(w[0], word(q, p));
            close(m[p].fd[q]);
        }
    }
}

static void all_meet_all(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= MOST; size++) {
        static hall   h;
        static member m[MOST];
        h = (hall){0};
        hold(&h, size, m);
        are_connected(size, m);
    }
}

static void strangers_are_sent_away(void **state)
{
    (void)state;
    static hall   h;
    static member m[MOST];
    h = (hall){.strangers = true};
    hold(&h, 5, m);
    are_connected(5, m);
}

static void who_has_hung_up_is_waited_for(void **state)
{
    (void)state;
    static hall   h;
    static member m[MOST];
    h = (hall){.stale = true};
    hold(&h, 5, m);
    are_connected(5, m);
}

static void who_does_not_know_the_secret_is_nobody(void **state)
{
    (void)state;
    static hall   h;
    static member m[MOST];
    h = (hall){.thief = true};
    hold(&h, 5, m);
    are_connected(5, m);
}

/* The address that process 1 is said to have leads to process 0. */
static void a_wrong_address_is_noticed_by_all(void **state)
{
    (void)state;
    static hall   h;
    static member m[MOST];
    h = (hall){.impostor = true};
    hold(&h, 4, m);
    for (uint32_t p = 0; p < 4; p++) {
        assert_int_equal(m[p].result, -1);
        assert_non_null(strstr(m[p].why, "cannot reach each other by TCP at 127.0.0.1"));
        assert_string_equal(m[p].why, m[0].why);
        for (uint32_t q = 0; q < 4; q++) assert_int_equal(m[p].fd[q], -1);
    }
}

static void what_cannot_be_told_is_an_error(void **state)
{
    (void)state;
    static hall   h;
    static member m[MOST];
    h = (hall){.breaks = true};
    hold(&h, 2, m);
    for (uint32_t p = 0; p < 2; p++) assert_int_equal(m[p].result, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_meet_all),
        cmocka_unit_test(strangers_are_sent_away),
        cmocka_unit_test(who_has_hung_up_is_waited_for),
        cmocka_unit_test(who_does_not_know_the_secret_is_nobody),
        cmocka_unit_test(a_wrong_address_is_noticed_by_all),
        cmocka_unit_test(what_cannot_be_told_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
