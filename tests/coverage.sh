#!/usr/bin/env bash
# What the tests reach: builds with clang's coverage, runs the corpora of tests/fuzz and pytest, and reports.
#   tests/coverage.sh [pytest arguments]     without any: all tests but those that measure memory
#
# Prints a line a file of what reads untrusted bytes; build-coverage/report.txt has all files, build-coverage/missed.txt each line that was not reached.
#
# A process writes its counts when it ends: also the daemon, which tests end by SIGTERM or unmounting. What is killed has none. Counts of all processes are
# added up in four files (%4m), for there are thousands. Other users cannot write into them and say so on stderr: tests that look at that fail here.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh

dir=$PWD/build-coverage
reads=(fs/layer fs/view fs/entry/{attributes,decode,entries,entry,entry_state,peel,renderings,steps,steps_decode}.c
	backend/redis/wire/{reply,nested,connection}.c backend/redis/news/announcements.c backend/redis/servers/{look,sentinels,topology}.c backend/redis/address/{seeds,target}.c
	backend/remote/{address,stream,url}.c backend/file/entry_header.c)

need_packages attr bindfs jq rsync man-db procps openssl redis-server clang libclang-rt-dev llvm
need_build_packages
need_python
need_hiredis_tls

if [ $# = 0 ]; then set -- tests -m 'not memory'; fi

say "build: coverage"
CC=clang build "$dir" -Dtls=enabled ${hiredis_path:+-Dpkg_config_path="$hiredis_path"} -Dfuzz=enabled -Dbench=enabled -Db_lundef=false --buildtype=debugoptimized \
	-Dc_args="-fprofile-instr-generate -fcoverage-mapping" -Dc_link_args=-fprofile-instr-generate
# In the sandbox a process cannot write its counts: what tests start leaves it out. Tests of the sandbox fail here.
if [ "$(head -c 2 "$dir/ckfs")" != '#!' ]; then
	mkdir -p "$dir/counted"
	mv "$dir/ckfs" "$dir/counted/ckfs"
	printf '#!/bin/sh\nexec "%s" -o sandbox=off "$@"\n' "$dir/counted/ckfs" >"$dir/ckfs"
	chmod 755 "$dir/ckfs"
fi
rm -rf "$dir/profiles"
mkdir -m 1777 "$dir/profiles"

say "tests: coverage"
LLVM_PROFILE_FILE=$dir/profiles/%4m.profraw .venv/bin/python -m pytest -q -n "$(($(nproc) * 5 / 2))" --dist worksteal -p no:cacheprovider --ckfs "$dir/ckfs" "$@" ||
	echo "some tests failed, or none was chosen: the report tells what those that ran have reached"

say "coverage"
llvm-profdata merge -o "$dir/all.profdata" "$dir"/profiles/*.profraw
objects=("$dir/counted/ckfs")
for program in "$dir"/tests/fuzz/*_replay "$dir/tests/fuzz/layer-probe"; do objects+=(-object "$program"); done
llvm-cov export -format=lcov "${objects[@]}" -instr-profile="$dir/all.profdata" 2>/dev/null >"$dir/all.lcov"
# Names as they stand in the project; what belongs to others is left out.
awk -F'[:,]' '
	/^SF:/ { file = name = substr($0, 4); sub(/.*\/\.\.\//, "", name); ours = name ~ /^(backend|fs|include)\// }
	ours && /^DA:/ && $3 == 0 { while (at[file] < $2 && (getline text[file] < file) > 0) at[file]++; print name ":" $2 ":" text[file] }' "$dir/all.lcov" >"$dir/missed.txt"
awk -F: '
	/^SF:/ { name = substr($0, 4); sub(/.*\/\.\.\//, "", name); ours = name ~ /^(backend|fs|include)\// }
	/^LF:/ { lines = $2 }
	ours && /^LH:/ && lines > 0 { printf "%6.2f %% of %4d lines  %s\n", 100 * $2 / lines, lines, name }' "$dir/all.lcov" >"$dir/report.txt"
grep -E " ($(IFS='|' && echo "${reads[*]}"))" "$dir/report.txt"
