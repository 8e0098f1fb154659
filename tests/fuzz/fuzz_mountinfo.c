/*
 * A line of mountinfo is taken apart into texts that lie in it, and a path is read as the kernel has escaped it.
 *
 * Input: a line; it also serves as the path of a mount.
 */
#include "ckfs/mountinfo.h"
#include "fuzz.h"

#include <string.h>
#include <sys/sysmacros.h>

static char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	CHECK(text);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)data[i];
	text[size] = '\0';
	return text;
}

static bool lies_in(const char *text, const char *line, size_t size)
{
	return text >= line && text <= line + size && text + strlen(text) <= line + size;
}

static void check_line(const uint8_t *data, size_t size)
{
	static const struct mountinfo untouched = {.device = 77};
	struct mountinfo found = untouched;
	char *line = text_of(data, size);
	if (mountinfo_parse(line, &found))
		CHECK(lies_in(found.root, line, size) && lies_in(found.point, line, size) && lies_in(found.type, line, size) && lies_in(found.options, line, size));
	else
		CHECK(found.device == 77 && !found.root && !found.point && !found.type && !found.options);
	free(line);
}

/* As the kernel does. */
static void escape(const char *path, char *to)
{
	for (; *path; path++)
		if (strchr(" \t\n\\", *path))
			to += sprintf(to, "\\%03o", (unsigned)(unsigned char)*path);
		else
			*to++ = *path;
	*to = '\0';
}

static void check_path(const uint8_t *data, size_t size)
{
	char *path = text_of(data, size);
	char *escaped = malloc(4 * size + 1), *line = malloc(8 * size + 100);
	struct mountinfo found;
	CHECK(escaped && line);
	escape(path, escaped);
	sprintf(line, "36 35 98:7 %s %s rw master:1 - ext3  rw,errors=continue\n", escaped, escaped);
	CHECK(mountinfo_parse(line, &found));
	CHECK(strcmp(found.root, path) == 0 && strcmp(found.point, path) == 0 && strcmp(found.type, "ext3") == 0);
	CHECK(strcmp(found.options, "rw,errors=continue") == 0 && found.device == makedev(98, 7));
	free(line);
	free(escaped);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_line(data, size);
	check_path(data, size);
	return 0;
}
