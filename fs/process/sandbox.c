#include "sandbox_private.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int sandbox_new(struct sandbox **ret)
{
	struct sandbox *sandbox = calloc(1, sizeof *sandbox);
	if (!sandbox)
		return -ENOMEM;
	*ret = sandbox;
	return 0;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	for (size_t i = 0; i < sandbox->count; i++)
		free(sandbox->places[i].path);
	free(sandbox->places);
	free(sandbox);
}

static int forbid_new_privileges(const struct sandbox *sandbox)
{
	(void)sandbox;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

#define CAPABILITY(name) (UINT64_C(1) << (name))

/* Root needs a capability to write to files of other users. */
static bool is_anothers(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && (st.st_uid != geteuid() || !(st.st_mode & S_IWUSR));
}

static uint64_t needed_capabilities(const struct sandbox *sandbox)
{
	uint64_t needed = CAPABILITY(CAP_DAC_READ_SEARCH) | CAPABILITY(CAP_IPC_LOCK);
	for (size_t i = 0; i < sandbox->count; i++) {
		const struct sandbox_place *place = &sandbox->places[i];
		/* Only the owner of a file may use O_NOATIME. */
		if (place->use == SANDBOX_READ_UNNOTICED)
			needed |= CAPABILITY(CAP_FOWNER);
		const bool is_written = place->use == SANDBOX_MAKE_FILES || place->use == SANDBOX_MAKE_FILES_AGAIN || place->use == SANDBOX_STORE ||
			place->use == SANDBOX_CONNECT;
		if (is_written && is_anothers(place->path))
			needed |= CAPABILITY(CAP_DAC_OVERRIDE);
		/* What root stores there belongs to whom the directory does. */
		if (place->use == SANDBOX_STORE && is_anothers(place->path))
			needed |= CAPABILITY(CAP_CHOWN);
	}
	return needed;
}

static int drop_capabilities(const struct sandbox *sandbox)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	const uint64_t needed = needed_capabilities(sandbox);
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(needed >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static const struct part {
	const char *name;
	int (*enter)(const struct sandbox *sandbox);
	bool restricts; /* without it there is hardly a sandbox */
} parts[] = {
	{"no_new_privs", forbid_new_privileges, false},
	{"capabilities", drop_capabilities, false},
	{"Landlock", sandbox_restrict_files, true},
	{"seccomp", sandbox_restrict_calls, true},
};

int sandbox_enter(const struct sandbox *sandbox, struct error *ret_missing)
{
	bool restricted = false;
	*ret_missing->text = '\0';
	if (sandbox->failed)
		return -ENOMEM;
	/* The clock on the wall is for the lines of syslog. */
	tzset();
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		int r = parts[i].enter(sandbox);
		restricted |= r == 0 && parts[i].restricts;
		size_t n = strlen(ret_missing->text);
		if (r < 0)
			snprintf(ret_missing->text + n, sizeof ret_missing->text - n, "%s%s (%s)", n ? ", " : "", parts[i].name, strerror(-r));
	}
	return restricted ? 0 : -ENOTSUP;
}
