/*
 * Reading keys says what is wrong without showing any of it.
 *
 * For any texts: what is accepted holds 1 to 4 keys (or none, when there is no current one), as many as the list has items and one; a
 * right current key alone is accepted; a refusal is one line that holds no 8 hex digits of the input, and writes nothing else.
 *
 * Input: current key, previous keys, deployment, with a NUL between.
 */
#include "ckfs/cleanup.h"
#include "ckfs/keyring.h"
#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define RUN 8

/* Whether the error holds a run of hex digits that the text holds too. */
static bool shows(const char *error, const char *text)
{
	for (; *text; text++) {
		size_t n = 0;
		while (n < RUN && isxdigit((unsigned char)text[n]))
			n++;
		for (const char *at = error; n == RUN && strlen(at) >= RUN; at++)
			if (strncasecmp(at, text, RUN) == 0)
				return true;
	}
	return false;
}

/* Items with something in them that is no space. The reader knows more spaces: they make its count smaller. */
static unsigned count_items(const char *list)
{
	unsigned items = 0;
	while (*list) {
		size_t n = strcspn(list, ","), spaces = strspn(list, " \t\n\v\f\r\x1c\x1d\x1e\x1f");
		items += spaces < n;
		list += n + (list[n] == ',');
	}
	return items;
}

static bool is_plain_hex(const char *text)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF");
	return text[n] == '\0' && n >= 64 && n % 2 == 0;
}

static void check_accepted(const struct keyring *keyring, const char *master, const char *previous)
{
	CHECK(!keyring == !*master);
	if (!keyring)
		return;
	unsigned count = keyring_count(keyring);
	const char *deployment = keyring_deployment(keyring);
	CHECK(count >= 1 && count <= KEYRING_MAX && count - 1 <= count_items(previous));
	CHECK(strcmp(deployment, "default") == 0 || (strlen(deployment) == 36 && strspn(deployment, "0123456789abcdef-") == 36));
	CHECK(keyring_choose(keyring, deployment, NULL) == -ENOKEY);
	CHECK(keyring_choose(keyring, "", NULL) == -EUCLEAN);
}

static void check(const char *master, const char *previous, const char *deployment)
{
	struct keyring *keyring = (struct keyring *)&keyring;
	struct error error = {.text = ""};
	int r = keyring_new(master, "CACHEKIT_MASTER_KEY", previous, deployment, &keyring, &error);
	CHECK(r == 0 || r == -EINVAL);
	if (r == 0) {
		CHECK(!*error.text);
		check_accepted(keyring, master, previous);
		keyring_free(keyring);
	} else {
		CHECK(keyring == (struct keyring *)&keyring);
		CHECK(*error.text && !strchr(error.text, '\n'));
		CHECK(!shows(error.text, master) && !shows(error.text, previous) && !shows(error.text, deployment));
		CHECK(*previous || *deployment || !is_plain_hex(master));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = calloc(1, size + 3);
	CHECK(sodium_init() >= 0 && text);
	if (size > 0)
		memcpy(text, data, size);
	const char *previous = text + strlen(text) + 1;
	const char *deployment = previous + strlen(previous) + 1;
	check(text, previous, deployment);
	return 0;
}
