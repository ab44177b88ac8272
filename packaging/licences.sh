#!/bin/sh
# licences.sh writes the licences of modules, as they have them: of the lines "PATH VERSION DIRECTORY" on its input, then of Go and of what
# the dashboard is built from. Whoever passes the program on has to pass these on too.
set -eu
export LC_ALL=C

# one NAME DIRECTORY
one() {
	printf '==== %s\n\n' "$1"
	found=
	for file in "$2"/LICEN[CS]E* "$2"/COPYING* "$2"/NOTICE* "$2"/PATENTS*; do
		if [ -f "$file" ]; then
			found=yes
			cat "$file"
			echo
		fi
	done
	[ -n "$found" ] || { echo "$1: no licence in $2" >&2; exit 1; }
}

sort -u | while read -r path version dir; do
	one "$path $version" "$dir"
done
one "$(go version | cut -d ' ' -f 3)" "$(go env GOROOT)"
UI=$(dirname "$0")/../web/ui
if [ -f "$UI/dist/index.html" ]; then
	for module in $(sed -n '/"dependencies"/,/}/s/^ *"\([^"]*\)": "\([0-9][^"]*\)".*/\1/p' "$UI/package.json"); do
		one "$module" "$UI/node_modules/$module"
	done
fi
