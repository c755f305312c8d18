/* link_check MODE [SECONDS] -- started by mpirun in several processes: what link.h promises, over the real thing.
 *
 *     traffic    frames of all sizes between all pairs: each comes once, whole, and in order
 *     kill       the same for so many seconds; in the middle of it a process kills itself, and the others go on
 *     kill-first the same with process 0
 *     stop       a process is stopped for a second and then goes on: nothing is lost
 *     give-up    a process is stopped, the others go on without it; it comes back and finds itself out
 *     die-once FILE  whoever makes that file dies before it has come up; then as traffic
 *     code       process 1 ends with code 7: everybody does
 *     bench      bytes/s between processes 0 and 1, both ways at once, by size of frame
 *     ping       seconds there and back, while busy and after pauses
 *     idle       share of a core that waiting costs
 *
 * LINK_CHECK_NAME: which link, auto without it.  Prints a line for each process that got through; exits with 1 and says what is wrong otherwise. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "exchange/link.h"
#include "exchange/mpi/launcher.h"

enum { FRAMES = 800 }; /* from each process, where it is not a matter of time */

typedef struct head {
    uint32_t from, to, number;
    uint32_t last; /* how many frames there were; 0: more follow */
} head;

typedef struct state {
    asgdi_link *link;
    uint32_t    sent[ASGDI_PROCESSES_MAX], got[ASGDI_PROCESSES_MAX], late[ASGDI_PROCESSES_MAX];
    bool        ended[ASGDI_PROCESSES_MAX], gone[ASGDI_PROCESSES_MAX], closed[ASGDI_PROCESSES_MAX];
    double      heard[ASGDI_PROCESSES_MAX];
    uint64_t    bytes;
} state;

#define FAIL(...)                                           \
    do {                                                    \
        fprintf(stderr, "link_check: %u: ", s->link->self); \
        fprintf(stderr, __VA_ARGS__);                       \
        fputc('\n', stderr);                                \
        fflush(stderr);                                     \
        s->link->close(s->link, 1, false, 1);               \
        _exit(1);                                           \
    } while (0)

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* The n-th frame from one process to another has this size, and this in it. */
static size_t size_of(uint64_t key)
{
    static const size_t edges[] = {sizeof(head),        4095,           4096, 4097,
                                   ASGDI_FRAME_MAX - 1, ASGDI_FRAME_MAX};
    const uint64_t      r       = mix(key);
    const size_t        kind = r % 64, any = (size_t)(r >> 8);
    if (kind < 6) return edges[kind];
    if (kind < 40) return sizeof(head) + any % 200;
    if (kind < 54) return sizeof(head) + any % 4200;
    return sizeof(head) + any % 300000;
}

static uint64_t key_of(uint32_t from, uint32_t to, uint32_t number)
{
    return mix((uint64_t)from << 48 ^ (uint64_t)to << 32 ^ number);
}

static asgdi_frame *make(state *s, uint32_t to, uint32_t last)
{
    const head     h   = {s->link->self, to, s->sent[to]++, last};
    const uint64_t key = key_of(h.from, h.to, h.number);
    asgdi_frame   *f   = asgdi_frame_new(size_of(key));
    if (!f) FAIL("no memory");
    memcpy(f->data, &h, sizeof h);
    for (size_t i = sizeof h; i < f->bytes; i++)
        f->data[i] = (uint8_t)(key >> (i & 7) * 8) ^ (uint8_t)(i >> 3);
    s->bytes += f->bytes;
    return f;
}

