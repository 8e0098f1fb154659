/* name: what file a key is. It opens nothing. */
#include "command.h"

#include "ckfs/cleanup.h"
#include "ckfs/name.h"

#include <errno.h>
#include <string.h>

enum { HASH }; /* of its own options */

static int put_name(struct run *run, const char *text)
{
	char name[NAME_BYTES_MAX + 1];
	cleanup_key struct key key = {0};
	int r = key_from_text(text, strlen(text), &key);
	if (r < 0)
		return r;
	if (run->line.own[HASH])
		key_hash_to_hex(&key.hash, name);
	else if (name_from_key(&key, view_has_name, name) == 0)
		return -EINVAL;
	output_put(&run->out, name, strlen(name));
	output_end_line(&run->out, '\n');
	return 0;
}

void cli_name(struct run *run)
{
	for (int i = 0; i < run->line.operand_count; i++) {
		int r = put_name(run, run->line.operands[i]);
		if (r < 0)
			tell_failure(run, run->line.operands[i], r, r == -EINVAL ? "an empty key has no name" : NULL);
	}
}
