/* core.h -- the inside of an exchange, shared by its files:
 *
 *     exchange.c  events in, actions out, stages        members.c  who is in
 *     copy.c      S, and what is under way to owners    master.c   M of the blocks this process owns
 *     corrections.c  what comes back from them
 *     takeover.c  a dead owner's blocks                 supply.c   leases: the keeper's side and everybody's
 *     masters.c   memory of all M                       good.c     states of M to go back to
 *     watch.c     what the guard (guard.c) finds, and what is done about it
 *     snapshot.c  a copy of the masters for a checkpoint
 *     rough.c     rounded rows in replies
 */
#ifndef ASGDI_CORE_H
#define ASGDI_CORE_H

#include "exchange/exchange.h"
#include "exchange/governor.h"
#include "exchange/pace.h"
#include "exchange/queue.h"
#include "exchange/wire.h"

/* Beside the verdict in a reply: rows of the delta that it does not list are S + d, for nobody else had changed them. */
static const unsigned ASGDI_AS_EXPECTED = 0x80;

static const uint64_t ASGDI_FIRST_VIEW = UINT64_C(1) << 16;

/* Of a delta. */
enum {
    ASGDI_PULL  = 1, /* it brings nothing, and wants the last word: the master's own bits */
    ASGDI_ROUGH = 2, /* rounded rows will do in the reply */
    ASGDI_ALSO  = 4, /* a list of rows follows that are wanted too, whether they changed or not */
    ASGDI_EXACT =
        8, /* the sender's S has none of its rows rounded: they may come out as expected */
};

/* Which master: masters of one block that served one after another are ordered by it, and two with the same one
 * are the same bits.  term: the view in which its owner began to serve it; count: deltas applied, of all
 * terms. */
typedef struct asgdi_version {
    uint64_t term, count;
} asgdi_version;

static inline bool asgdi_version_before(asgdi_version a, asgdi_version b)
{
    return a.term != b.term ? a.term < b.term : a.count < b.count;
}

/* Rows of a table that travel, and are owned, together. */
typedef struct asgdi_block {
    int      table;
    uint64_t first; /* row */
    uint32_t rows, stride;
    uint32_t every; /* rounds between its exchanges */
    uint32_t owner;

    /* ---- this process's copy ---- */
    asgdi_version base;         /* of S */
    uint64_t      base_updates; /* updates that S includes: what staleness is counted in */
    uint64_t     *seq;          /* [size] of S: the last delta of each process that is in it */
    uint64_t     *included;     /* [size] and the examples of each */
    uint64_t      next_seq;     /* of the delta under way, or the last one */
    uint64_t      read_updates; /* of this process, when W was last read */
    uint64_t      read_mark,
        safe_mark;         /* marks (supply): when read last; when last read and acknowledged */
    bool         read_all; /* all that was read then was sent, as it is */
    asgdi_frame *sent;     /* under way; NULL: none */
    uint32_t     sent_to, times_sent;
    uint32_t     charged; /* bytes that count as under way meanwhile */
    double       sent_at;
    uint64_t     moved_before; /* pace.moved, when it was sent */
    bool         correcting;   /* a correction of it is not made yet */
    uint64_t     sync_round;   /* sync: the owner's round this process is in */
    uint32_t     back;         /* times that the master which S is had gone back */

    struct asgdi_master *master; /* NULL: another process's */
} asgdi_block;

/* Progress of the owner itself that is in its master, and in nobody's copy yet. */
typedef struct asgdi_unseen {
    uint64_t count, mark; /* it is in masters from that version on; the mark it was read at */
} asgdi_unseen;
enum { ASGDI_UNSEEN = 8 };

