/*
 * An expiry that a user writes is read only where each character is in its place, and to the second: written again, and read again, it is the same time.
 * What is no time changes nothing.
 *
 * Input: the text.
 */
#include "fuzz.h"

#include "ckfs/timestamp.h"

#include <string.h>

static bool has_form(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00";
	for (size_t i = 0; form[i]; i++) {
		const char *places = form[i] == '0' ? "0123456789" : form[i] == 'T' ? "Tt " : (const char[]){form[i], '\0'};
		if (!text[i] || !strchr(places, text[i]))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[TIMESTAMP_SIZE];
	int64_t expires = -2, expires_again;
	char *text = strndup((const char *)data, size);
	CHECK(text);
	if (timestamp_to_expiry(text, &expires)) {
		CHECK(has_form(text) && strchr("Zz0123456789", text[strlen(text) - 1]));
		timestamp_from_expiry(expires, again);
		/* Years before 0 and after 9999 are behind an offset. */
		if (strcmp(again, "never") != 0 && has_form(again))
			CHECK(timestamp_to_expiry(again, &expires_again) && expires_again == expires);
	} else {
		CHECK(expires == -2);
	}
	free(text);
	return 0;
}
