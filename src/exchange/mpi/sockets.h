/* sockets.h -- frames by TCP, one connection between each two processes. */
#ifndef ASGDI_SOCKETS_H
#define ASGDI_SOCKETS_H

#include "exchange/mpi/carrier.h"

/* fd [size]: stream sockets to the other processes, non-blocking, the carrier's from now on; that to itself is not looked
 * at.  NULL: no memory, or no more files may be opened; the sockets are closed. */
asgdi_carrier *asgdi_sockets_new(uint32_t self, uint32_t size, const int *fd);

#endif
