/* ckfs [options] [SOURCE] MOUNTPOINT mounts, and so does mount.ckfs SOURCE MOUNTPOINT [-fnsv] [-t TYPE] [-o OPTIONS], as mount(8) calls it;
 * ckfs ls|cat|stat|name|rm|put … does without. */
#include "fs/cli/cli.h"
#include "fs/fuse/run.h"

#include "ckfs/inherited.h"
#include "ckfs/mount_helper.h"
#include "ckfs/options.h"
#include "ckfs/secrets.h"

#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int run_with(struct options *options, int argc, char **argv, struct error *error)
{
	if (options->help) {
		options_print_help();
		return 0;
	}
	if (options->version) {
		printf("ckfs %s (%s)\nTLS: %s\nHTTP: %s\n", CKFS_VERSION, mount_library(), CKFS_HAVE_TLS ? "yes" : "no", CKFS_HAVE_HTTP ? "yes" : "no");
		return 0;
	}
	return mount_run(options, argc, argv, error);
}

static int mount_main(int argc, char **argv, bool is_helper)
{
	struct options options;
	struct error error = {.text = ""};
	bool trial = false;
	if (is_helper)
		argc = mount_helper_take(argc, argv, &trial);
	int r = options_parse(argc, argv, &options, &error);
	if (r == 0 && !trial)
		r = run_with(&options, argc, argv, &error);
	if (r < 0)
		fprintf(stderr, "ckfs: %s\n", *error.text ? error.text : strerror(-r));
	options_done(&options);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	inherited_settle();
	secrets_harden();
	/* Names match a glob by characters. */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (sodium_init() < 0) {
		fputs("ckfs: libsodium does not work here\n", stderr);
		return 1;
	}
	const bool is_helper = argc > 0 && mount_helper_is_called(argv[0]);
	const bool is_command = !is_helper && cli_takes_line(argc, argv);
	return is_command ? cli_main(argc, argv) : mount_main(argc, argv, is_helper);
}
