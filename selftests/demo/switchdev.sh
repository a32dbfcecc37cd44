# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The part of the demonstration in which the switch of the NIC forwards by rules of tc, and the host's CPU sees nothing of it.
# Each rule is printed as it was given to tc, and behind it what tc shows of it: whether it is in hardware, and what it counted.

# name_representor VF: it gets the name that the driver gives to its port, as udev would do it.
name_representor() {
	local dev
	dev=$(grep -lx "pf0vf$1" /sys/class/net/*/phys_port_name 2>/dev/null | cut -d/ -f5)
	[ -n "$dev" ] || { echo "VF $1 has no representor"; return 1; }
	ip link set dev "$dev" name "pf0vf$1" && ip link set dev "pf0vf$1" up && tc qdisc add dev "pf0vf$1" clsact
}

# rule DEV PREF WORDS...: lays a rule that is in hardware only, and prints it without what is the same for all.
rule() {
	local dev=$1 pref=$2 said
	shift 2
	printf '  tc filter add dev %s ingress pref %s %s\n' "$dev" "$pref" "$*"
	# shellcheck disable=SC2086 # Words of tc.
	said=$(tc filter add dev "$dev" ingress pref "$pref" $* 2>&1) || bad "    that rule" "${said##*$'\n'}"
}

# counted DEV PREF: packets and bytes that the device has counted for the last action of a rule, which is in hardware.
counted() {
	tc -s -j filter show dev "$1" ingress pref "$2" | jq -r '
		[.[] | select(.options.actions)][0].options |
		(.actions[-1].stats) as $stats |
		if .in_hw and $stats.hw_packets > 0
		then "in hardware, has counted \($stats.hw_packets) packets, \($stats.hw_bytes) bytes"
		else "in_hw: \(.in_hw), packets: \($stats.hw_packets)\n" | halt_error end'
}

# watch_cpu DEV MAC...: what the host's CPU sees on a netdev of frames from or to a MAC, until seen_by_cpu DEV.
watch_cpu() {
	local dev=$1 words
	shift
	words=$(printf ' or ether host %s' "$@")
	tcpdump -U -Q in -w "/tmp/seen.$dev" -i "$dev" "${words# or }" 2>"/tmp/seen.$dev.log" &
	for _ in $(seq 100); do
		grep -q listening "/tmp/seen.$dev.log" && return
		sleep 0.05
	done
}

seen_by_cpu() {
	local count
	pkill -f "tcpdump .*/tmp/seen.$1" && sleep 0.3
	count=$(tcpdump -r "/tmp/seen.$1" 2>/dev/null | wc -l)
	[ "$count" = 0 ] || { echo "the CPU has seen $count frames"; return 1; }
	echo "no frame came to the CPU"
}

mac_of() { in_namespace "$1" cat "/sys/class/net/$2/address"; }

enter_switchdev() {
	local start=$EPOCHREALTIME
	devlink dev eswitch set "pci/$PCI" mode switchdev || return 1
	name_representor 0 && name_representor 1 || return 1
	tc qdisc add dev "$PF" clsact
	awk -v s="$start" -v e="$EPOCHREALTIME" 'BEGIN { printf "representors pf0vf0 and pf0vf1, in %.1f s\n", e - s }'
}

show_switchdev() {
	local rep0=pf0vf0 rep1=pf0vf1 mac0 mac1
	title "Switchdev: the NIC's switch does what tc says"
	check "devlink dev eswitch set ... mode switchdev" enter_switchdev
	mac0=$(mac_of vf0 "$(in_namespace vf0 ls /sys/class/net | grep -v lo)") mac1=$(mac_of vf1 "$(in_namespace vf1 ls /sys/class/net | grep -v lo)")
	watch_cpu "$rep0" "$mac0" "$mac1"
	watch_cpu "$rep1" "$mac0" "$mac1"
	rule "$rep0" 1 protocol all flower skip_sw action mirred egress redirect dev "$rep1"
	rule "$rep1" 1 protocol all flower skip_sw action mirred egress redirect dev "$rep0"
	check "ping VF 0 -> VF 1" ping_from vf0 "${vf_address[1]}"
	check "TCP VF 0 -> VF 1" stream_between vf1 "${vf_address[1]}" vf0
	sleep 0.3
	for dev in "$rep0" "$rep1"; do
		check "rule of $dev" counted "$dev" 1
		check "capture on $dev" seen_by_cpu "$dev"
	done
}
