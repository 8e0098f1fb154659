/* All options of a mount: a row each, and what sets it. One list, however many there are. */
#include "option_rows.h"

#include "ckfs/keyring.h"
#include "ckfs/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LISTED_TTL_MAX 3600
#define TIMEOUT_MAX 3600

/* The SDK takes no longer one. */
#define TTL_MAX (INT64_C(10) * 365 * 24 * 60 * 60)

static int set_text(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int set_match(struct options *o, const char *value)
{
	return set_text(&o->match, value);
}

static int set_prefix(struct options *o, const char *value)
{
	return set_text(&o->prefix, value);
}

static int set_tenant(struct options *o, const char *value)
{
	return *value ? set_text(&o->tenant, value) : -EINVAL;
}

/* Resolve a path now: the daemon changes its directory later. */
static int set_path(char **to, const char *value)
{
	char *path = realpath(value, NULL);
	if (!path)
		return -errno;
	free(*to);
	*to = path;
	return 0;
}

/* A file that may be opened later. Keep the path as it is, but absolute: its links may change. */
static int set_file(char **to, const char *value)
{
	char *path;
	int r = *value ? path_absolute(value, &path) : -EINVAL;
	if (r < 0)
		return r;
	free(*to);
	*to = path;
	return 0;
}

static int set_keys(struct options *o, const char *value)
{
	return set_file(&o->keys_file, value);
}

static int set_master_key_file(struct options *o, const char *value)
{
	return set_file(&o->master_key_file, value);
}

static int set_password_file(struct options *o, const char *value)
{
	return set_file(&o->password_file, value);
}

static int set_token_file(struct options *o, const char *value)
{
	return set_file(&o->token_file, value);
}

static int set_tls_ca(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_ca, value) : -EINVAL;
}

static int set_tls_cert(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_cert, value) : -EINVAL;
}

static int set_tls_key(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_key, value) : -EINVAL;
}

static int set_tls_server_name(struct options *o, const char *value)
{
	return *value ? set_text(&o->tls_server_name, value) : -EINVAL;
}

static int set_fail_closed(struct options *o, const char *value)
{
	(void)value;
	o->fail_closed = true;
	return 0;
}

static int set_noxattr(struct options *o, const char *value)
{
	(void)value;
	o->noxattr = true;
	return 0;
}

static int set_spool_dir(struct options *o, const char *value)
{
	o->has_spool_dir = true;
	return set_path(&o->spool_dir, value);
}

static int set_listed_ttl(struct options *o, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);
	if (end == value || *end || !(seconds >= 0 && seconds <= LISTED_TTL_MAX))
		return -EINVAL;
	o->listed_ttl = seconds;
	return 0;
}

static int set_timeout(struct options *o, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);
	if (end == value || *end || !(seconds >= 0.001 && seconds <= TIMEOUT_MAX))
		return -EINVAL;
	o->timeout = seconds;
	return 0;
}

static int set_bare(struct options *o, const char *value)
{
	o->bare = BARE_MSGPACK;
	return strcmp(value, "msgpack") == 0 ? 0 : -EINVAL;
}

static int set_bare_tenant(struct options *o, const char *value)
{
	return *value && strlen(value) <= KEYRING_TENANT_MAX ? set_text(&o->bare_tenant, value) : -EINVAL;
}

static int set_read_from(struct options *o, const char *value)
{
	if (strcmp(value, "master") == 0)
		o->read_from = READ_FROM_MASTER;
	else if (strcmp(value, "replica") == 0)
		o->read_from = READ_FROM_REPLICA;
	else
		return -EINVAL;
	return 0;
}

static int set_verify(struct options *o, const char *value)
{
	if (strcmp(value, "first") == 0)
		o->verify = VERIFY_FIRST;
	else if (strcmp(value, "never") == 0)
		o->verify = VERIFY_NEVER;
	else
		return -EINVAL;
	return 0;
}

static int parse_number(const char *value, int base, uint64_t max, uint64_t *ret, const char **ret_end)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(value, &end, base);
	if (errno || end == value || *value == '-' || *value == '+' || *value == ' ' || n > max)
		return -EINVAL;
	*ret = n;
	*ret_end = end;
	return 0;
}

