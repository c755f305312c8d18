/* side.h -- whose work a file of a run of several processes is.
 *
 * Processes that were cut off from each other go on in two sides, which know nothing of each other, and each writes the
 * model and the checkpoints of the same run; where they see the same folder, to the same names.  So such files
 * name the processes that wrote them, and who is about to replace one gives way to a larger side; of equal ones to
 * that with the lowest process.  That is who stops when two sides meet, too (exchange/members.c).
 *
 * Looking and replacing are two steps: of two sides that end within the same moment, the second wins. */
#ifndef ASGDI_SIDE_H
#define ASGDI_SIDE_H

#include "base/set.h"
#include "base/status.h"

typedef struct asgdi_side {
    uint64_t
        run; /* the same in all its processes, and in no other run; 0: of one process, which has no sides */
    asgdi_set in; /* those that go on together */
} asgdi_side;

enum { ASGDI_SIDE_TEXT = 17 + 4 * ASGDI_PROCESSES_MAX + 1 };

/* As text: "0123456789abcdef 0,2,3", and back; false: it is no such text. */
void asgdi_side_print(const asgdi_side *s, char text[ASGDI_SIDE_TEXT]);
bool asgdi_side_parse(asgdi_side *s, const char *text);

/* ELOST: the file of this name was written by another side of this run (theirs: as text, NULL: nobody said), which s
 * has to give way to. */
asgd_status asgdi_side_check(const asgdi_side *s, const char *theirs, const char *path);

#endif
