/* classes.h -- labels as class numbers. */
#ifndef ASGDI_CLASSES_H
#define ASGDI_CLASSES_H

#include "data/source.h"

/* Values by size, with the class that each stands for. */
typedef struct asgdi_known {
    float    value;
    uint32_t class_number;
} asgdi_known;

/* The labels that options->label_values gives.  n 0: none are given, or targets are real numbers. */
typedef struct asgdi_classes {
    asgdi_known *known; /* [n] */
    uint32_t     n;
} asgdi_classes;

asgd_status asgdi_classes_init(asgdi_classes *c, const asgd_source_options *o, const char *name);
void        asgdi_classes_free(asgdi_classes *c);
/* The class of a label; ASGDI_NO_CLASS where it is none of them. */
#define ASGDI_NO_CLASS UINT32_MAX
uint32_t asgdi_classes_of(const asgdi_classes *c, float label);
/* "label 7 is none that ..." for a message. */
void asgdi_classes_unknown(const asgdi_classes *c, float label, char *text, size_t bytes);
/* Makes them the source's.  ENOMEM. */
asgd_status asgdi_classes_give(const asgdi_classes *c, asgd_source *s, const char *name);

/* Where no labels are given: turns y[examples] (s->y points to the same) into class numbers where
 * they are labels, and sets schema.classes and labels. */
asgd_status asgdi_classes_find(asgd_source *s, float *y, const char *name);

#endif