static void check(state *s, uint32_t from, asgdi_frame *f)
{
    head h;
    if (from >= s->link->size || from == s->link->self) FAIL("a frame from process %u", from);
    if (s->gone[from]) FAIL("a frame from %u, which was dropped", from);
    if (f->bytes < sizeof h) FAIL("a frame of %u bytes", f->bytes);
    memcpy(&h, f->data, sizeof h);
    if (h.from != from || h.to != s->link->self)
        FAIL("a frame from %u to %u came from %u", h.from, h.to, from);
    if (h.number != s->got[from])
        FAIL("from %u: frame %u where %u was to come", from, h.number, s->got[from]);
    const uint64_t key = key_of(h.from, h.to, h.number);
    if (f->bytes != size_of(key)) FAIL("from %u: frame %u has %u bytes", from, h.number, f->bytes);
    for (size_t i = sizeof h; i < f->bytes; i++)
        if (f->data[i] != ((uint8_t)(key >> (i & 7) * 8) ^ (uint8_t)(i >> 3)))
            FAIL("from %u: frame %u of %u bytes is damaged at %zu", from, h.number, f->bytes, i);
    s->got[from]++;
    s->heard[from] = asgdi_now();
    if (h.last) s->ended[from] = true;
    if (h.last && h.last != s->got[from])
        FAIL("from %u: %u frames of %u", from, s->got[from], h.last);
    asgdi_frame_free(f);
}

/* It gets a byte from each process that has given up the stopped one; in the folder that run.sh makes for a test. */
static int open_given_up(int flags)
{
    const char *folder = getenv("TMPDIR");
    char        path[4096];
    snprintf(path, sizeof path, "%s/given-up", folder ? folder : "/tmp");
    return open(path, flags | O_CREAT, 0600);
}

static void give_up(state *s, uint32_t p, bool tells)
{
    if (tells) {
        const int file = open_given_up(O_WRONLY | O_APPEND);
        if (file < 0 || write(file, "x", 1) != 1) FAIL("cannot tell that it gives up %u", p);
        close(file);
    }
    s->gone[p] = true;
    s->link->drop(s->link, p);
    if (s->link->waiting(s->link, p) != 0) FAIL("bytes wait for %u, which was dropped", p);
    s->link->send(s->link, p, make(s, p, 0)); /* is thrown away */
    if (s->link->waiting(s->link, p) != 0) FAIL("a frame waits for %u, which was dropped", p);
    fprintf(stderr, "link_check: %u gives up %u, not heard for %.1f s\n", s->link->self, p,
            asgdi_now() - s->heard[p]);
}

