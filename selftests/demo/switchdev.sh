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

# watch_cpu DEV FILTER: what the host's CPU sees on a netdev of the frames that a filter of tcpdump lets through, until
# seen_by_cpu DEV. Called behind the rules, as what came before them was the CPU's.
watch_cpu() {
	local dev=$1
	tcpdump -U -Q in -w "/tmp/seen.$dev" -i "$dev" "$2" 2>"/tmp/seen.$dev.log" &
	echo $! >"/tmp/seen.$dev.pid"
	for _ in $(seq 100); do
		grep -q listening "/tmp/seen.$dev.log" && return
		sleep 0.05
	done
}

seen_by_cpu() {
	local count said=/tmp/seen.$1.log
	# A capture that does not run is empty, too.
	grep -q listening "$said" || { echo "the capture did not begin: $(tail -n 1 "$said")"; return 1; }
	kill "$(cat "/tmp/seen.$1.pid")" 2>/dev/null || { echo "the capture ended too early: $(tail -n 1 "$said")"; return 1; }
	sleep 0.3
	tcpdump -n -r "/tmp/seen.$1" >"/tmp/seen.$1.text" 2>/dev/null || { echo "the capture cannot be read"; return 1; }
	count=$(wc -l <"/tmp/seen.$1.text")
	[ "$count" = 0 ] || { echo "the CPU has seen $count frames"; return 1; }
	echo "no frame came to the CPU"
}

# netdev_of NAMESPACE: the only one that it has.
netdev_of() { in_namespace "$1" ls /sys/class/net | grep -vx lo; }

mac_of() { in_namespace "$1" cat "/sys/class/net/$2/address"; }

enter_switchdev() {
	local start=$EPOCHREALTIME
	devlink dev eswitch set "pci/$PCI" mode switchdev || return 1
	name_representor 0 && name_representor 1 || return 1
	tc qdisc add dev "$PF" clsact
	awk -v s="$start" -v e="$EPOCHREALTIME" 'BEGIN { printf "representors pf0vf0 and pf0vf1, in %.1f s\n", e - s }'
}

# silent DEV...: what the CPU has seen since watch_cpu.
silent() {
	local dev
	for dev in "$@"; do check "capture on $dev" seen_by_cpu "$dev"; done
}

# VF 0 and VF 1 talk to each other.
show_cable() {
	rule pf0vf0 1 protocol all flower skip_sw action mirred egress redirect dev pf0vf1
	rule pf0vf1 1 protocol all flower skip_sw action mirred egress redirect dev pf0vf0
	watch_cpu pf0vf0 "ether host $mac0 or ether host $mac1"
	watch_cpu pf0vf1 "ether host $mac0 or ether host $mac1"
	check "ping VF 0 -> VF 1" ping_from vf0 "${vf_address[1]}"
	check "TCP VF 0 -> VF 1" stream_between vf1 "${vf_address[1]}" vf0
	sleep 0.3
	check "rule of pf0vf0" counted pf0vf0 1
	check "rule of pf0vf1" counted pf0vf1 1
	silent pf0vf0 pf0vf1
	tc filter del dev pf0vf0 ingress
	tc filter del dev pf0vf1 ingress
}

# seen_at NAMESPACE DEV FILTER WANTED COMMAND...: runs it, and prints the first frame that the filter lets through, which must have what is wanted.
seen_at() {
	local name=$1 dev=$2 words=$3 wanted=$4 seen
	shift 4
	in_namespace "$name" timeout 10 tcpdump -e -v -n -c 1 -i "$dev" "$words" >/tmp/seen.frame 2>/dev/null &
	sleep 1
	"$@" >/dev/null
	wait $!
	seen=$(tr -d '\n' </tmp/seen.frame | sed -E 's/.*(vlan [0-9]+).*(ttl [0-9]+).* ([0-9.]+ > [0-9.]+: ICMP [a-z ]+),.*/\1, \2, \3/')
	echo "${seen:-no such frame}"
	case $seen in *"$wanted"*) ;; *) return 1 ;; esac
}

# copies NAMESPACE DEV COUNT FILTER COMMAND...: runs it, and counts the frames that the filter lets through, none of which may have a tag.
copies() {
	local name=$1 dev=$2 wanted=$3 words=$4 count
	shift 4
	in_namespace "$name" timeout 10 tcpdump -e -n -c "$wanted" -i "$dev" "$words" >/tmp/seen.copies 2>/dev/null &
	sleep 1
	"$@" >/dev/null
	wait $!
	count=$(grep -c 'ICMP echo request' /tmp/seen.copies)
	if grep -q vlan /tmp/seen.copies; then echo "a copy with a tag"; return 1; fi
	echo "$count copies, untagged"
	[ "$count" = "$wanted" ]
}

# listen GROUP COUNT: for samples, until heard.
listen() {
	"$here/samples" "$@" >/tmp/seen.samples 2>&1 &
	for _ in $(seq 200); do
		[ -s /tmp/seen.samples ] && return
		sleep 0.05
	done
}

