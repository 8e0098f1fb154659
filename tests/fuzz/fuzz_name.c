/*
 * A key and its name tell each other: every key has one name that is a file name and reads back as the key.
 *
 * Also: whatever name is read as a key is one of that key's spellings, and no key takes a name of the mount's own.
 *
 * Input: a key, and the same bytes as a name.
 */
#include "ckfs/name.h"
#include "ckfs/view.h"
#include "fuzz.h"

#include <string.h>

static void check_key(const uint8_t *data, size_t size)
{
	static const char *const own[] = {".", "..", ".ckfs", "raw", "frame", "arrow", "npy", "msgpack", "json", "meta"};
	char name[NAME_BYTES_MAX + 1];
	struct key key, back;
	CHECK(key_from_text(data, size, &key) == 0);
	(void)key_is_interop(&key);
	size_t n = name_from_key(&key, view_has_name, name);
	CHECK((n == 0) == (size == 0) && n <= NAME_SHORT_MAX && strlen(name) == n && !strchr(name, '/'));
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		CHECK(strcmp(name, own[i]) != 0);
	if (n > 0) {
		CHECK(name_to_key(name, n, view_has_name, &back) == 0 && key_hash_equal(&key.hash, &back.hash));
		CHECK(!back.text || (back.length == size && memcmp(back.text, data, size) == 0));
		CHECK(name_is_of_key(name, n, &key, view_has_name));
		key_done(&back);
	}
	key_done(&key);
}

static void check_name(const char *data, size_t size)
{
	struct key key, line;
	if (memchr(data, '/', size) || memchr(data, 0, size) || name_to_key(data, size, view_has_name, &key) < 0)
		return;
	if (key.text) {
		CHECK(name_is_of_key(data, size, &key, view_has_name));
		CHECK(name_line_to_key(data, size, &line) == 0 && key_hash_equal(&line.hash, &key.hash));
		key_done(&line);
	}
	key_done(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy that ends with the input: what reads on is seen by the sanitizer. */
	uint8_t *copy = calloc(1, size ? size : 1);
	CHECK(copy);
	if (size)
		memcpy(copy, data, size);
	check_key(copy, size);
	check_name((const char *)copy, size);
	free(copy);
	return 0;
}
