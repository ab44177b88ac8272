#!/bin/sh
# deb.sh VERSION ARCH BINARY PAGES DIR packs weir as DIR/weir_VERSION_ARCH.deb. `make deb` calls it.
#
# VERSION is what git describe says, ARCH Debian's name of the architecture, BINARY the program for it, PAGES a directory with man1/,
# completions/ and modules, as `make deb` makes them. SOURCE_DATE_EPOCH (Unix seconds) is the time of everything in it: the
# same input gives the same bytes. COMPRESSION is dpkg-deb's, xz otherwise. It needs dpkg-deb, and no root.
set -eu
umask 022
export LC_ALL=C TZ=UTC

# A version as dpkg orders them: v1.2.3-rc.1 before v1.2.3 before v1.2.3-4-gabcdef0, commits without any tag before all.
version() {
	case $1 in
	v[0-9]*) printf '%s\n' "${1#v}" | sed -E 's/-dirty$/+dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/; s/-/./g' ;;
	*) printf '0~%s.%s\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)" "$(printf '%s' "$1" | sed 's/-dirty$/+dirty/; s/[^A-Za-z0-9.+~]/./g')" ;;
	esac
}
if [ "$1" = version ]; then
	version "$2"
	exit
fi

VERSION=$(version "$1") ARCH=$2 BINARY=$3 PAGES=$4 DIR=$5
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT"' EXIT
chmod 755 "$ROOT"

put() { install -D -m "${3:-644}" "$1" "$ROOT/$2"; }
zipped() { install -d "$(dirname "$ROOT/$2")" && gzip -9n <"$1" >"$ROOT/$2.gz"; }

put "$BINARY" usr/bin/weir 755
put "$HERE/weir.yaml" etc/weir/weir.yaml
put "$HERE/weir.service" usr/lib/systemd/system/weir.service
put "$HERE/debian/sysusers" usr/lib/sysusers.d/weir.conf
put "$HERE/debian/tmpfiles" usr/lib/tmpfiles.d/weir.conf
put "$HERE/debian/logrotate" etc/logrotate.d/weir
for page in "$PAGES"/man1/*.1; do
	zipped "$page" "usr/share/man/man1/$(basename "$page")"
done
put "$PAGES/completions/weir.bash" usr/share/bash-completion/completions/weir
put "$PAGES/completions/weir.zsh" usr/share/zsh/vendor-completions/_weir
put "$PAGES/completions/weir.fish" usr/share/fish/vendor_completions.d/weir.fish

put "$HERE/debian/copyright" usr/share/doc/weir/copyright
zipped "$PAGES/modules" usr/share/doc/weir/modules
for page in "$HERE"/../docs/*.md; do
	put "$page" "usr/share/doc/weir/$(basename "$page")"
done
put "$HERE/debian/lintian" usr/share/lintian/overrides/weir
put "$HERE/weir.rules.yml" usr/share/doc/weir/examples/weir.rules.yml
put "$HERE/grafana/weir.json" usr/share/doc/weir/examples/grafana.json
printf 'weir (%s) unstable; urgency=medium\n\n  * weir %s.\n\n -- %s  %s\n' "$VERSION" "$1" \
	"$(sed -n 's/^Maintainer: //p' "$HERE/debian/control")" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$ROOT/changelog"
zipped "$ROOT/changelog" usr/share/doc/weir/changelog
rm "$ROOT/changelog"

# Directories have sizes of their own on every file system; those of the files are the same everywhere.
SIZE=$(find "$ROOT" -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
mkdir "$ROOT/DEBIAN"
sed "s/@VERSION@/$VERSION/; s/@ARCH@/$ARCH/; s/@SIZE@/$SIZE/" "$HERE/debian/control" >"$ROOT/DEBIAN/control"
install -m 644 "$HERE/debian/conffiles" "$ROOT/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "$HERE/debian/$script" "$ROOT/DEBIAN/$script"
done
(cd "$ROOT" && find usr etc -type f | sort | xargs md5sum >DEBIAN/md5sums)

mkdir -p "$DIR"
# One thread: how many there are shows in what xz writes.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$ROOT" "$DIR/weir_${VERSION}_$ARCH.deb"