static int set_cache_size(struct options *o, const char *value)
{
	static const char units[] = "KMGT";
	const char *end;
	uint64_t n;
	if (parse_number(value, 10, UINT64_MAX >> 40, &n, &end) < 0)
		return -EINVAL;
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return -EINVAL;
	o->cache_size = unit ? n << (10 * (unit - units + 1)) : n;
	return 0;
}

static int set_whole(const char *value, int base, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t n;
	if (parse_number(value, base, max, &n, &end) < 0 || *end || n < min)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int set_max_threads(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 1, 1000, &n);
	if (r == 0)
		o->max_threads = (unsigned)n;
	return r;
}

static int set_sandbox(struct options *o, const char *value)
{
	if (strcmp(value, "on") == 0)
		o->sandbox = SANDBOX_ON;
	else if (strcmp(value, "off") == 0)
		o->sandbox = SANDBOX_OFF;
	else
		return -EINVAL;
	return 0;
}

static int set_passthrough(struct options *o, const char *value)
{
	o->no_passthrough = strcmp(value, "no") == 0;
	return o->no_passthrough || strcmp(value, "auto") == 0 ? 0 : -EINVAL;
}

static int set_log(struct options *o, const char *value)
{
	if (strcmp(value, "stderr") == 0)
		o->log = LOG_TO_STDERR;
	else if (strcmp(value, "syslog") == 0)
		o->log = LOG_TO_SYSLOG;
	else
		return -EINVAL;
	o->has_log = true;
	return 0;
}

static int set_umask(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 8, 0, 0777, &n);
	if (r == 0) {
		o->umask = (mode_t)n;
		o->has_umask = true;
	}
	return r;
}

static int set_uid(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 0, UINT32_MAX - 1, &n);
	if (r == 0)
		o->uid = (uid_t)n;
	return r;
}

static int set_gid(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 0, UINT32_MAX - 1, &n);
	if (r == 0)
		o->gid = (gid_t)n;
	return r;
}

static int set_setuid(struct options *o, const char *value)
{
	return *value ? set_text(&o->setuid, value) : -EINVAL;
}

static int set_max_read(struct options *o, const char *value)
{
	uint64_t n;
	int r = set_whole(value, 10, 0, UINT32_MAX, &n);
	if (r == 0)
		o->max_read = (uint32_t)n;
	return r;
}

static int set_write(struct options *o, const char *value)
{
	(void)value;
	o->write = !o->read_only;
	return 0;
}

/* Wins over `write`, whichever comes first: mount(8) has an order of its own. */
static int set_ro(struct options *o, const char *value)
{
	(void)value;
	o->read_only = true;
	o->write = false;
	return 0;
}

static int set_unchecked(struct options *o, const char *value)
{
	(void)value;
	o->unchecked = true;
	return 0;
}

static int set_ttl(struct options *o, const char *value)
{
	uint64_t n = 0;
	int r = strcmp(value, "never") == 0 ? 0 : set_whole(value, 10, 1, TTL_MAX, &n);
	if (r == 0)
		o->ttl = (int64_t)n;
	return r;
}

