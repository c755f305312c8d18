/* group.h -- the processes that train together, as the engine sees them. */
#ifndef ASGDI_GROUP_H
#define ASGDI_GROUP_H

#include "engine/joint.h"
#include "exchange/link.h"

/* A group over a link that is open; it is closed with the group. */
asgd_status asgdi_group_over(asgd_group **out, asgdi_link *link);
/* EINVAL: it has a run already. */
asgd_status       asgdi_group_drive(asgd_group *g, asgdi_joint *j);
uint64_t          asgdi_group_run(const asgd_group *g);  /* the number of the next run */
const asgdi_link *asgdi_group_link(const asgd_group *g); /* for what never changes in it */

#endif