/* A child stops this process, and wakes it some time later, and not before so many have given it up. */
static void stop_for(double seconds, uint32_t others)
{
    enum { PATIENCE = 60 };
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        const double begin = asgdi_now();
        const int    file  = others ? open_given_up(O_RDONLY) : -1;
        kill(parent, SIGSTOP);
        asgdi_sleep(seconds);
        while (others && lseek(file, 0, SEEK_END) < (off_t)others && asgdi_now() < begin + PATIENCE)
            asgdi_sleep(0.05);
        kill(parent, SIGCONT);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* All to all, for so many seconds or FRAMES frames; somewhere in between `what` happens to process `victim`. */
static void traffic(state *s, double seconds, char what, uint32_t victim)
{
    asgdi_link  *l          = s->link;
    const double begin      = asgdi_now();
    const bool   strikes    = what == 'k' || what == 'g';
    const double dead_after = l->self == victim ? 1 : 2.5;
    double       looked = begin, longest = 0;
    bool         struck = what == 't', lost = false;
    for (uint32_t p = 0; p < l->size; p++) s->heard[p] = begin;
    for (;;) {
        const double t = asgdi_now();
        uint32_t     from, open = 0, left = 0;
        asgdi_frame *f;
        if (!struck && t > begin + seconds / 3) {
            struck = true;
            if (l->self == victim && what == 'k') raise(SIGKILL);
            if (l->self == victim) stop_for(1, what == 'g' ? l->size - 1 : 0);
        }
        /* who is to miss the victim goes on until it does */
        const bool over = t > begin + seconds && (!strikes || l->self == victim || s->gone[victim]);
        for (uint32_t p = 0; p < l->size; p++) {
            if (p == l->self || s->gone[p]) continue;
            left++;
            for (int burst = 0; burst < 8 && !s->closed[p] && l->waiting(l, p) < 2 << 20; burst++) {
                const bool last = what == 't' ? s->sent[p] + 1 == FRAMES / l->size : over;
                l->send(l, p, make(s, p, last ? s->sent[p] + 1 : 0));
                s->closed[p] = last;
            }
            open += !s->closed[p] || !s->ended[p];
        }
        if (open == 0 && (left > 0 || l->size == 1)) break;
        for (int burst = 0; burst < 64 && (f = l->receive(l, &from)); burst++) {
            if (t > begin + seconds * 0.8) s->late[from]++;
            check(s, from, f);
        }
        const double after = asgdi_now();
        if (after - looked > 0.5) /* who was away itself has heard of nobody */
            for (uint32_t p = 0; p < l->size; p++) s->heard[p] = after;
        longest = fmax(longest, after - looked);
        looked  = after;
        for (uint32_t p = 0; p < l->size; p++) {
            if (p == l->self || s->gone[p] || s->ended[p] || after < s->heard[p] + dead_after)
                continue;
            /* a busy machine may keep a process from running for long: who is not expected to die is not given up, and
             * the one that was stopped finds itself alone only after that */
            if (!strikes || (l->self == victim ? !struck : p != victim)) continue;
            give_up(s, p, what == 'g' && p == victim);
            lost = true;
        }
        if (lost && what == 'g' &&
            l->self == victim) { /* the others have gone on without this one */
            printf("link_check: %u is out\n", l->self);
            l->drop(l, l->self);
            l->close(l, 1, true, 0);
        }
        l->rest(l, 0.01);
    }
    uint64_t frames = 0;
    for (uint32_t p = 0; p < l->size; p++) {
        frames += s->got[p];
        if (p == l->self || what == 't') continue;
        if (p == victim && what != 's' && !s->gone[p]) FAIL("nobody noticed that %u is gone", p);
        if ((p != victim || what == 's') && s->late[p] == 0)
            FAIL("nothing came from %u after the loss", p);
    }
    printf(
        "link_check: %u of %u got through: %llu frames, %.0f MB out, %.1f s, longest turn %.2f s\n",
        l->self, l->size, (unsigned long long)frames, (double)s->bytes * 1e-6, asgdi_now() - begin,
        longest);
    const double end = asgdi_now();
    l->close(l, 10, lost, 0);
    if (asgdi_now() - end > 5)
        fprintf(stderr, "link_check: ended after %.1f s only\n", asgdi_now() - end);
}

/* ---- measuring ---- */

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void bench(state *s, double seconds)
{
    static const uint32_t sizes[] = {256, 4096, 16384, 65536, 262144, 1048576};
    asgdi_link           *l       = s->link;
    if (l->self > 1) {
        l->close(l, 60, false, 0);
        return;
    }
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const uint32_t to = !l->self;
        asgdi_frame   *f = asgdi_frame_new(sizes[k]), *end = asgdi_frame_new(8), *in;
        memset(f->data, 1, f->bytes);
        const double begin = asgdi_now(), cpu = cpu_seconds();
        uint64_t     got  = 0;
        bool         mine = false, theirs = false;
        while (!mine || !theirs) {
            uint32_t from;
            while (!mine && l->waiting(l, to) < 4 << 20) {
                mine = asgdi_now() > begin + seconds;
                l->send(l, to, asgdi_frame_hold(mine ? end : f));
            }
            while ((in = l->receive(l, &from))) {
                if (in->bytes == 8)
                    theirs = true;
                else
                    got += in->bytes;
                asgdi_frame_free(in);
            }
            l->rest(l, 0.01);
        }
        const double t = asgdi_now() - begin;
        if (l->self == 0)
            printf("%8u bytes: %6.3f GB/s each way, %8.0f frames/s, %3.0f %% of a core\n", sizes[k],
                   (double)got / t * 1e-9, (double)got / t / sizes[k],
                   100 * (cpu_seconds() - cpu) / t);
        asgdi_frame_free(f);
        asgdi_frame_free(end);
    }
    l->close(l, 60, false, 0);
}

