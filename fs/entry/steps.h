/* The steps of peeling: what brings an entry nearer to a level. They know nothing of who waits, nor on which thread they run. */
#ifndef CKFS_STEPS_H
#define CKFS_STEPS_H

#include "entry_private.h"

/* `level`: the one that is wanted. */
struct step {
	/* Makes parts, and adds their bits to *have. 0, -errno. */
	int (*run)(struct entry *entry, enum level level, unsigned *have);
	/* Bytes that it reads or makes. */
	uint64_t (*cost)(struct entry *entry, enum level level, unsigned have);
};

/* The next step on the way to a level that is not reached. */
const struct step *step_towards(const struct entry *entry, unsigned have, enum level level);

/* Reads the frame of a new entry, unless that takes long. 0; -EIO, -ENOMEM. */
int step_begin(struct entry *entry);

/* steps.c: the rest of a value that was found by its head. */
extern const struct step step_fetch;

/* steps_document.c: where the document is. */
extern const struct step step_document;

/* steps_decode.c: the document, and what is made of it. */
extern const struct step step_body, step_rendering;

#endif
