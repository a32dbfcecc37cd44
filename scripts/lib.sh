# SPDX-License-Identifier: GPL-2.0-only
# Shared shell functions of scripts/: where things are, how progress and errors are shown, how a
# step is done once. Sourced with "set -eu" on. Owns no state but what lies in the cache.

OXNIC_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/versions
. "$OXNIC_TOP/scripts/versions"
: "${OXNIC_CACHE:=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/oxnic}"
mkdir -p "$OXNIC_CACHE" 2>/dev/null || {
	echo "oxnic: cannot create $OXNIC_CACHE: set OXNIC_CACHE to a folder that you can write to" >&2
	exit 1
}
OXNIC_CACHE=$(cd "$OXNIC_CACHE" && pwd -P)
export OXNIC_TOP OXNIC_CACHE
ROOTFS=$OXNIC_CACHE/rootfs

# Lines for the user go to the error stream that the script was started with, also from a step, whose own
# output goes to its log. A step that ended by "die" has said all there is to say: status 64 tells so.
exec 9>&2
say() { printf 'oxnic: %s\n' "$*" >&9; }
die() { printf 'oxnic: error: %s\n' "$*" >&9; exit 64; }

# True inside the root file system itself, where nothing has to be entered any more.
in_rootfs() { [ -e /etc/oxnic-rootfs ]; }

# recipe FILE|TEXT...: a short hash over the words given (a word that names a file counts by its content).
recipe() {
	local word
	for word; do
		if [ -f "$word" ]; then cat "$word"; else printf '%s\n' "$word"; fi
	done | sha256sum | cut -c1-16
}

# is_done STAMP HASH: the step that writes STAMP was done with this very recipe.
is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# mark_done STAMP HASH: atomically, so that an interrupted run never looks finished.
mark_done() { printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"; }

# A step's output goes to a log; the terminal sees one line at its start and one at its end.
# step N OF "what" command...
step() {
	local n=$1 of=$2 what=$3 log start status
	shift 3
	log=$OXNIC_CACHE/log/$(printf '%s' "$what" | tr -cs 'A-Za-z0-9.' '-' | sed 's/-*$//').log
	mkdir -p "$OXNIC_CACHE/log"
	start=$SECONDS
	say "[$n/$of] $what ..."
	set +e
	(set -e; "$@") >"$log" 2>&1
	status=$?
	set -e
	if [ $status != 0 ]; then
		[ $status != 64 ] || exit 64
		explain "$log"
		tail -n 15 "$log" | sed 's/^/    /' >&2
		die "$what failed; the whole output is in $log; run the same command again to resume"
	fi
	say "[$n/$of] $what: done in $((SECONDS - start)) s"
}

# explain LOG: for failures with a known cause, end with the one line that says what to do.
explain() {
	if grep -qiE 'No space left on device|not enough free space' "$1"; then
		die "the disk with $OXNIC_CACHE is full: free about $CACHE_GIB GiB, or set OXNIC_CACHE to a folder on a larger one"
	elif grep -qiE 'Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable|Connection (timed out|failed|refused)' "$1"; then
		die "the Debian archive ($(mirror)) cannot be reached: check the network and proxy, or set OXNIC_MIRROR to one that can"
	fi
}

# The Debian mirror: OXNIC_MIRROR, else what a Debian host itself uses, else the one that debootstrap takes by itself.
mirror() {
	local found=
	if [ -n "${OXNIC_MIRROR:-}" ]; then
		printf '%s\n' "$OXNIC_MIRROR"
		return
	fi
	if grep -q '^ID=debian' /etc/os-release 2>/dev/null; then
		found=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null |
			sed -n 's/^ *URIs: *//p; s/^ *deb \(\[[^]]*\] *\)\{0,1\}//p' | tr ' ' '\n' |
			grep -E '^https?://[^ ]*/debian/?$' | head -n 1) || true
	fi
	[ -n "$found" ] || found=$(sed -n 's/^DEF_MIRROR="\{0,1\}\([^"]*\).*/\1/p' "$(command -v debootstrap)" 2>/dev/null | head -n 1) || true
	[ -n "$found" ] || die "no Debian mirror is known on this host: set OXNIC_MIRROR to the address of one"
	printf '%s\n' "$found"
}

# How to get the rights that a chroot needs: nothing as root, else a user name space with a full id map.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		can_unshare || die "this needs root, or a user with sub-uids (newuidmap, /etc/subuid) and user name spaces: run it as root"
		unshare --user --map-auto --map-root-user --mount -- "$@"
	fi
}

can_unshare() { unshare --user --map-auto --map-root-user --mount -- true 2>/dev/null; }

# with_lock NAME command...: one set-up of a kind at a time; a second one waits, and then finds it done.
with_lock() {
	local fd
	exec {fd}>"$OXNIC_CACHE/.lock-$1"
	if ! flock -n "$fd"; then
		say "waiting for another run that sets up '$1'"
		flock "$fd"
	fi
	shift
	"$@"
	exec {fd}>&-
}

# The Debian kernel that scripts/kernel/choose has settled on: sets release, package, series and version.
chosen_kernel() {
	release='' package='' series='' version=''
	[ -f "$OXNIC_CACHE/kernel/chosen" ] || die "no kernel is set up yet: run 'scripts/setup stock'"
	# shellcheck disable=SC1091
	. "$OXNIC_CACHE/kernel/chosen"
}
