#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them. Works on Debian 12 and 13.
#   ./test.sh [LEG...] [pytest arguments]
#
#   plain    the build that users get, with the system's server: everything
#   valkey   the same build, what talks to a server, with a Valkey
#   asan     AddressSanitizer and UndefinedBehaviorSanitizer: everything but the daemon's memory, which a sanitizer makes many times larger
#   tsan     ThreadSanitizer: what has threads
#   quick    another name for plain
# Without a LEG: all of them; with arguments only, all but valkey.
set -euo pipefail
cd "$(dirname "$0")"
. tests/setup.sh

legs=()
while [[ "${1:-}" =~ ^(plain|quick|valkey|asan|tsan)$ ]]; do
	legs+=("${1/quick/plain}")
	shift
done
if [ ${#legs[@]} = 0 ]; then
	legs=(plain asan tsan)
	[ $# = 0 ] && legs+=(valkey)
fi
has_leg() { [[ " ${legs[*]} " == *" $1 "* ]]; }

# What these tests start: servers of their own, also those that one must kill, stop and split.
server_tests=(tests/mount/test_redis{,_versions,_announcements,_balanced,_commands,_password_file,_faults,_slow,_listing,_sentinel,_cluster,_cluster_faults}.py)
thread_tests=(tests/mount/test_{versions,listing,decoded_cache}.py tests/mount/test_redis_{versions,announcements,balanced,password_file,faults,slow,hanging,tls_served}.py tests/fault)

need_packages attr bindfs jq rsync man-db procps openssl redis-server
need_build_packages
need_python
werror=false
[ -n "${CI:-}" ] && werror=true

run() { # NAME BUILD ARGUMENT...
	local name=$1 dir=$2
	shift 2
	say "tests: $name"
	.venv/bin/python -m pytest -q -rs -n 2 --dist worksteal -p no:cacheprovider --ckfs "$dir/ckfs" "$@"
}

# The user's build takes the system's hiredis, with TLS or without; a sanitizer's has to have it.
sanitized() { # DIRECTORY SANITIZER
	need_packages clang libclang-rt-dev
	need_hiredis_tls
	say "build: $2"
	CC=clang build "$1" -Dtls=enabled ${hiredis_path:+-Dpkg_config_path="$hiredis_path"} -Dwerror=$werror -Dfuzz=enabled -Db_sanitize="$2" -Db_lundef=false --buildtype=debugoptimized
}

if has_leg plain || has_leg valkey; then
	say "build"
	build build -Dwerror=$werror -Dfuzz=enabled -Dbench=enabled
fi

if has_leg plain; then run "plain build" build "${@:-tests}"; fi

if has_leg valkey; then
	need_valkey
	run "$("$valkey" --version | cut -d' ' -f1-3)" build --redis-server "$valkey" -m "not memory" "${@:-${server_tests[@]}}"
fi

export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
if has_leg asan; then
	sanitized build-asan address,undefined
	run "ASan and UBSan" build-asan -m "not memory" "${@:-tests}"
fi

if has_leg tsan; then
	sanitized build-tsan thread
	run "TSan" build-tsan -m "not memory" "${@:-${thread_tests[@]}}"
fi
