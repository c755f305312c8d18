/* topology.h -- cores and caches, by hwloc. */
#ifndef ASGDI_TOPOLOGY_H
#define ASGDI_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

typedef struct asgdi_topology asgdi_topology;
asgdi_topology *asgdi_topology_new(void); /* NULL: not to be had; then nothing is bound */
void            asgdi_topology_free(asgdi_topology *t);
/* Binds the calling thread to core i, counted over the cores this process may use, modulo their number:
 * first one thread on each core, then the second hardware threads. */
void asgdi_topology_bind(const asgdi_topology *t, uint32_t i);
/* "AMD EPYC ..., 2 cores (2 hardware threads), L1d 32 KiB, ...": always terminated. */
void asgdi_topology_text(const asgdi_topology *t, char *buf, size_t bytes);

#endif
