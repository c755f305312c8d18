/* checkpoint.h -- a run on disk: a folder of table files and a manifest that makes them valid. */
#ifndef ASGDI_CHECKPOINT_H
#define ASGDI_CHECKPOINT_H

#include "params/params.h"
#include "params/parts.h"

/* What a checkpoint holds besides the master copy. */
typedef struct asgdi_checkpoint {
    char    *state;                  /* the text that was saved */
    uint32_t workers;                /* whose local slots were saved; 0 where the rule has none */
    float   *local[ASGD_MAX_TABLES]; /* [workers][rows][pad * local slots]; NULL: none */
    size_t   local_floats[ASGD_MAX_TABLES]; /* of one worker */
    bool     masters; /* rows are those of owners: weights that are computed from slots are not */
} asgdi_checkpoint;

bool asgdi_checkpoint_exists(const char *folder);

/* Writes the master copy with its slots, the workers' local slots (local [workers] of
 * asgdi_private.local; NULL: none) and a text of the caller's.  Nothing may write p meanwhile.  The
 * folder is made; a checkpoint in it stays valid until the new one is. */
asgd_status asgdi_checkpoint_save(const char *folder, const asgdi_params *p,
                                  float *const *const *local, uint32_t workers, const char *state);

/* The same by several processes: each writes a part (parts.h) of a generation that one of them has begun, and when
 * all have told it what they wrote, that one makes the checkpoint valid.  All see the same folder.
 *
 * Makes the folder, removes what belongs to no valid checkpoint, and says which generation is free.  ELOST: the checkpoint
 * that is there is not this side's to replace; commit and save say so, too, by p->side. */
asgd_status asgdi_checkpoint_begin(const char *folder, const asgdi_side *side,
                                   uint64_t *generation);
/* Looks whether all parts are there and hold all of p, and gives their lists. */
asgd_status asgdi_checkpoint_check(const char *folder, uint64_t generation, const asgdi_params *p,
                                   const asgdi_part *part, uint32_t n, uint32_t **extra,
                                   size_t *n_extra);
/* Makes parts that were checked the checkpoint, and removes the last one. */
asgd_status asgdi_checkpoint_commit(const char *folder, uint64_t generation, const asgdi_params *p,
                                    const asgdi_part *part, uint32_t n, const char *state);

/* Fills p, which has the same tables and the same rule, or leaves it alone and says why. */
asgd_status asgdi_checkpoint_load(const char *folder, asgdi_params *p, asgdi_checkpoint *out);
void        asgdi_checkpoint_free(asgdi_checkpoint *c);
/* Gives worker number w its local slots.  With more workers than there were, numbers wrap around:
 * the new ones begin with copies; with fewer, some slots are left behind. */
void asgdi_checkpoint_local(const asgdi_checkpoint *c, uint32_t w, float *const *local);

#endif
