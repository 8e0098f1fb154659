#include "ckfs/name.h"

#include "ckfs/cleanup.h"
#include "ckfs/utf8.h"

#include <errno.h>
#include <string.h>

/* Whether a key reads like a name that the root has for a directory. */
static bool is_reserved(const char *text, size_t length, name_is_taken *is_taken)
{
	static const char *const reserved[] = {".", "..", NAME_OF_CONTROL};
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (strlen(reserved[i]) == length && memcmp(reserved[i], text, length) == 0)
			return true;
	return is_taken(text, length);
}

static bool needs_escape(uint8_t c)
{
	return c < 0x20 || c == 0x7f || c == '/' || c == '%';
}

/* How many bytes at p are spelt as they are, one character each. */
static size_t plain_length(const uint8_t *p, size_t n)
{
	size_t i = 0;
	while (i < n && p[i] < 0x7f && !needs_escape(p[i]))
		i++;
	return i;
}

struct spelling {
	char text[NAME_BYTES_MAX + 1]; /* the whole spelling, if it fits */
	size_t length;                 /* of the whole spelling, also when it does not fit */
	size_t cut;                    /* how much of it a cut name keeps */
};

/* Writes one unit (an escape or a character) of the spelling and notes the last boundary a cut may use. */
static void spell_unit(struct spelling *s, const char *unit, size_t n)
{
	if (s->length + n <= NAME_BYTES_MAX)
		memcpy(s->text + s->length, unit, n);
	s->length += n;
	if (s->length <= NAME_CUT_MAX)
		s->cut = s->length;
}

static void spell(const struct key *key, name_is_taken *is_taken, struct spelling *s)
{
	static const char hex[] = "0123456789ABCDEF";
	const uint8_t *p = (const uint8_t *)key->text;
	bool escape_first = is_reserved(key->text, key->length, is_taken);
	/* Most keys are spelt as they are, and listings spell each. */
	size_t i = escape_first ? 0 : plain_length(p, key->length < NAME_CUT_MAX ? key->length : NAME_CUT_MAX);
	memcpy(s->text, p, i);
	s->length = s->cut = i;
	while (i < key->length && s->length <= NAME_BYTES_MAX) {
		if (needs_escape(p[i]) || (i == 0 && escape_first)) {
			const char escape[3] = {'%', hex[p[i] >> 4], hex[p[i] & 15]};
			spell_unit(s, escape, 3);
			i++;
			continue;
		}
		unsigned n = utf8_length(p + i, key->length - i);
		n = n ? n : 1;
		spell_unit(s, key->text + i, n);
		i += n;
	}
}

size_t name_from_key(const struct key *key, name_is_taken *is_taken, char ret[NAME_BYTES_MAX + 1])
{
	struct spelling s;
	spell(key, is_taken, &s);
	size_t n = s.length;
	if (s.length > NAME_SHORT_MAX) {
		char hex[KEY_HEX_SIZE + 1];
		key_hash_to_hex(&key->hash, hex);
		memcpy(s.text + s.cut, "%~", 2);
		memcpy(s.text + s.cut + 2, hex, KEY_HEX_SIZE);
		n = s.cut + 2 + KEY_HEX_SIZE;
	}
	memcpy(ret, s.text, n);
	ret[n] = '\0';
	return n;
}

static int upper_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes the escapes. False when an escape is broken. */
static bool unescape(const char *name, size_t length, char *ret, size_t *ret_length)
{
	size_t n = 0;
	for (size_t i = 0; i < length; i++) {
		if (name[i] != '%') {
			ret[n++] = name[i];
			continue;
		}
		if (length - i < 3)
			return false;
		int high = upper_hex(name[i + 1]), low = upper_hex(name[i + 2]);
		if (high < 0 || low < 0)
			return false;
		ret[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*ret_length = n;
	return true;
}

/* Whether the beginning of a "%~" name could have been cut from some key's spelling. */
static bool is_cut_prefix(const char *prefix, size_t length, name_is_taken *is_taken)
{
	char text[NAME_BYTES_MAX];
	struct key key = {.text = text};
	struct spelling s;
	/* A cut loses at most the three bytes of a unit that did not fit. */
	if (length > NAME_CUT_MAX || length < NAME_CUT_MAX - 3 || !unescape(prefix, length, text, &key.length))
		return false;
	spell(&key, is_taken, &s);
	return s.length == length && memcmp(s.text, prefix, length) == 0;
}

int name_to_key(const char *name, size_t length, name_is_taken *is_taken, struct key *ret)
{
	if (length == 0 || length > NAME_BYTES_MAX)
		return -ENOENT;

	struct key_hash hash;
	if (length >= KEY_HEX_SIZE + 2 && memcmp(name + length - KEY_HEX_SIZE - 2, "%~", 2) == 0) {
		if (!key_hash_from_hex(name + length - KEY_HEX_SIZE, KEY_HEX_SIZE, &hash) ||
			!is_cut_prefix(name, length - KEY_HEX_SIZE - 2, is_taken))
			return -ENOENT;
		key_from_hash(&hash, ret);
		return 0;
	}

	char text[NAME_BYTES_MAX];
	size_t n;
	if (!unescape(name, length, text, &n))
		return -ENOENT;
	struct spelling s;
	spell(&(struct key){.text = text, .length = n}, is_taken, &s);
	if (s.length != length || memcmp(s.text, name, length) != 0)
		return -ENOENT;
	return key_from_text(text, n, ret);
}

int name_line_to_key(const char *line, size_t length, struct key *ret)
{
	cleanup_free char *text = malloc(length + 1);
	size_t n;
	if (!text)
		return -ENOMEM;
	if (length == 0 || !unescape(line, length, text, &n))
		return -ENOENT;
	return key_from_text(text, n, ret);
}

bool name_is_of_key(const char *name, size_t length, const struct key *key, name_is_taken *is_taken)
{
	char canonical[NAME_BYTES_MAX + 1];
	struct spelling s;
	spell(key, is_taken, &s);
	if (s.length == length && s.length <= NAME_BYTES_MAX && memcmp(s.text, name, length) == 0)
		return true;
	return name_from_key(key, is_taken, canonical) == length && memcmp(canonical, name, length) == 0;
}
