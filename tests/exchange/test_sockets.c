/* test_sockets.c -- frames by sockets: all come, whole and in order, through buffers of any size; who talks nonsense, or
 * ends in the middle of a frame, is gone, and nobody else is. */
#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "exchange/mpi/sockets.h"

enum { MOST = 4 };

/* One end of a connection may be the test's: then the process there has no carrier. */
typedef struct job {
    uint32_t       size;
    asgdi_carrier *c[MOST];
    int            fd[MOST][MOST];
} job;

/* Of goodbyes that came in, those of the carrier in whose turn they did. */
static struct {
    uint32_t from, n;
    int32_t  code;
} goodbyes;

void asgdi_carrier_goodbye(asgdi_carrier *c, uint32_t from, const asgdi_goodbye *g)
{
    c->with[from].bye = true;
    goodbyes.from     = from;
    goodbyes.code     = g->code;
    goodbyes.n++;
}

/* Processes 0 to carriers-1 have carriers; buffer: of the kernel, for each direction, 0 for its own choice. */
static void open_job(job *j, uint32_t size, uint32_t carriers, int buffer)
{
    *j         = (job){.size = size};
    goodbyes.n = 0;
    for (uint32_t p = 0; p < size; p++) {
        j->fd[p][p] = -1;
        for (uint32_t q = p + 1; q < size; q++) {
            int pair[2];
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
            for (int i = 0; i < 2 && buffer; i++)
                setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
            j->fd[p][q] = pair[0];
            j->fd[q][p] = pair[1];
        }
    }
    for (uint32_t p = 0; p < carriers; p++)
        assert_non_null(j->c[p] = asgdi_sockets_new(p, size, j->fd[p]));
}

static void close_job(job *j)
{
    for (uint32_t p = 0; p < j->size; p++) {
        if (j->c[p]) {
            j->c[p]->free(j->c[p]);
            continue;
        }
        for (uint32_t q = 0; q < j->size; q++)
            if (j->fd[p][q] >= 0) close(j->fd[p][q]);
    }
}