typedef struct asgdi_master {
    float        *m;       /* [rows][stride] */
    uint64_t     *changed; /* [rows] version.count after the row's last change */
    bool          serving; /* false: being taken over */
    asgdi_version version;
    uint64_t      updates;
    uint64_t     *seq, *included; /* [size] */
    asgdi_usual   usual;
    asgdi_unseen  unseen[ASGDI_UNSEEN];
    uint32_t      n_unseen;
    /* taking over */
    asgdi_set     answered;
    asgdi_version best;
    uint32_t      holder;
    bool          exact;    /* it has none of its rows rounded */
    double        fetch_at; /* when last asked for; 0: not yet */
    /* sync: the round that is being collected */
    uint64_t  round;
    asgdi_set in_round, in_rough; /* in_rough: rounded rows will do for their replies */
    float    *sum;                /* [rows][stride] */
    uint8_t  *in_sum;             /* [rows] */
    uint64_t *round_seq, *round_included, *round_updates, *round_count; /* [size] */
    double   *round_came; /* [size] when; its answer waits for the others */
    /* outer momentum */
    float   *velocity, *gathered; /* [rows][stride] */
    uint32_t arrivals;
    /* the guard's.  good: what to go back to; next: what will be that when it has stood the test of another while */
    float   *good, *next;                  /* [rows][stride] */
    uint64_t good_examples, next_examples; /* that they have learnt from */
    uint64_t good_count, next_count;       /* versions that they are */
    uint64_t undone; /* examples that count as included and are not, as it went back */
    uint64_t state;  /* number of the good state that `next` was taken for */
    uint32_t back;   /* times that it has gone back, in this process or in owners before it */
} asgdi_master;

/* Corrections of blocks, and the memory they point to. */
typedef struct asgdi_fix {
    uint32_t block;
    float   *by; /* NULL: they point to S */
} asgdi_fix;

typedef struct asgdi_fixes {
    asgdi_fix        *fix;
    asgdi_correction *entry;
    uint32_t          n, n_entries;
    size_t            room, entry_room;
} asgdi_fixes;

/* How far a process is with a snapshot (snapshot.c). */
typedef enum asgdi_snap_step {
    ASGDI_SNAP_NONE,
    ASGDI_SNAP_WANTED, /* it is to read every block */
    ASGDI_SNAP_ROUNDS, /* and does */
    ASGDI_SNAP_SETTLED,
    ASGDI_SNAP_COPYING,
    ASGDI_SNAP_COPIED, /* the caller writes it */
    ASGDI_SNAP_WRITTEN,
    ASGDI_SNAP_FAILED,
} asgdi_snap_step;

/* What a process tells of its part. */
typedef struct asgdi_snap_told {
    uint64_t        number, bytes, checksum;
    uint32_t        back;
    asgdi_snap_step step;
} asgdi_snap_told;

typedef struct asgdi_snap {
    uint64_t        number; /* of the last one heard of */
    asgdi_snap_step step;
    bool            copy; /* all have settled */
    bool            lent; /* what follows, and done, is the caller's, to be written */
    float          *rows[ASGD_MAX_TABLES];
    asgdi_piece    *piece;    /* [n] */
    uint64_t       *included; /* [n][size] */
    uint32_t        n, cursor, back;
    uint32_t     settled, settling; /* blocks read so far, and by the end of the round under way */
    size_t       filled[ASGD_MAX_TABLES]; /* floats */
    asgdi_ranges done;
    asgdi_snap_told told; /* of this process's */
    /* who speaks: what it asks of all, SETTLED or COPIED, or what came of it */
    asgdi_snap_step asked;
} asgdi_snap;

typedef struct asgdi_peer {
    double          heard;             /* when last; before it was ever: when this process began */
    bool            known;             /* it was heard of */
    bool            greeted;           /* and what it is about is the same */
    uint64_t        updates, examples; /* what it said it had done */
    asgdi_snap_told snap;
    bool            idle;   /* it has nothing to do, so nobody need wait for it */
    bool            waits;  /* idle, and not all that it did is safe */
    asgdi_losses    losses; /* what it said its workers had */
    uint32_t        back;   /* times that all of it has gone back */
    uint8_t         stage;
    double          viewed;    /* when it was last told the view because it was behind */
    size_t          under_way; /* bytes sent to it and not answered */
    double          answer;    /* how long it takes to answer a delta, at the most lately */
    double          patience;  /* what it has not answered for so long is sent again */
    double          doubled_at;
    double          asked; /* takeover: when it was last asked */
    bool            asking;
    /* keeper's: its last request, to answer a repeated one alike */
    uint64_t    request;
    asgdi_range granted;
    bool        queue_known; /* it has answered a new keeper */
    double      queue_asked;
} asgdi_peer;

