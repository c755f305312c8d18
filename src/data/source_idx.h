/* source_idx.h -- for the tests and the fuzzer: IDX from two inputs. */
#ifndef ASGDI_SOURCE_IDX_H
#define ASGDI_SOURCE_IDX_H

#include "data/input.h"
#include "data/source.h"

asgd_status asgdi_idx_read(asgd_source *s, asgdi_input *images, asgdi_input *labels,
                           const asgd_source_options *o);

#endif
