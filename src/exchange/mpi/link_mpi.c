/* link_mpi.c -- processes that an mpirun has started: how they find each other and how they part; a module of its own
 * (link.h), so that neither libasgd nor asgd needs MPI to be there.
 *
 * MPI starts them and introduces them to each other.  Frames then go by sockets (sockets.c) or by MPI's messages
 * (messages.c); "auto" is sockets, or messages where some process cannot be reached by TCP.  While sockets carry them
 * nobody calls MPI until the end. */
#define _GNU_SOURCE
#include "exchange/mpi/launcher.h"
#include "exchange/mpi/meet.h"
#include "exchange/mpi/messages.h"
#include "exchange/mpi/sockets.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    PROTOCOL =
        3, /* of what is sent here, in messages.c and in sockets.c; the same in all processes */
    MEET_SECONDS = 20, /* to find each other by TCP */
};

struct asgdi_job {
    MPI_Comm control, bulk; /* the latter for messages only */
    bool     ours;          /* MPI was begun here, so it is ended here */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(double seconds)
{
    const struct timespec t = {.tv_sec  = (time_t)seconds,
                               .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
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

void asgdi_carrier_goodbye(asgdi_carrier *c, uint32_t from, const asgdi_goodbye *g)
{
    if (g->code) end_of_job(g->code);
    c->with[from].bye = true;
    for (uint32_t p = 0; c->closing && p < c->link.size; p++) {
        if (p == c->link.self || !(g->gone[p / 8] >> p % 8 & 1)) continue;
        c->lost = true;
        c->link.drop(&c->link, p);
    }
}

/* Nothing more is to go to or come from that peer. */
static bool settled(const asgdi_carrier *c, uint32_t peer, bool answered)
{
    const asgdi_standing *s = &c->with[peer];
    return s->gone || (s->bye_begun && (!answered || s->bye) && c->is_still(c, peer, answered));
}

/* Goodbyes both ways, until `until`; false: somebody did not answer.  answered: theirs are waited for, too. */
static bool part(asgdi_carrier *c, double until, bool answered)
{
    asgdi_link *l = &c->link;
    c->closing    = true;
    for (;;) {
        asgdi_frame *f;
        uint32_t     from, open = 0;
        for (uint32_t p = 0; p < l->size; p++) /* to those that are left */
            if (p != l->self && !c->with[p].gone && !c->with[p].bye_begun) c->say_goodbye(c, p);
        while ((f = l->receive(l, &from))) asgdi_frame_free(f);
        for (uint32_t p = 0; p < l->size; p++) open += p != l->self && !settled(c, p, answered);
        const double t = now();
        if (open == 0 || !(t < until)) return open == 0;
        l->rest(l, until - t < 0.01 ? until - t : 0.01);
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

/* What MPI was needed for. */
static void end(asgdi_job *job, double until)
{
    if (job->ours) {
        finalize(until);
    } else {
        if (job->bulk != MPI_COMM_NULL) MPI_Comm_free(&job->bulk);
        MPI_Comm_free(&job->control);
    }
    free(job);
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
static void leave(asgdi_carrier *c, int code)
{
    uint32_t lowest = 0;
    while (lowest != c->link.self && c->with[lowest].gone) lowest++;
    asgdi_tell_launcher(code);
    fflush(NULL);
    if (!setting_is("OMPI_MCA_orte_enable_recovery", "1")) {
        signal(SIGTERM, SIG_DFL); /* which is how it will come */
        if (lowest == c->link.self) MPI_Abort(MPI_COMM_WORLD, code);
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
    asgdi_carrier *c     = (asgdi_carrier *)l;
    asgdi_job     *job   = c->job;
    const double   until = now() + seconds;
    c->bye.code          = code;
    c->lost |= lost;
    for (uint32_t p = 0; p < l->size; p++) {
        c->lost |= c->with[p].gone;
        c->bye.gone[p / 8] |= (uint8_t)(c->with[p].gone << p % 8);
    }
    if (c->out) leave_alone(seconds, code);
    if (code) {
        part(c, seconds < 1 ? until : now() + 1, false);
        end_of_job(code);
    }
    if (!part(c, until, true) || c->lost) leave(c, code);
    asgdi_tell_launcher(code);
    end(job, until + 1);
    c->free(c); /* not before MPI is done with its memory */
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

/* What is the same for all comes from process 0. */
typedef struct basis {
    uint64_t protocol, run;
    uint8_t  secret[ASGDI_SECRET];
    char     carrier[8];
} basis;

static bool random_bytes(void *out, size_t bytes)
{
    return getrandom(out, bytes, 0) == (ssize_t)bytes;
}

/* Collective. */
static basis agree_on_basis(const asgdi_job *job, const char *carrier)
{
    basis b = {.protocol = PROTOCOL};
    if (!random_bytes(&b.run, sizeof b.run) || !random_bytes(b.secret, sizeof b.secret)) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        b.run = (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid();
    }
    snprintf(b.carrier, sizeof b.carrier, "%s", carrier);
    MPI_Bcast(&b, (int)sizeof b, MPI_BYTE, 0, job->control);
    return b;
}

/* Collective; false: not all are able to go on. */
static bool all_are(const asgdi_job *job, bool able)
{
    int mine = able, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, job->control);
    return all;
}

static int gather(void *user, const void *mine, size_t bytes, void *all)
{
    const asgdi_job *job = user;
    return MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, job->control) ==
                   MPI_SUCCESS
               ? 0
               : -1;
}

/* Sockets between all; NULL: `why` says why not.  Collective. */
static asgdi_carrier *over_sockets(asgdi_job *job, const basis *b, uint32_t self, uint32_t size,
                                   char *why, size_t bytes)
{
    int           *fd = malloc(size * sizeof *fd);
    asgdi_carrier *c  = NULL;
    asgdi_meeting  m  = {
          .self = self, .size = size, .seconds = MEET_SECONDS, .gather = gather, .user = job};
    memcpy(m.secret, b->secret, sizeof m.secret);
    snprintf(why, bytes, "no memory");
    if (all_are(job, fd) && asgdi_meet(&m, fd, why, bytes) == 0) {
        snprintf(why, bytes, "no memory, or too many open files, in one of the processes");
        c = asgdi_sockets_new(self, size, fd);
        if (!all_are(job, c) && c) {
            c->free(c);
            c = NULL;
        }
    }
    free(fd);
    return c;
}

/* Messages of MPI; NULL: `why` says why not.  Collective. */
static asgdi_carrier *over_messages(asgdi_job *job, uint32_t self, uint32_t size, char *why,
                                    size_t bytes)
{
    MPI_Comm_dup(MPI_COMM_WORLD, &job->bulk);
    MPI_Comm_set_errhandler(job->bulk, MPI_ERRORS_RETURN);
    asgdi_carrier *c = asgdi_messages_new(self, size, job->control, job->bulk);
    if (all_are(job, c)) return c;
    snprintf(why, bytes, "no memory in one of the processes");
    return NULL; /* what MPI has of it stays */
}

/* The way that frames go.  Collective. */
static asgdi_carrier *choose_carrier(asgdi_job *job, const char *name, uint32_t self, uint32_t size,
                                     char *why, size_t bytes)
{
    const basis b = agree_on_basis(job, name);
    if (!all_are(job, b.protocol == PROTOCOL && strcmp(b.carrier, name) == 0)) {
        snprintf(why, bytes,
                 "the processes cannot work together: not all have the same version of asgd and "
                 "the same --exchange");
        return NULL;
    }
    asgdi_carrier *c = NULL;
    *why             = 0;
    if (strcmp(name, "mpi") != 0) c = over_sockets(job, &b, self, size, why, bytes);
    const size_t used = strlen(why);
    if (!c && strcmp(name, "tcp") == 0)
        snprintf(why + used, bytes - used,
                 "; ASGD_INTERFACES=eth0 says which interfaces to use, --exchange mpi that MPI's "
                 "messages are to be used");
    else if (!c)
        c = over_messages(job, self, size, why, bytes);
    if (c) c->link.run = b.run;
    return c;
}

static int open_link(asgdi_link **out, const char *carrier, char *why, size_t bytes)
{
    const char *by;
    int         rank, size;
    asgdi_job  *job = calloc(1, sizeof *job);
    if (!job) {
        snprintf(why, bytes, "no memory");
        return -1;
    }
    *job = (asgdi_job){.control = MPI_COMM_NULL, .bulk = MPI_COMM_NULL};
    if (begin(&job->ours, why, bytes) != 0) {
        free(job);
        return -1;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const long     told = told_processes(&by);
    asgdi_carrier *c    = NULL;
    if (size == 1 && told > 1) {
        snprintf(why, bytes,
                 "%s has started %ld processes, but " MADE_FOR
                 ", which this is built with, sees one: start it with "
                 "the mpirun of " MADE_FOR " (or srun --mpi=..., as `srun --mpi=list` has it)",
                 by, told);
    } else if (size > ASGDI_PROCESSES_MAX) {
        snprintf(why, bytes, "%d processes; at most %d can work together", size,
                 ASGDI_PROCESSES_MAX);
    } else {
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_dup(MPI_COMM_WORLD, &job->control);
        MPI_Comm_set_errhandler(job->control, MPI_ERRORS_RETURN);
        c = choose_carrier(job, carrier, (uint32_t)rank, (uint32_t)size, why, bytes);
    }
    if (!c) {
        if (job->ours) MPI_Finalize();
        free(job);
        return -1;
    }
    c->job        = job;
    c->link.close = close_link;
    if (gethostname(c->link.host, sizeof c->link.host - 1) != 0) strcpy(c->link.host, "?");
    asgdi_tell_launcher_start(ASGDI_LAUNCH_OPEN);
    *out = &c->link;
    return 0;
}

extern const asgdi_link_module   asgdi_module; /* ASGDI_LINK_SYMBOL */
ASGD_API const asgdi_link_module asgdi_module = {
    .abi = ASGDI_LINK_ABI, .made_for = MADE_FOR, .open = open_link};