/* Positions done at some mark, in the order they were told. */
typedef struct asgdi_marked {
    asgdi_range range;
    uint64_t    mark;
} asgdi_marked;

typedef struct asgdi_supply {
    /* the keeper's */
    asgdi_queue queue;
    bool        serving;
    /* everybody's */
    asgdi_ranges  held;        /* leased, not safely done */
    asgdi_ranges  safe;        /* safely done by this process, not yet in known */
    asgdi_ranges  unreported;  /* safely done, the keeper has not said that it knows */
    asgdi_ranges  reporting;   /* those in the request under way */
    asgdi_ranges  known;       /* done by anybody, as the keeper says */
    uint64_t      before;      /* of an earlier run, in it from the beginning */
    asgdi_range   pending[64]; /* leased, the workers have not got them yet: a ring */
    uint32_t      pending_first, n_pending;
    asgdi_marked *marked;
    size_t        n_marked, marked_room;
    uint64_t      mark;            /* grows with each asgdi_exchange_done() */
    uint64_t      request;         /* number of the last one */
    bool          requested, want; /* it is under way; it asks for more */
    bool          refused;         /* there was nothing more, when last asked for */
    double        requested_at, retry_at;
    double        took; /* seconds from a request to its answer, at the most lately */
    uint64_t      left; /* positions leased and not done by the workers */
} asgdi_supply;

/* What changes while a run moves, of all processes as far as is known here: sums and numbers.  Signs of life, and what
 * is sent again or brings nothing, are no movement. */
typedef struct asgdi_movement {
    uint64_t stages, greeted, updates, examples, deltas, brought, left, views, taking;
} asgdi_movement;

typedef struct asgdi_out {
    uint32_t     to;
    asgdi_frame *frame;
} asgdi_out;

struct asgdi_exchange {
    asgdi_exchange_config c;
    asgdi_params p; /* what the tables are: the run's may be gone while others are still answered */
    asgdi_read_rows *read;
    void            *user;
    double           now, last_tick;
    bool             ticked;
    asgdi_progress   progress;
    asgdi_stage      stage;
    char             why[512];
    uint64_t         about; /* hash */
    bool             still, flushed, saved, ending, unlike;
    uint32_t         stop_why;

    asgdi_movement moved;
    uint64_t       brought; /* replies that had something in them */
    double moved_at; /* when it was last another; time in which this process was away is left out */

    /* members.c */
    uint64_t   view, highest;           /* highest: of another, that cannot be taken */
    bool       apart;                   /* there is such a one */
    asgdi_set  in, suspected, reported; /* reported: lost, the caller was told */
    asgdi_peer peer[ASGDI_PROCESSES_MAX];
    bool       away;         /* this process stood still so long that others may have given it up */
    double     back_at;      /* when it went on, the last time */
    double     patient_till; /* nobody is given up before that */
    double     beat_at;
    double     beat_began;
    uint64_t   beat_updates, beat_examples;
    bool       beat_now, told_waits;

    /* blocks */
    asgdi_block *block;
    uint32_t     n_blocks;
    uint32_t     most_floats;         /* of a block */
    float       *s[ASGD_MAX_TABLES];  /* [rows][stride] */
    uint8_t  *rough[ASGD_MAX_TABLES]; /* [rows] 1: S has the row rounded; NULL: nothing ever is */
    uint64_t *vectors;                /* of all blocks: [blocks][2][size] */
    void    **piece;                  /* [n_pieces] memory of masters */
    size_t    n_pieces, piece_room;
    float    *x1, *x2, *x3; /* scratch, [most_floats]; x3: W as it is read, and rough.c's */
    uint32_t *rows1, *rows2;
    uint16_t *scale1;  /* [rows] of a block: of rows1, see wire's scales */
    bool      derives; /* some part of a row is not sent */
    bool      whole;   /* all parts weigh the same, but where merging is mean */
    /* [rows] of a block; == entered: the last delta found the row as its sender had it */
    uint64_t *expected, entered;

