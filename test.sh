#!/usr/bin/env bash
# Installs what the tests need, builds, and runs everything: plain, under ASan and UBSan, and what has threads under TSan. Tests of a live server
# also run on Valkey.
# Tests of the daemon's memory run on the plain build only: a sanitizer's own is many times larger.
# The plain build takes the system's hiredis, which has no TLS on Debian 12; the others take one that has it.
#   ./test.sh [quick] [pytest arguments]      quick: the plain build only
set -euo pipefail
cd "$(dirname "$0")"
. tests/setup.sh

quick=false
[ "${1:-}" = quick ] && { quick=true; shift; }

need_packages "${BUILD_PACKAGES[@]}" clang libclang-rt-14-dev attr jq rsync man-db procps openssl redis-server
need_python
werror=false
[ -n "${CI:-}" ] && werror=true

run() { # NAME BUILD ARGUMENT...
	local name=$1 dir=$2
	shift 2
	say "tests: $name"
	.venv/bin/python -m pytest -q -rs -n 2 --dist worksteal -p no:cacheprovider --ckfs "$dir/ckfs" "$@"
}

say "build"
build build -Dwerror=$werror -Dfuzz=enabled -Dbench=enabled
run "plain build" build "${@:-tests}"
$quick && exit

if [ $# = 0 ]; then
	need_valkey
	run "Valkey" build --redis-server .venv/valkey/valkey-server -m "not memory" tests/mount/test_redis{,_versions,_announcements,_faults,_slow,_listing,_sentinel,_cluster,_cluster_faults}.py
fi

need_hiredis_tls
tls=(-Dtls=enabled -Dpkg_config_path="$PWD/.venv/hiredis/lib/pkgconfig")

say "build with clang, AddressSanitizer and UndefinedBehaviorSanitizer"
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
CC=clang build build-asan "${tls[@]}" -Dwerror=$werror -Dfuzz=enabled -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized
run "ASan and UBSan" build-asan -m "not memory" "${@:-tests}"

say "build with ThreadSanitizer"
CC=clang build build-tsan "${tls[@]}" -Dwerror=$werror -Dfuzz=enabled -Db_sanitize=thread -Db_lundef=false --buildtype=debugoptimized
if [ $# = 0 ]; then set -- tests/mount/test_versions.py tests/mount/test_listing.py tests/mount/test_decoded_cache.py tests/mount/test_redis_versions.py tests/mount/test_redis_announcements.py tests/mount/test_redis_faults.py tests/mount/test_redis_slow.py tests/mount/test_redis_hanging.py tests/mount/test_redis_tls_served.py tests/fault; fi
run "TSan" build-tsan -m "not memory" "$@"
