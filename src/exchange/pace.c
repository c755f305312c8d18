/* pace.c -- what the network bears. */
#include "exchange/pace.h"

static const double REMEMBERED = 2;   /* seconds, and the same before */
static const double QUEUED     = 1.5; /* times the fastest answer: this one waited for others */
static const double FEW        = 64 << 10;    /* bytes that tell nothing about what is carried */
static const double SLOW = 60e6, FAST = 90e6; /* bytes/s both ways: half of 1 Gbit/s, and more */
enum { VOTES = 3 };

void asgdi_pace_answer(asgdi_pace *p, double now, double seconds, uint64_t bytes,
                       uint64_t moved_before)
{
    p->moved += bytes;
    if (!(seconds > 0)) return;
    if (p->least == 0 || seconds < p->least) p->least = seconds;
    if (now - p->best_at > REMEMBERED) {
        p->last    = p->best;
        p->best    = 0;
        p->best_at = now;
    }
    const double moved = (double)(p->moved - moved_before), carrying = seconds - p->least;
    if (moved < FEW || seconds < QUEUED * p->least) return;
    if (moved / carrying > p->best) p->best = moved / carrying;
}

void asgdi_pace_round(asgdi_pace *p, double raw, double wait)
{
    const double carried = p->best > p->last ? p->best : p->last;
    p->raw += (p->raw > 0 ? 1.0 / 8 : 1) * (raw - p->raw);
    if (carried == 0) return;
    const double takes = p->raw / carried;
    const bool   other =
        p->coarse ? carried > FAST || 2 * takes < wait : carried < SLOW && takes > wait;
    p->votes = other ? p->votes + 1 : 0;
    if (p->votes < VOTES) return;
    p->coarse = !p->coarse;
    p->votes  = 0;
}

uint32_t asgdi_pace_steps(double answer, double step, uint32_t most)
{
    if (!(step > 0) || !(answer > step)) return 1;
    const double steps = answer / step;
    return steps < most ? (uint32_t)steps : most;
}