    /* rounds (copy.c) */
    uint64_t    round;
    uint32_t    cursor;         /* block the round has come to; n_blocks: all sent */
    uint32_t    round_blocks;   /* sent in it so far */
    uint32_t    under_way;      /* blocks of the round that are not done */
    bool        in_round, full; /* full: it has all blocks */
    bool        tidying;        /* it has those that somebody waits for */
    asgdi_stage round_stage;    /* when it began */
    double      round_began, round_at, round_cost, look_at;
    uint64_t    round_updates;  /* of this process when it began */
    uint64_t    agreed_updates; /* the same of the last round that is over */
    uint64_t    learnt;         /* updates of all processes in the masters, as far as known */
    asgdi_fixes ready, handed;
    asgdi_pace  pace;
    double      round_raw;      /* bytes that the round would have moved, not coded */
    double      ended_at, step; /* when the last round was over; seconds of an update, about */
    uint32_t    steps;          /* sync: updates till the next round */

    asgdi_snap snap;

    /* takeover.c */
    uint32_t taking; /* blocks */
    uint64_t allowance;

    /* watch.c */
    struct {
        asgdi_guard guard;
        /* What is in force, decided by the speaker, spread by all; they only grow. */
        uint32_t level; /* watch.c tells which there are */
        uint32_t back;  /* times that all are to go back to the last good state */
        uint64_t state; /* good states so far */
        uint32_t done;  /* times that this process's copy has gone back */
        /* what the masters here have seen of these */
        uint32_t seen_back;
        uint64_t seen_state;
        bool     hopeless; /* going back once more would not help */
    } watch;
    bool     going_back; /* the round under way fetches the masters as they were */
    uint32_t going_to;   /* watch.back when it began */

    asgdi_supply supply;

    asgdi_out *out;
    uint32_t   out_first, n_out;
    size_t     out_room;

    asgdi_exchange_counts counts;
};

/* ---- exchange.c ---- */
/* Updates that this process may have beyond those known to be in the masters. */
uint64_t asgdi_x_lead(const asgdi_exchange *x);
void     asgdi_x_fail(asgdi_exchange *x, const char *format, ...) ASGD_PRINTF(2, 3);
/* A frame with its head; NULL: the exchange has failed. */
asgdi_frame *asgdi_x_frame(asgdi_exchange *x, asgdi_frame_type type, size_t room, asgdi_writer *w);
/* Queues it for sending, with the bytes written; to itself: not allowed. */
void                   asgdi_x_post(asgdi_exchange *x, uint32_t to, asgdi_writer *w);
void                   asgdi_x_post_frame(asgdi_exchange *x, uint32_t to, asgdi_frame *f);
static inline uint32_t asgdi_x_keeper(const asgdi_exchange *x)
{
    return asgdi_set_lowest(x->in);
}
static inline size_t asgdi_x_floats(const asgdi_block *b)
{
    return (size_t)b->rows * b->stride;
}
static inline float *asgdi_x_s(const asgdi_exchange *x, const asgdi_block *b)
{
    return x->s[b->table] + b->first * b->stride;
}
/* Of a row: the sum of what every step is divided by the root of, to 8 bits (bf16).  A delta tells that of S, for the
 * owner to see how much of it others have added meanwhile. */
