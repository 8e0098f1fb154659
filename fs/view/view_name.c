#include "ckfs/view_name.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

bool view_list_name(const struct view *view, const struct entries *entries, const struct key *key, char ret[VIEW_NAME_MAX])
{
	const char *match = entries_options(entries)->match;
	struct key_hash other;
	size_t n = KEY_HEX_SIZE;
	if (key->text && (entries_backend(entries)->ops->stores_keys || !key_hash_from_hex(key->text, key->length, &other)))
		n = name_from_key(key, view_has_name, ret);
	else
		key_hash_to_hex(&key->hash, ret);
	if (n == 0 || (match && fnmatch(match, ret, 0) != 0))
		return false;
	strcpy(ret + n, view->extension);
	return true;
}

/* How entries are found just now. */
struct finding {
	const struct entries *entries;
	view_finder *find;
	void *arg;
	const atomic_bool *cancel;
};

/* Of a name without extension. */
static int find_by_name(const struct finding *f, const char *name, size_t length, struct entry **ret)
{
	struct key key;
	struct key_hash hash;
	if (!entries_backend(f->entries)->ops->stores_keys && key_hash_from_hex(name, length, &hash)) {
		key_from_hash(&hash, &key);
		int r = f->find(f->arg, &key, f->cancel, ret);
		if (r != -ENOENT)
			return r;
	}
	int r = name_to_key(name, length, view_has_name, &key);
	if (r < 0)
		return r;
	bool cut = !key.text;
	r = f->find(f->arg, &key, f->cancel, ret);
	key_done(&key);
	/* A cut name carries the hash of its key. If the key is known, the beginning of the name has to be the key's, too. */
	if (r == 0 && cut && entry_key(*ret)->text && !name_is_of_key(name, length, entry_key(*ret), view_has_name)) {
		entry_unref(steal(*ret));
		return -ENOENT;
	}
	return r;
}

int view_find_name(const struct view *view, const struct entries *entries, const char *name, view_finder *find, void *arg, const atomic_bool *cancel,
	struct entry **ret)
{
	const struct finding f = {.entries = entries, .find = find, .arg = arg, .cancel = cancel};
	const char *suffix = view->extension;
	size_t length = strlen(name), extension = strlen(suffix);
	if (extension > 0 && length > extension && strcmp(name + length - extension, suffix) == 0) {
		int r = find_by_name(&f, name, length - extension, ret);
		if (r != -ENOENT)
			return r;
	}
	return find_by_name(&f, name, length, ret);
}

int view_key_to_create(const struct entries *entries, const char *name, struct key *ret)
{
	struct key_hash ignored;
	if (!entries_backend(entries)->ops->stores_keys && key_hash_from_hex(name, strlen(name), &ignored))
		return -EPERM;
	int r = name_to_key(name, strlen(name), view_has_name, ret);
	if (r == 0 && !ret->text)
		return -EPERM;
	return r == -ENOENT ? -EINVAL : r;
}
