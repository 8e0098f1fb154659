# Sourced by test.sh and demo.sh: installs what is missing. A second run finds all in place and is quick.

say() { printf '\n== %s\n' "$*"; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages NAME...: Debian packages.
need_packages() {
	local missing=() name
	for name in "$@"; do
		dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
	done
	[ ${#missing[@]} = 0 ] && return
	say "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# need_python: a venv in .venv with tests/requirements.txt.
need_python() {
	local stamp=.venv/requirements.txt
	cmp -s tests/requirements.txt "$stamp" && return
	say "installing Python packages into .venv"
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "python3 is too old: cachekit needs 3.10" >&2; exit 1; }
	[ -x .venv/bin/python ] || python3 -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	cp tests/requirements.txt "$stamp"
}

# build DIRECTORY OPTION...: sets up if need be, and compiles.
build() {
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >/dev/null
	else
		meson setup "$dir" "$@" >/dev/null
	fi
	ninja -C "$dir" >"$dir/ninja.log" 2>&1 || { cat "$dir/ninja.log" >&2; exit 1; }
}

BUILD_PACKAGES=(meson ninja-build pkg-config gcc libc6-dev libfuse3-dev fuse3 libsodium-dev libmsgpack-dev liblz4-dev libxxhash-dev libhiredis-dev python3-venv)
