/* lacking PART... PROGRAM ARGUMENT...: runs a program as a kernel without Landlock, without seccomp or without both would. */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int i = 1;
	for (; i < argc && strcmp(argv[i], "landlock") == 0; i++)
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0);
	for (; i < argc && strcmp(argv[i], "seccomp") == 0; i++) {
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(seccomp), 0);
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
	}
	if (seccomp_load(filter) == 0 && argv[i])
		execvp(argv[i], argv + i);
	return 127;
}