static inline uint16_t asgdi_x_scale(const asgdi_exchange *x, const asgdi_block *b,
                                     const float *row)
{
    const asgdi_span part = asgdi_row_part(&x->p.table[b->table], x->p.slots.scale);
    float            sum  = 0;
    uint32_t         bits;
    for (uint32_t c = 0; c < part.n; c++) sum += row[part.at + c];
    memcpy(&bits, &sum, sizeof bits);
    return (uint16_t)(bits >> 16);
}
static inline asgdi_merging asgdi_x_merging(const asgdi_exchange *x, const asgdi_block *b)
{
    return x->c.merging[b->table];
}
static inline bool asgdi_x_shortens(const asgdi_exchange *x, const asgdi_block *b)
{
    return x->c.shorten && x->p.slots.scale && asgdi_x_merging(x, b) == ASGDI_MERGE_DELTA;
}
enum { QUADS_PART = 16 }; /* asgdk_slot_pad() */
static inline asgdi_shape asgdi_x_shape(const asgdi_exchange *x, const asgdi_block *b)
{
    const asgdi_table *t = &x->p.table[b->table];
    /* slots that are shorter than w: parts of all those floats that rows are a multiple of */
    return (asgdi_shape){b->rows, b->stride, t->slot == t->pad ? t->pad : QUADS_PART};
}

