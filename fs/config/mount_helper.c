#include "ckfs/mount_helper.h"

#include <string.h>

bool mount_helper_is_called(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;
	return strcmp(name, "mount.ckfs") == 0 || strcmp(name, "mount.fuse.ckfs") == 0;
}

/* Flags may stand in one word. Other words are left to who reads options, who refuses them. */
static bool is_flags(const char *word)
{
	return word[0] == '-' && word[1] && strspn(word + 1, "fnsv") == strlen(word + 1);
}

int mount_helper_take(int argc, char **argv, bool *ret_trial)
{
	int left = argc > 0;
	*ret_trial = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
			i++;
		else if (is_flags(argv[i]))
			*ret_trial |= strchr(argv[i], 'f') != NULL;
		else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
			argv[left++] = argv[i++];
			argv[left++] = argv[i];
		} else
			argv[left++] = argv[i];
	}
	argv[left] = NULL;
	return left;
}
