#!/usr/bin/env bash
# Builds the fuzz targets for libFuzzer, and runs them one after the other, each for so many seconds; all of them, if none is named.
#   tests/fuzz/fuzz.sh SECONDS [TARGET...]
#
# What they find, and the inputs that they come upon, lie in a directory that is named at the end, not in the project. An input that a busy machine
# only takes long for is no finding.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup.sh

seconds=$1
shift
dir=build-fuzz
need_packages clang libclang-rt-dev
need_build_packages
build_targets=(fuzzers)
CC=clang build $dir -Dfuzz=enabled -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized -Dc_args=-fsanitize=fuzzer-no-link
if [ $# = 0 ]; then mapfile -t targets < <(basename -s .c -a tests/fuzz/fuzz_*.c); else targets=("$@"); fi

found=$(mktemp -d --suffix=-ckfs-fuzz)
status=0
for target in "${targets[@]}"; do
	say "$target"
	mkdir -p "$found/$target/inputs"
	"$dir/tests/fuzz/$target" -max_total_time="$seconds" -report_slow_units=600 -print_final_stats=1 -artifact_prefix="$found/$target/" \
		"$found/$target/inputs" "tests/vectors/$target" >"$found/$target/log" 2>&1 || status=1
	tail -n 5 "$found/$target/log"
	find "$found/$target" -maxdepth 1 -type f ! -name log
done
say "inputs and logs: $found"
exit $status