static uint64_t next(uint64_t *x)
{
    *x += 0x9e3779b97f4a7c15;
    uint64_t z = (*x ^ *x >> 30) * 0xbf58476d1ce4e5b9;
    z          = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint32_t some_size(uint64_t *x)
{
    const uint64_t r = next(x);
    if (r % 32 == 0) return ASGDI_FRAME_MAX;
    return 1 + (uint32_t)((r >> 8) % (r % 4 == 0 ? 200000 : r % 2 ? 20 : 5000));
}

/* Its bytes follow from the seed. */
static asgdi_frame *make(uint32_t bytes, uint64_t seed)
{
    asgdi_frame *f = asgdi_frame_new(bytes);
    assert_non_null(f);
    for (uint32_t i = 0; i < bytes; i++) f->data[i] = (uint8_t)(seed >> (i & 7) * 8) ^ (uint8_t)i;
    return f;
}

static void is_made(asgdi_frame *f, uint32_t bytes, uint64_t seed)
{
    asgdi_frame *g = make(bytes, seed);
    assert_int_equal(f->bytes, bytes);
    assert_memory_equal(f->data, g->data, bytes);
    asgdi_frame_free(f);
    asgdi_frame_free(g);
}

static void send_made(job *j, uint32_t from, uint32_t to, uint32_t bytes, uint64_t seed)
{
    j->c[from]->link.send(&j->c[from]->link, to, make(bytes, seed));
}

static asgdi_frame *receive(job *j, uint32_t at, uint32_t *from)
{
    return j->c[at]->link.receive(&j->c[at]->link, from);
}

/* Lets processes work until this one has a frame; the others get none. */
static asgdi_frame *await(job *j, uint32_t at, uint32_t *from)
{
    asgdi_frame *f = NULL;
    for (int i = 0; i < 10000 && !(f = receive(j, at, from)); i++)
        for (uint32_t p = 0; p < j->size; p++)
            if (j->c[p] && p != at) assert_null(receive(j, p, from));
    return f;
}

static void all_come_whole_and_in_order(void **state)
{
    (void)state;
    static const int buffers[] = {0, 1, 20000};
    enum { FRAMES = 60 };
    for (size_t k = 0; k < 3; k++) {
        job      j;
        uint64_t out[MOST][MOST], in[MOST][MOST];
        uint32_t got = 0;
        open_job(&j, MOST, MOST, buffers[k]);
        for (uint32_t p = 0; p < MOST; p++)
            for (uint32_t q = 0; q < MOST; q++) out[p][q] = in[p][q] = p * 100 + q + 1;
        for (int n = 0; n < FRAMES; n++) {
            for (uint32_t p = 0; p < MOST; p++) {
                for (uint32_t q = 0; q < MOST; q++) {
                    if (p == q) continue;
                    const uint32_t bytes = some_size(&out[p][q]);
                    send_made(&j, p, q, bytes, next(&out[p][q]));
                }
            }
        }
        for (int idle = 0; got < FRAMES * MOST * (MOST - 1) && idle < 100000; idle++) {
            for (uint32_t q = 0; q < MOST; q++) {
                asgdi_frame *f;
                uint32_t     p;
                j.c[q]->link.rest(&j.c[q]->link, 0);
                for (int n = 0; n < 7 && (f = receive(&j, q, &p)); n++, got++, idle = 0) {
                    const uint32_t bytes = some_size(&in[p][q]);
                    is_made(f, bytes, next(&in[p][q]));
                }
            }
        }
        assert_int_equal(got, FRAMES * MOST * (MOST - 1));
        for (uint32_t p = 0; p < MOST; p++)
            for (uint32_t q = 0; q < MOST; q++)
                assert_int_equal(j.c[p]->link.waiting(&j.c[p]->link, q), 0);
        close_job(&j);
    }
}

static void a_frame_that_comes_ends_a_rest(void **state)
{
    (void)state;
    job      j;
    uint32_t from;
    open_job(&j, 2, 2, 0);
    send_made(&j, 0, 1, 100, 7);
    j.c[0]->link.rest(&j.c[0]->link, 0);
    j.c[1]->link.rest(&j.c[1]->link, 250); /* the test would not end in time */
    asgdi_frame *f = receive(&j, 1, &from);
    assert_non_null(f);
    is_made(f, 100, 7);
    close_job(&j);
}

/* A receiver that takes nothing: frames wait, and are counted, and come when it does. */
static void what_is_not_taken_waits(void **state)
{
    (void)state;
    job         j;
    uint32_t    from;
    asgdi_link *l;
    open_job(&j, 2, 2, 1);
    l = &j.c[0]->link;
    for (uint64_t n = 0; n < 20; n++) send_made(&j, 0, 1, 100000, n);
    for (int i = 0; i < 10; i++) l->rest(l, 0);
    const size_t waits = l->waiting(l, 1);
    assert_true(waits > 1000000 && waits <= 2000000);
    for (uint64_t n = 0; n < 20; n++) is_made(await(&j, 1, &from), 100000, n);
    assert_int_equal(l->waiting(l, 1), 0);
    close_job(&j);
}

static void who_is_dropped_is_heard_no_more(void **state)
{
    (void)state;
    job         j;
    uint32_t    from;
    asgdi_link *l;
    open_job(&j, 3, 3, 0);
    l = &j.c[0]->link;
    for (uint64_t n = 0; n < 3; n++) {
        send_made(&j, 1, 0, 50, n);
        send_made(&j, 2, 0, 60, n);
    }
    for (uint32_t p = 1; p < 3; p++) j.c[p]->link.rest(&j.c[p]->link, 0);
    asgdi_frame_free(receive(&j, 0, &from)); /* the others have come in, too */
    send_made(&j, 0, 1, 70, 1);
    l->drop(l, 1);
    assert_true(j.c[0]->with[1].gone && j.c[0]->lost);
    assert_int_equal(l->waiting(l, 1), 0);
    send_made(&j, 0, 1, 70, 1);
    assert_int_equal(l->waiting(l, 1), 0);
    for (asgdi_frame *f; (f = receive(&j, 0, &from));) {
        assert_int_equal(from, 2);
        asgdi_frame_free(f);
    }
    send_made(&j, 1, 0, 50, 9);
    assert_null(receive(&j, 1, &from));
    assert_true(j.c[1]->with[0].gone);
    assert_false(j.c[2]->with[0].gone);
    l->drop(l, 0);
    assert_true(j.c[0]->out);
    close_job(&j);
}

static void a_frame_that_is_too_long_loses_its_sender(void **state)
{
    (void)state;
    static const uint32_t heads[] = {0, ASGDI_FRAME_MAX + 1};
    for (size_t k = 0; k < 2; k++) {
        job      j;
        uint32_t from;
        open_job(&j, 2, 1, 0);
        assert_int_equal(write(j.fd[1][0], &heads[k], 4), 4);
        assert_null(receive(&j, 0, &from));
        assert_true(j.c[0]->with[1].gone);
        close_job(&j);
    }
}

/* What came whole before the end of a connection counts. */
static void a_connection_that_ends_is_a_peer_gone(void **state)
{
    (void)state;
    job            j;
    uint32_t       from;
    const uint32_t whole = 3, part = 1000;
    open_job(&j, 2, 1, 0);
    assert_int_equal(write(j.fd[1][0], &whole, 4), 4);
    assert_int_equal(write(j.fd[1][0], "abc", 3), 3);
    assert_int_equal(write(j.fd[1][0], &part, 4), 4);
    assert_int_equal(write(j.fd[1][0], "defg", 4), 4);
    asgdi_frame *f = receive(&j, 0, &from);
    assert_non_null(f);
    assert_int_equal(f->bytes, 3);
    asgdi_frame_free(f);
    assert_null(receive(&j, 0, &from));
    assert_false(j.c[0]->with[1].gone);
    close(j.fd[1][0]);
    j.fd[1][0] = -1;
    assert_null(receive(&j, 0, &from));
    assert_true(j.c[0]->with[1].gone && j.c[0]->lost);
    close_job(&j);
}

static void a_goodbye_comes_last(void **state)
{
    (void)state;
    job      j;
    uint32_t from;
    open_job(&j, 2, 2, 1);
    for (uint64_t n = 0; n < 5; n++) send_made(&j, 0, 1, 30000, n);
    j.c[0]->bye.code = 7;
    j.c[0]->say_goodbye(j.c[0], 1);
    assert_true(j.c[0]->with[1].bye_begun);
    assert_false(j.c[0]->is_still(j.c[0], 1, true));
    for (uint64_t n = 0; n < 5; n++) {
        assert_int_equal(goodbyes.n, 0);
        is_made(await(&j, 1, &from), 30000, n);
    }
    assert_null(await(&j, 1, &from));
    assert_int_equal(goodbyes.n, 1);
    assert_int_equal(goodbyes.from, 0);
    assert_int_equal(goodbyes.code, 7);
    assert_true(j.c[0]->is_still(j.c[0], 1, true));
    j.c[0]->free(j.c[0]); /* an end that was announced is no loss */
    j.c[0]     = NULL;
    j.fd[0][1] = -1;
    assert_null(receive(&j, 1, &from));
    assert_true(j.c[1]->with[0].gone);
    assert_false(j.c[1]->lost);
    close_job(&j);
}

/* Bytes that no carrier sends, in pieces of any size, before, behind and in the midst of frames. */
static void nonsense_loses_its_sender_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        static uint8_t bytes[1 << 16];
        uint64_t       x = seed;
        uint32_t       from, n = 0, frames = 0, got = 0;
        job            j;
        open_job(&j, 3, 2, 0);
        for (uint32_t whole = (uint32_t)(next(&x) % 4); frames < whole; frames++) {
            const uint32_t size = 1 + (uint32_t)(next(&x) % 5000);
            memcpy(bytes + n, &size, 4);
            n += 4 + size;
        }
        for (uint32_t end = n + 1 + (uint32_t)(next(&x) % 3000); n < end; n++)
            bytes[n] = (uint8_t)next(&x);
        for (uint32_t at = 0; at < n;) {
            const uint32_t piece = 1 + (uint32_t)(next(&x) % 6000);
            const ssize_t  went =
                send(j.fd[2][0], bytes + at, piece < n - at ? piece : n - at, MSG_NOSIGNAL);
            if (went > 0) at += (uint32_t)went;
            for (asgdi_frame *f; (f = receive(&j, 0, &from)); got++) {
                assert_int_equal(from, 2);
                asgdi_frame_free(f);
            }
            if (went < 0 && j.c[0]->with[2].gone) break;
        }
        if (got < frames)
            fail_msg("seed %llu: %u of %u frames", (unsigned long long)seed, got, frames);
        send_made(&j, 1, 0, 500, seed);
        asgdi_frame *f = await(&j, 0, &from);
        assert_non_null(f);
        assert_int_equal(from, 1);
        is_made(f, 500, seed);
        close_job(&j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_come_whole_and_in_order),
        cmocka_unit_test(a_frame_that_comes_ends_a_rest),
        cmocka_unit_test(what_is_not_taken_waits),
        cmocka_unit_test(who_is_dropped_is_heard_no_more),
        cmocka_unit_test(a_frame_that_is_too_long_loses_its_sender),
        cmocka_unit_test(a_connection_that_ends_is_a_peer_gone),
        cmocka_unit_test(a_goodbye_comes_last),
        cmocka_unit_test(nonsense_loses_its_sender_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
