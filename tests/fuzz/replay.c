/*
 * Runs every file of the directories on the command line through one fuzz target, so
 * that each case that was ever found stays found in ordinary builds.
 *
 * Exit status: 0; 1 when a directory holds no file or cannot be read (a gate that
 * checks nothing must not pass). A property that fails aborts.
 */
#include "ckfs/cleanup.h"
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static void file_close(FILE **file)
{
	if (*file)
		fclose(*file);
}

static void dir_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int replay_file(const char *path)
{
	struct stat st;
	cleanup_with(file_close) FILE *file = fopen(path, "rb");
	if (!file || fstat(fileno(file), &st) < 0)
		return perror(path), -1;
	if (!S_ISREG(st.st_mode))
		return 0;
	size_t n = (size_t)st.st_size;
	cleanup_free uint8_t *bytes = malloc(n ? n : 1);
	if (!bytes || fread(bytes, 1, n, file) != n)
		return perror(path), -1;
	/* The name goes first: it is what one wants to see above an abort. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(bytes, n);
	return 1;
}

/* How many files were run, or -1. */
static int replay_directory(const char *path)
{
	cleanup_with(dir_close) DIR *dir = opendir(path);
	int files = 0;
	if (!dir)
		return perror(path), -1;
	for (struct dirent *entry; (entry = readdir(dir));) {
		cleanup_free char *name = NULL;
		if (asprintf(&name, "%s/%s", path, entry->d_name) < 0)
			return -1;
		int r = replay_file(name);
		if (r < 0)
			return r;
		files += r;
	}
	return files;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		int files = replay_directory(argv[i]);
		if (files == 0)
			fprintf(stderr, "%s: no file to run\n", argv[i]);
		if (files <= 0)
			return 1;
	}
	return 0;
}