heard() {
	for _ in $(seq 200); do
		tail -n 1 /tmp/seen.samples | grep "samples of" && return
		sleep 0.05
	done
	tail -n 1 /tmp/seen.samples
	return 1
}

# VF 0 talks to a VLAN of the wire; what it sends is limited, sampled, copied to VF 1, edited and tagged on the way.
show_edits() {
	local dev1
	ip -n wire link add link "$PEER" name vlan7 type vlan id 7
	ip -n wire address add 203.0.113.2/24 dev vlan7
	ip -n wire link set dev vlan7 up
	ip -n vf0 address add 203.0.113.1/24 dev "$dev0"
	dev1=$(netdev_of vf1)
	# So that it sees what is not for its own address.
	ip link set dev "$PF" vf 1 trust on
	rule pf0vf0 1 protocol ip flower skip_sw dst_ip 203.0.113.2 action police rate 900mbit burst 1m conform-exceed drop/pipe \
		action sample rate 1 group 7 action mirred egress mirror dev pf0vf1 action pedit ex munge ip ttl set 7 pipe action csum ip4h pipe \
		action vlan push id 7 action mirred egress redirect dev "$PF"
	rule pf0vf0 2 protocol arp flower skip_sw arp_tip 203.0.113.2 action vlan push id 7 action mirred egress redirect dev "$PF"
	rule "$PF" 1 protocol 802.1Q flower skip_sw vlan_id 7 action vlan pop action mirred egress redirect dev pf0vf0
	listen 7 5
	# What the VF has to say to others, and by IPv6, is none of these rules' business.
	watch_cpu pf0vf0 "ether host $mac0 and (ip or arp) and net 203.0.113.0/24"
	check "ping VF 0 -> VLAN 7 of the wire" ping_from vf0 203.0.113.2
	check "a frame on the wire" seen_at wire "$PEER" "vlan 7 and icmp and src 203.0.113.1" "vlan 7, ttl 7," ping_from vf0 203.0.113.2
	check "copies at VF 1" copies vf1 "$dev1" 5 "icmp and dst 203.0.113.2" ping_from vf0 203.0.113.2
	check "samples for listeners of group 7" heard
	check "rule 1 of pf0vf0" counted pf0vf0 1
	silent pf0vf0
	tc filter del dev pf0vf0 ingress
	tc filter del dev "$PF" ingress
	ip -n wire link del vlan7
}

# show_tunnel KIND PORT NUMBER: VF 0 talks to a stock tunnel device at the far end of the wire.
show_tunnel() {
	local kind=$1 port=$2 net=10.$3.0
	local far="id 42 remote $pf_address dstport $port"
	[ "$kind" = geneve ] || far="$far local $wire_address"
	ip link add "$kind"0 type "$kind" dstport "$port" external
	ip link set dev "$kind"0 up
	tc qdisc add dev "$kind"0 clsact
	# shellcheck disable=SC2086 # Words of ip.
	ip -n wire link add "$kind"0 type "$kind" $far
	ip -n wire address add "$net.2/24" dev "$kind"0
	ip -n wire link set dev "$kind"0 mtu 1400 up
	ip -n vf0 address add "$net.1/24" dev "$dev0"
	ip -n vf0 link set dev "$dev0" mtu 1400
	rule pf0vf0 1 protocol all flower skip_sw action tunnel_key set id 42 src_ip "$pf_address" dst_ip "$wire_address" dst_port "$port" \
		action mirred egress redirect dev "$kind"0
	rule "$kind"0 1 protocol all flower enc_key_id 42 enc_src_ip "$wire_address" enc_dst_ip "$pf_address" enc_dst_port "$port" \
		action tunnel_key unset action mirred egress redirect dev pf0vf0
	watch_cpu pf0vf0 "ether host $mac0"
	watch_cpu "$kind"0 "ether host $mac0"
	check "ping VF 0 -> $kind of the wire" ping_from vf0 "$net.2"
	check "TCP VF 0 -> $kind of the wire" stream_between wire "$net.2" vf0
	sleep 0.3
	check "rule of pf0vf0" counted pf0vf0 1
	check "rule of ${kind}0" counted "$kind"0 1
	silent pf0vf0 "$kind"0
	tc filter del dev pf0vf0 ingress
	ip link del "$kind"0
}

show_switchdev() {
	local mac0 mac1 dev0
	title "Switchdev: the NIC's switch does what tc says"
	check "devlink dev eswitch set ... mode switchdev" enter_switchdev
	dev0=$(netdev_of vf0)
	mac0=$(mac_of vf0 "$dev0") mac1=$(mac_of vf1 "$(netdev_of vf1)")
	show_cable
	title "A VLAN of the wire, with a limit, samples, a copy, and an edit"
	show_edits
	title "VXLAN and Geneve, to stock tunnel devices of Linux on the wire"
	show_tunnel vxlan 4789 1
	show_tunnel geneve 6081 2
}
