#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them. Works on Debian 12 and 13.
#   ./test.sh [ready] [LEG...] [pytest arguments]
#
#   plain    the build that users get, with the system's server: everything
#   memory   the same build: what measures the daemon's memory, for where plain is not run
#   valkey   the same build, what talks to a server, with a Valkey; beside tsan, that one has it for what both would run
#   asan     AddressSanitizer and UndefinedBehaviorSanitizer: everything but the daemon's memory, which a sanitizer makes many times larger
#   tsan     ThreadSanitizer: what has threads
#   quick    the same build, while one works: all but servers, readers and machines that fail, and load; what could run on each store, on the file cache
#   ready    no leg: installs and builds what the legs need, and runs no test
# Without a LEG: plain, asan and tsan; without arguments valkey as well.
#
# What is marked `once` is run by plain alone: no other compiler, sanitizer or library makes it end otherwise, as what the package says of a value, or
# a million names in bounded memory. The sanitizers, for which all costs several times more, and quick have fewer entries and examples of a kind (--few).
set -euo pipefail
cd "$(dirname "$0")"
. tests/setup.sh
export PYTHONDONTWRITEBYTECODE= # else each process compiles all tests again

legs=() ready=false
while [[ "${1:-}" =~ ^(ready|plain|memory|quick|valkey|asan|tsan)$ ]]; do
	if [ "$1" = ready ]; then ready=true; else legs+=("$1"); fi
	shift
done
if [ ${#legs[@]} = 0 ]; then
	legs=(plain asan tsan)
	[ $# = 0 ] && legs+=(valkey)
fi
has_leg() { [[ " ${legs[*]} " == *" $1 "* ]]; }

# What these tests start: servers of their own, also those that one must kill, stop and split.
server_tests=(tests/mount/test_redis{,_versions,_announcements,_balanced,_commands,_password_file,_faults,_killed,_garbled,_slow,_listing,_sentinel,_cluster,_cluster_faults}.py)
thread_tests=(tests/unit/test_fuse_{requests,interrupts}.py tests/mount/test_{versions,listing,killed_readers,decoded_cache,large_checks}.py tests/mount/test_redis_{versions,announcements,balanced,password_file,faults,killed,garbled,slow,hanging,tls_served}.py tests/mount/test_memcached{,_listing,_faults}.py tests/mount/test_{toy_store,passthrough}.py tests/mount/test_http{,_faults,_source}.py tests/fault)

quick_tests=(tests/unit tests/mount tests/cli --ignore-glob '*/test_redis_*.py' --ignore-glob '*/mount/test_memcached_*.py' --ignore-glob '*/test_cli_stores.py' --ignore tests/mount/test_failing_calls.py --ignore tests/mount/test_write_failing.py --ignore tests/mount/test_killed_readers.py)

need_packages attr bindfs fish jq rsync man-db procps openssl redis-server memcached zsh
need_build_packages
need_python
need_hardening_check
werror=false
[ -n "${CI:-}" ] && werror=true

# What is run: by number, a leg's name and its arguments for pytest.
names=() arguments=()

leg() { # NAME BUILD ARGUMENT...
	arguments+=("$(printf '%q ' --ckfs "$2/ckfs" "${@:3}")")
	names+=("$1")
}

# all_legs TITLE ARGUMENT...: runs them one after the other, and notes how each ended.
all_legs() {
	local number given=() status
	for number in "${!names[@]}"; do
		say "$1: ${names[number]}"
		eval "given=(${arguments[number]})"
		status=0
		"${modestly[@]}" .venv/bin/python -m pytest -q -rs --dist worksteal -p no:cacheprovider "${@:2}" "${given[@]}" || status=$?
		echo "$number $status" >>"$work/ended"
	done
}

# What compares times runs first, and has the machine to itself. Then two things run at once: what starts servers, which have to answer in time and
# wait most of it, and all the rest, which takes what that leaves of the processors. So these are busy, and nobody has to wait for them who may not. Who
# waits has more workers, so that both end at about the same time.
run_legs() {
	local modestly=() beside=$(($(nproc) * 3 / 2)) waiting=$(($(nproc) * 2))
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	all_legs "tests that compare times" -n 2 --times only
	(
		modestly=(nice -n 10)
		all_legs "tests" -n "$beside" --times without --servers without
	) >"$work/rest" 2>&1 &
	all_legs "tests that start servers" -n "$waiting" --times without --servers only
	wait
	cat "$work/rest"
	# 5: there was none, which is a failure when a leg had none at all.
	awk -v legs=${#names[@]} '
		{ runs++; if ($2 != 5) some[$1] = 1; if ($2 != 0 && $2 != 5) failed = 1 }
		END { for (n = 0; n < legs; n++) if (!some[n]) failed = 1; exit failed || runs != 3 * legs }' "$work/ended"
}

# The user's build takes the system's hiredis, with TLS or without; a sanitizer's has to have it.
sanitized() { # DIRECTORY SANITIZER
	need_packages clang libclang-rt-dev
	need_hiredis_tls
	say "build: $2"
	CC=clang build "$1" -Dtls=enabled ${hiredis_path:+-Dpkg_config_path="$hiredis_path"} -Dwerror=$werror -Dfuzz=enabled -Db_sanitize="$2" -Db_lundef=false --buildtype=debugoptimized
}

# Given nothing else to run, these start ckfs alone; half of what is compiled besides are fuzz targets.
if has_leg quick || has_leg plain || has_leg memory || has_leg valkey; then
	say "build"
	if ! has_leg quick && ! has_leg plain && [ $# = 0 ]; then build_targets=(ckfs); fi
	build build -Dwerror=$werror -Dfuzz=enabled -Dbench=enabled
fi

# What a system without libfuse gets: it has to compile, and little runs with it. It is not optimized, which is cheap; then compilers warn of what is no
# fault, so that warnings are errors only in the other builds, which have nearly all of its sources.
if has_leg quick || has_leg plain; then
	need_packages systemd # for systemd-analyze
	say "build: without libfuse"
	build build-without-fuse -Dfuse=disabled --buildtype=plain
fi

if has_leg quick; then leg "quick" build --few --stores file -m "not (memory and once)" "${@:-${quick_tests[@]}}"; fi

if has_leg plain; then leg "plain build" build "${@:-tests}"; fi

if has_leg memory; then leg "memory" build -m "memory and not once" "${@:-tests}"; fi

server=()
if has_leg valkey; then
	need_valkey
	server=(--redis-server "$valkey")
	if has_leg tsan && [ $# = 0 ]; then
		for name in "${thread_tests[@]}"; do server_tests=("${server_tests[@]/#$name}"); done
		mapfile -t server_tests < <(printf '%s\n' "${server_tests[@]}" | grep .)
	fi
	leg "$("$valkey" --version | cut -d' ' -f1-3)" build "${server[@]}" -m "not memory and not once" "${@:-${server_tests[@]}}"
fi

sanitizers=(--few -m "not memory and not once")
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
if has_leg asan; then
	build_targets=()
	sanitized build-asan address,undefined
	leg "ASan and UBSan" build-asan "${sanitizers[@]}" "${@:-tests}"
fi

if has_leg tsan; then
	if [ $# = 0 ]; then build_targets=(ckfs tests/fuzz/fuse-probe tests/toy/ckfs-toy); fi
	sanitized build-tsan thread
	leg "TSan" build-tsan "${server[@]}" "${sanitizers[@]}" "${@:-${thread_tests[@]}}"
fi

if ! $ready; then run_legs; fi