/* ---- members.c ---- */
void asgdi_members_start(asgdi_exchange *x);
void asgdi_members_tick(asgdi_exchange *x);
void asgdi_members_beat(asgdi_exchange *x); /* to all, now */
/* false: the rest of the frame is not to be looked at. */
bool asgdi_members_admit(asgdi_exchange *x, const asgdi_head *h);
void asgdi_members_hello(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_members_on_beat(asgdi_exchange *x, uint32_t from, bool same_view, asgdi_reader *r);
void asgdi_members_on_view(asgdi_exchange *x, uint32_t from, uint64_t view, asgdi_reader *r);

/* ---- rough.c ---- */
/* Which rows of a block are rounded in S, or NULL: none is. */
static inline uint8_t *asgdi_x_rough(const asgdi_exchange *x, const asgdi_block *b)
{
    return x->rough[b->table] ? x->rough[b->table] + b->first : NULL;
}
bool   asgdi_rough_any(const asgdi_exchange *x, const asgdi_block *b);
bool   asgdi_rough_none(const asgdi_exchange *x, const asgdi_block *b, uint32_t n,
                        const uint32_t *row);  /* of these */
size_t asgdi_rows_bytes(const asgdi_block *b); /* of a list of rows in a frame */
void   asgdi_put_rows(asgdi_writer *w, const asgdi_block *b, const uint8_t *is); /* is [rows] */
bool   asgdi_row_is(const uint8_t *list, uint32_t row);
size_t asgdi_rough_room(const asgdi_exchange *x, const asgdi_block *b, uint32_t n);
/* n rows, rows2 and x2, rounded; false: they are not fit for that, and nothing is written. */
bool asgdi_rough_put(asgdi_exchange *x, const asgdi_block *b, uint32_t n, asgdi_writer *w);
/* The rest of the frame, into rows2 and x2; uses rows1.  false: it is no such thing. */
bool asgdi_rough_get(asgdi_exchange *x, const asgdi_block *b, asgdi_reader *r, uint32_t *n);

/* ---- copy.c ---- */
asgd_status asgdi_copy_new(asgdi_exchange *x); /* blocks and S */
void        asgdi_copy_free(asgdi_exchange *x);
void        asgdi_copy_tick(asgdi_exchange *x);
void        asgdi_copy_new_view(asgdi_exchange *x);
void        asgdi_copy_lost(asgdi_exchange *x, asgdi_set to); /* something was sent to them again */

/* ---- snapshot.c ---- */
bool asgdi_snapshot_wants_round(const asgdi_exchange *x);
void asgdi_snapshot_round(asgdi_exchange *x);                        /* one begins */
bool asgdi_snapshot_is_due(const asgdi_exchange *x, uint32_t block); /* in it */
bool asgdi_snapshot_is_exact(const asgdi_exchange *x); /* deltas are not to be coded */
void asgdi_snapshot_round_over(asgdi_exchange *x);
void asgdi_snapshot_tick(asgdi_exchange *x);
void asgdi_snapshot_new_view(asgdi_exchange *x);
void asgdi_snapshot_put(const asgdi_exchange *x, asgdi_writer *w);
void asgdi_snapshot_get(asgdi_exchange *x, uint32_t from, bool same_view, asgdi_reader *r);
void asgdi_snapshot_free(asgdi_exchange *x);

/* The delta of a block under way was answered, or is not wanted any more. */
void asgdi_copy_answered(asgdi_exchange *x, asgdi_block *b);
/* How long the answer took, not counting the seconds it was held, and its bytes. */
void asgdi_copy_took(asgdi_exchange *x, const asgdi_block *b, double held, size_t bytes);

/* ---- corrections.c ---- */
void asgdi_corrections_free(asgdi_exchange *x);
void asgdi_copy_on_reply(asgdi_exchange *x, uint32_t from, asgdi_reader *r);

/* ---- masters.c ---- */
/* Of blocks that this process owns and has none of; false: no memory. */
bool asgdi_masters_new(asgdi_exchange *x);
void asgdi_masters_free(asgdi_exchange *x);

/* ---- master.c ---- */
void asgdi_master_from_copy(asgdi_exchange *x, asgdi_block *b); /* M = S, and it serves */
/* M is what a copy of version `count` had, of which the rows listed (NULL: none) were rounded. */
void asgdi_master_begin(asgdi_exchange *x, asgdi_block *b, uint64_t count);
/* Just begun at `count`.  A row that the copy had rounded others may have exactly, or have as it was before: to all it
 * counts as changed since. */
void   asgdi_master_rounded(asgdi_master *m, uint64_t count, uint32_t row);
void   asgdi_master_on_delta(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void   asgdi_master_new_view(asgdi_exchange *x);
void   asgdi_master_unseen(asgdi_exchange *x, asgdi_block *b); /* own progress came in */
size_t asgdi_reply_room(const asgdi_exchange *x, const asgdi_block *b, uint32_t n); /* n rows */

/* ---- good.c ---- */
void asgdi_good_begin(const asgdi_exchange *x, asgdi_block *b); /* what the master is now */
void asgdi_good_go_back(asgdi_exchange *x, asgdi_block *b, uint32_t times);
void asgdi_good_look(asgdi_exchange *x); /* at what is in force, and does it */

/* ---- watch.c ---- */
void asgdi_watch_losses(asgdi_exchange *x, uint32_t of, const asgdi_losses *l);
/* What another process knows to be in force. */
void asgdi_watch_learn(asgdi_exchange *x, uint32_t level, uint32_t back, uint64_t state);
void asgdi_watch_tick(asgdi_exchange *x);
/* The settings as they are in force. */
double   asgdi_watch_weight(const asgdi_exchange *x); /* times the weight of a delta */
double   asgdi_watch_damp(const asgdi_exchange *x);
uint64_t asgdi_watch_ahead(const asgdi_exchange *x);
uint64_t asgdi_watch_local_steps(const asgdi_exchange *x);

/* ---- takeover.c ---- */
void asgdi_takeover_new_view(asgdi_exchange *x);
void asgdi_takeover_tick(asgdi_exchange *x);
void asgdi_takeover_on_ask(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_takeover_on_hold(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_takeover_on_fetch(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_takeover_on_data(asgdi_exchange *x, uint32_t from, asgdi_reader *r);

/* ---- supply.c ---- */
asgd_status asgdi_supply_new(asgdi_exchange *x);
void        asgdi_supply_free(asgdi_exchange *x);
void        asgdi_supply_tick(asgdi_exchange *x);
void        asgdi_supply_safe(
           asgdi_exchange *x); /* marks up to the least safe one of all blocks are safe */
void asgdi_supply_new_view(asgdi_exchange *x, asgdi_set lost);
void asgdi_supply_known(asgdi_exchange *x, const uint8_t *bytes, size_t n);
bool asgdi_supply_idle(const asgdi_exchange *x);       /* the workers have nothing to do */
bool asgdi_supply_is_refused(const asgdi_exchange *x); /* and will not soon have */
void asgdi_supply_on_lease(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_supply_on_grant(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_supply_on_queue_ask(asgdi_exchange *x, uint32_t from, asgdi_reader *r);
void asgdi_supply_on_queue(asgdi_exchange *x, uint32_t from, asgdi_reader *r);

#endif