const struct option_row option_rows[] = {
	{"match=", "GLOB", "what listings show (names without extension)", set_match},
	{"keys=", "FILE", "keys to list by name, one escaped name a line", set_keys},
	{"prefix=", "TEXT", "only keys that begin with it, named without it", set_prefix},
	{"tenant=", "TENANT", "only keys of this tenant (prefix t:TENANT:)", set_tenant},
	{"password_file=", "FILE", "the server's password, read again when a login fails", set_password_file},
	{"token_file=", "FILE", "the token of an https:// service, read again when it is refused", set_token_file},
	{"tls_ca=", "FILE", "CA certificates (PEM), instead of the system's", set_tls_ca},
	{"tls_cert=", "FILE", "the client's certificate for servers with TLS (PEM)", set_tls_cert},
	{"tls_key=", "FILE", "its key, when it is not in the same file", set_tls_key},
	{"tls_server_name=", "NAME", "the name in all servers' certificates (each server's host)", set_tls_server_name},
	{"read_from=", "master|replica", "which servers of a cluster or service to read (master)", set_read_from},
	{"timeout=", "SECONDS", "longest wait for a server without progress (5)", set_timeout},
	{"master_key_file=", "FILE", "the master key in hex; mode 0600 (CACHEKIT_MASTER_KEY)", set_master_key_file},
	{"bare=", "msgpack", "values without a frame are documents (Rust SDK)", set_bare},
	{"bare_tenant=", "TENANT", "of seals without a frame (TypeScript, Rust, ck)", set_bare_tenant},
	{"fail_closed", "", "refuse a sealed entry whose key is not configured", set_fail_closed},
	{"listed_ttl=", "SECONDS", "how long what a listing showed may serve stat (1)", set_listed_ttl},
	{"noxattr", "", "no extended attributes: ls -l of large caches is faster", set_noxattr},
	{"verify=", "first|never", "checksums once per version, or not at all (first)", set_verify},
	{"cache_size=", "SIZE", "memory for decoded and fetched values (an eighth of all)", set_cache_size},
	{"spool_dir=", "DIR", "where larger ones go, as unnamed files (/var/tmp)", set_spool_dir},
	{"max_threads=", "N", "threads that answer requests (one a core, 2 to 10)", set_max_threads},
	{"sandbox=", "on|off", "limit the daemon to what a mount needs (on where possible)", set_sandbox},
	{"passthrough=", "auto|no", "the kernel reads fetched and decoded content itself (auto)", set_passthrough},
	{"log=", "stderr|syslog", "where messages go (stderr with -f, else syslog)", set_log},
	{"write", "", "entries can be removed, and stored in frame/", set_write},
	{"ttl=", "SECONDS|never", "how long what is stored anew lives (never)", set_ttl},
	{"unchecked", "", "store whatever is written, not only what the SDK can read", set_unchecked},
	{"umask=", "M", "files 0666, directories 0777 without these bits", set_umask},
	{"uid=", "N", "owner of the files (who mounts)", set_uid},
	{"gid=", "N", "group of the files (who mounts)", set_gid},
	{"setuid=", "USER", "give up root's rights for those of this user", set_setuid},
	/* What every filesystem has, and an option of mount.fuse(8) that libfuse wants to hear twice. */
	{"ro", "", NULL, set_ro},
	{"max_read=", "BYTES", NULL, set_max_read},
};

/*
 * What mount(8), fstab and libmount add for every filesystem. They change nothing here: that entries can be written is what `write` says, and there are no
 * devices, setuid files, symbolic links and access times. A row that ends in "=" or "-" is the beginning of an option.
 */
static const char *const ignored[] = {
	"rw", "defaults", "dev", "suid",
	"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
	"iversion", "noiversion", "mand", "nomand", "silent", "loud", "symfollow", "nosymfollow",
	"auto", "noauto", "user", "user=", "nouser", "users", "nousers", "owner", "noowner", "group", "nogroup", "_netdev", "nofail",
	"comment=", "uhelper=", "helper=", "x-", "X-",
};

bool option_is_ignored(const char *option)
{
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
		size_t n = strlen(ignored[i]);
		bool is_beginning = strchr("=-", ignored[i][n - 1]);
		if (is_beginning ? strncmp(option, ignored[i], n) == 0 : strcmp(option, ignored[i]) == 0)
			return true;
	}
	return false;
}

const size_t option_row_count = sizeof option_rows / sizeof *option_rows;

const struct option_row *option_row_find(const char *option)
{
	for (size_t i = 0; i < option_row_count; i++) {
		size_t n = strlen(option_rows[i].name);
		bool takes_value = option_rows[i].name[n - 1] == '=';
		if (takes_value ? strncmp(option, option_rows[i].name, n) == 0 : strcmp(option, option_rows[i].name) == 0)
			return &option_rows[i];
	}
	return NULL;
}
