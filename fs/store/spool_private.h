/*
 * The two halves of the spool. Both make mappings and let more of them be written; what belongs to whom, what is counted and where content
 * goes is decided in spool.c alone.
 */
#ifndef CKFS_SPOOL_PRIVATE_H
#define CKFS_SPOOL_PRIVATE_H

#include "ckfs/spool.h"

uint64_t spool_whole_pages(uint64_t n);

/* What a mapping is to be. */
struct spool_claim {
	uint64_t capacity, granted;
	uint64_t head;   /* bytes that lie apart, before the file; only of what is backed */
	bool growing;    /* it should be able to grow without being moved */
	bool backed;     /* it should be a file with huge pages */
};

/* --- memory: spool_memory.c --- */

/* Makes a mapping whose first `granted` bytes may be written: of a file of memory, if that is wanted and to be had. 0, -ENOMEM. */
int spool_memory_new(const struct spool *spool, const struct spool_claim *claim, struct spool_mapping *ret);

/* Lets more of it be written; of secret content, locked where that is allowed. 0, -ENOMEM. */
int spool_memory_grant(struct spool_mapping *mapping, uint64_t to, bool secret);

/* Makes a file of memory longer. False where a limit on the size of files does not allow it. */
bool spool_memory_lengthen(const struct spool_mapping *mapping, uint64_t capacity);

/* Keeps secret content out of core dumps, and locks what may be written of it where that is allowed. */
void spool_memory_hide(const struct spool_mapping *mapping);

/* --- both --- */

/* Gives addresses to more of a file, which is as long and has no head. The bytes may move. 0, -ENOMEM. */
int spool_remap(struct spool_mapping *mapping, uint64_t capacity, bool secret);

/*
 * Takes what is behind `length` bytes off, so that a file ends with them. A page stays: what is mapped is never empty. False: it still takes as
 * much as it did.
 */
bool spool_trim(struct spool_mapping *mapping, uint64_t length, bool secret);

/* Wiped, if it is secret. */
void spool_unmap(struct spool_mapping *mapping, bool secret);

/* --- the disk: spool_disk.c. What the directory cannot do is -ENOSPC or SPOOL_UNUSABLE, and noted in spool->trouble. --- */

/* Makes a mapping of a file, whose first `granted` bytes have their blocks. 0; -ENOMEM, -EMFILE, -ENFILE; as above. */
int spool_disk_new(struct spool *spool, uint64_t capacity, uint64_t granted, struct spool_mapping *ret);

/* Gives it more blocks. 0; as above. */
int spool_disk_grant(struct spool *spool, struct spool_mapping *mapping, uint64_t to);

/* Makes the file longer. 0; as above. */
int spool_disk_lengthen(struct spool *spool, const struct spool_mapping *mapping, uint64_t capacity);

/* Content was whole there. */
void spool_disk_works(struct spool *spool);

#endif
