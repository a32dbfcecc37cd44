# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the steps of the demonstration have in common: lines that say what was done and what was seen, and traffic.

failures=0

title() { printf '\n%s\n' "$1"; }
good() { printf '  %-52s %s\n' "$1" "$2"; }
bad() {
	printf '  %-52s FAILED: %s\n' "$1" "$2"
	failures=$((failures + 1))
}

# check WHAT COMMAND...: COMMAND's last line of output is what was seen.
check() {
	local what=$1 seen
	shift
	if seen=$("$@" 2>&1); then good "$what" "${seen##*$'\n'}"; else bad "$what" "${seen##*$'\n'}"; fi
}

# in_namespace NAME COMMAND...: NAME "-" is the initial one.
in_namespace() {
	local name=$1
	shift
	if [ "$name" = - ]; then "$@"; else ip netns exec "$name" "$@"; fi
}

ping_from() {
	local out
	out=$(in_namespace "$1" ping -q -c 5 -i 0.1 -W 2 "$2") || { echo "no answer from $2"; return 1; }
	sed -n 's/^\(.*\), time.*/\1/p' <<<"$out"
}

# What every stream carries, once for all of them, and its checksum.
payload=$(mktemp) payload_sum=
make_payload() { head -c 16M /dev/urandom >"$payload" && payload_sum=$(sha256sum <"$payload"); }

# stream_between SERVER ADDRESS CLIENT: every byte that the client sends must arrive as it was sent, and the end of the stream too.
stream_between() {
	local received start end arrived
	received=$(mktemp)
	(in_namespace "$1" timeout 30 socat -u -b 262144 "TCP4-LISTEN:5201,bind=$2,reuseaddr" STDOUT | sha256sum >"$received") &
	for _ in $(seq 50); do
		in_namespace "$1" ss -Hltn 'sport = 5201' | grep -q . && break
		sleep 0.05
	done
	start=$EPOCHREALTIME
	in_namespace "$3" timeout 30 socat -u -b 262144 "OPEN:$payload" "TCP4:$2:5201" || { kill $!; echo "the client fails"; return 1; }
	wait $!
	end=$EPOCHREALTIME
	arrived=$(<"$received")
	rm -f "$received"
	[ "$arrived" = "$payload_sum" ] || { echo "what arrived is not what was sent: its checksum is ${arrived%% *}"; return 1; }
	awk -v s="$start" -v e="$end" 'BEGIN { printf "16 MiB, %d Mbit/s, SHA-256 of what arrived is that of what was sent\n", 16 * 8.388608 / (e - s) }'
}

wait_carrier() {
	for _ in $(seq 100); do
		[ "$(in_namespace "$1" cat "/sys/class/net/$2/carrier" 2>/dev/null)" = 1 ] && break
		sleep 0.05
	done
	in_namespace "$1" ip -br link show dev "$2" | grep -w UP | awk '{print $2, $3}'
}

vf_netdev() { basename "$(echo "/sys/bus/pci/devices/$PCI/virtfn$1/net/"*)"; }

namespace_with() { # NAME NETDEV ADDRESS
	ip netns add "$1" && ip link set dev "$2" netns "$1" && ip -n "$1" link set dev lo up &&
		ip -n "$1" address add "$3/24" dev "$2" && ip -n "$1" link set dev "$2" up
}

create_vfs() {
	local start=$EPOCHREALTIME count
	echo "$1" > "/sys/bus/pci/devices/$PCI/sriov_numvfs" || return 1
	for _ in $(seq 100); do
		count=$(find "/sys/bus/pci/devices/$PCI/" -path '*virtfn*' -prune -print 2>/dev/null |
			while read -r vf; do ls "$vf/net" 2>/dev/null; done | wc -l)
		[ "$count" = "$1" ] && break
		sleep 0.05
	done
	[ "$count" = "$1" ] || { echo "only $count of $1 have a netdev"; return 1; }
	awk -v n="$1" -v s="$start" -v e="$EPOCHREALTIME" 'BEGIN { printf "%d, each with its netdev, in %.1f s\n", n, e - s }'
}

counter() { ethtool -S "$1" | awk -F': *' -v want="$2" '{ sub(/^ */, "", $1) } $1 == want { print $2 }'; }

leave() {
	rmmod oxnic || return 1
	[ ! -e "/sys/class/net/$PF" ] || { echo "$PF is still there"; return 1; }
	[ "$(lspci -d 6f78::0200 | wc -l)" = 1 ] || { echo "VFs are still on the bus"; return 1; }
	echo "netdevs and VFs gone, the PF is back on the bus without a driver"
}