static void ping(state *s, double seconds)
{
    static const double pauses[] = {0, 0.001, 0.01, 0.1};
    asgdi_link         *l        = s->link;
    if (l->self > 1) {
        l->close(l, 60, false, 0);
        return;
    }
    for (size_t k = 0; k < sizeof pauses / sizeof *pauses; k++) {
        double    sum   = 0;
        int       n     = 0;
        const int times = pauses[k] > 0 ? (int)(seconds / pauses[k]) : 2000;
        for (; n < times; n++) {
            uint32_t from;
            if (l->self == 0 && pauses[k] > 0) asgdi_sleep(pauses[k]);
            const double begin = asgdi_now();
            asgdi_frame *f     = asgdi_frame_new(64);
            if (l->self == 0)
                l->send(l, 1, f);
            else
                asgdi_frame_free(f);
            while (!(f = l->receive(l, &from))) l->rest(l, 1);
            if (l->self == 1) l->send(l, 0, asgdi_frame_hold(f));
            asgdi_frame_free(f);
            sum += asgdi_now() - begin;
        }
        if (l->self == 0)
            printf("after pauses of %5.3f s: %4.0f us there and back\n", pauses[k], sum / n * 1e6);
    }
    l->close(l, 60, false, 0);
}

static void idle(state *s, double seconds)
{
    asgdi_link  *l     = s->link;
    const double begin = asgdi_now(), cpu = cpu_seconds();
    while (asgdi_now() < begin + seconds) l->rest(l, 0.1);
    printf("link_check: %u of %u: %.2f %% of a core\n", l->self, l->size,
           100 * (cpu_seconds() - cpu) / (asgdi_now() - begin));
    l->close(l, 10, false, 0);
}

int main(int argc, char **argv)
{
    const char  *mode    = argc > 1 ? argv[1] : "";
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    static state s[1];
    const char  *name = getenv("LINK_CHECK_NAME");
    const bool   dies = strcmp(mode, "die-once") == 0;
    if (dies && argc > 2 && open(argv[2], O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0) raise(SIGKILL);
    if (asgdi_link_open(&s->link, name ? name : "auto") != ASGD_OK) {
        fprintf(stderr, "link_check: %s\n", asgd_errmsg());
        asgdi_tell_launcher(1);
        return 1;
    }
    const uint32_t size = s->link->size, last = size - 1;
    if (strcmp(mode, "traffic") == 0 || dies)
        traffic(s, 0, 't', 0);
    else if (strcmp(mode, "kill") == 0)
        traffic(s, seconds, 'k', last);
    else if (strcmp(mode, "kill-first") == 0)
        traffic(s, seconds, 'k', 0);
    else if (strcmp(mode, "stop") == 0)
        traffic(s, seconds, 's', last);
    else if (strcmp(mode, "give-up") == 0)
        traffic(s, seconds, 'g', last);
    else if (strcmp(mode, "bench") == 0)
        bench(s, seconds);
    else if (strcmp(mode, "ping") == 0)
        ping(s, seconds);
    else if (strcmp(mode, "idle") == 0)
        idle(s, seconds);
    else if (strcmp(mode, "code") == 0) {
        const double until = asgdi_now() + 20;
        if (s->link->self == 1 % size) s->link->close(s->link, 5, false, 7);
        for (uint32_t from; asgdi_now() < until;) {
            asgdi_frame_free(s->link->receive(s->link, &from));
            s->link->rest(s->link, 0.1);
        }
        FAIL("the others' end went unnoticed");
    } else {
        fprintf(stderr,
                "usage: link_check "
                "traffic|kill|kill-first|stop|give-up|die-once|code|bench|ping|idle [SECONDS]\n");
        s->link->close(s->link, 5, false, 2);
        return 2;
    }
    return 0;
}
