#!/usr/bin/env bash
# Builds ckfs, fills a file cache with the real cachekit package, mounts it, and shows around.
#   ./demo.sh [--keep]      --keep: leave it mounted
set -euo pipefail
cd "$(dirname "$0")"
. tests/setup.sh

keep=false
[ "${1:-}" = --keep ] && keep=true

need_packages attr jq procps
need_build_packages
need_python
say "building"
build build

work=$(mktemp -d)
mnt=$work/mnt
mkdir "$mnt"
end_redis() {
	mountpoint -q "$work/redis/mnt" && fusermount3 -u "$work/redis/mnt"
	if [ -s "$work/redis/pid" ]; then
		kill "$(cat "$work/redis/pid")"
		rm -f "$work/redis/pid"
	fi
}
end() {
	end_redis
	mountpoint -q "$mnt" && fusermount3 -u "$mnt"
	rm -rf "$work"
}
trap end EXIT

venv=$PWD/.venv/bin/python
python() { "$venv" "$@"; }
ckfs=$PWD/build/ckfs
fill_redis=$PWD/tests/tour/fill_redis.py
say "an application fills a cache (cachekit $(python -c 'import importlib.metadata as m; print(m.version("cachekit"))'), a table of 20 million rows among it)"
python tests/tour/fill.py "$work/cache" 20000000
cd "$work"

show() {
	printf '\n$ %s\n' "$*"
	eval "$*"
}

say "what lies on the disk: hashes"
show ls -l cache

say "one command, and every key is a file"
printf '\n$ ckfs cache mnt\n'
"$ckfs" cache mnt
show ls -l mnt/

say "the directory stores hashes only, but every entry opens by its key"
show cat mnt/json/user%2F7
echo
show "jq -c '.langs' mnt/json/user%2F7"
show cat mnt/json/greeting
show getfattr -d mnt/user%2F7

say "what was opened is listed by name from then on; the root shows the payload, arrow/ the table"
show ls mnt/json mnt/arrow

say "everything that is known of an entry"
show "jq -c '{document, checksum, size, views}' mnt/meta/sales.json"

say "a table of 400 MB, mapped: no copy, no decoding"
cat >open.py <<'PY'
import time, pyarrow as pa, pyarrow.compute as pc
def timed(what, call):
    start = time.perf_counter()
    result = call()
    print(f"{what:58} {(time.perf_counter() - start) * 1000:8.1f} ms")
    return result
def opened():
    return pa.ipc.open_file(pa.memory_map("mnt/arrow/sales.arrow")).read_all()
timed("first open (its checksum is verified, once per version)", opened)
table = timed("open again", opened)
timed("sum of one column of 20 million rows, cold", lambda: pc.sum(table["price"]))
timed("and warm", lambda: pc.sum(table["price"]))
print(table.num_rows, "rows,", table.nbytes >> 20, "MiB")
PY
show python open.py

say "an array, as NumPy reads it"
cat >array.py <<'PY'
import numpy
print(numpy.load("mnt/npy/weights.npy", mmap_mode="r"))
PY
show python array.py

say "the daemon copied nothing"
show "grep -E 'Name|RssAnon' /proc/\$(pgrep -nf 'ckfs cache mnt')/status"

say "a sealed entry is ciphertext to who has no key"
show cat mnt/json/secret || true
fusermount3 -u mnt
(umask 077; printf '%064d\n' 7 >key)
printf '\n$ ckfs -o master_key_file=key cache mnt\n'
"$ckfs" -o master_key_file=key cache mnt
show cat mnt/json/secret
show "jq -c .seal mnt/meta/secret.json"

if command -v redis-server >/dev/null || { need_packages redis-server && command -v redis-server >/dev/null; }; then
	say "the same with a server: an application's Redis"
	mkdir redis
	redis-server --port 0 --unixsocket "$work/redis/socket" --save '' --dir "$work/redis" --daemonize yes --pidfile "$work/redis/pid" --loglevel warning >/dev/null
	python "$fill_redis" "unix://$work/redis/socket"
	printf '\n$ ckfs unix://redis/socket redis/mnt\n'
	mkdir redis/mnt
	"$ckfs" "unix://$work/redis/socket" redis/mnt
	show ls redis/mnt redis/mnt/json
	show cat redis/mnt/json/*
	show "jq -c '.arrow | {rows, compression, columns}' redis/mnt/meta/*sales*"
	show "grep -E '^ckfs_(connections_total|backend_calls_total.*find)' redis/mnt/.ckfs/stats"
	end_redis
fi

if $keep; then
	trap - EXIT
	say "left mounted on $mnt; end it with: fusermount3 -u $mnt; rm -r $work"
else
	say "unmounted"
fi
