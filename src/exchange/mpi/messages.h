/* messages.h -- frames by MPI's messages. */
#ifndef ASGDI_MESSAGES_H
#define ASGDI_MESSAGES_H

#include <mpi.h>

#include "exchange/mpi/carrier.h"

/* Over two communicators of all processes, which it uses and does not free.  NULL: no memory, or MPI fails. */
asgdi_carrier *asgdi_messages_new(uint32_t self, uint32_t size, MPI_Comm control, MPI_Comm bulk);

#endif
