# shellcheck shell=bash disable=SC2154 # names are those of guest/upstream
# SPDX-License-Identifier: GPL-2.0-only
# In the guest: who handled the frames while a test of tc's rules ran. Sourced by guest/upstream.
#
# The frames on their way to the tests' interfaces are counted where the VFs send them (net_dev_start_xmit) and where the driver hands them
# to the host's stack (napi_gro_receive_entry; netif_receive_skb_entry of frames with the queue that a driver notes, which those that mirred
# brings there have not), by the kernel's own trace points, and rules are watched as tc shows them when they come and go. IPv6 and ARP are
# left out: some of that is always under way, also to interfaces that are down.
#
# What is said then is in the tests' own form, "TEST: name [ OK ]".

tracing=/sys/kernel/tracing
watched=$tracing/events/net

witness_start() { # RESULTS-FILE
	[ -d $watched ] || mount -t tracefs none $tracing || fail "no tracefs"
	local kinds="protocol != 0x86dd && protocol != 0x0806"
	witness_count net_dev_start_xmit "$kinds"
	witness_count napi_gro_receive_entry "$kinds"
	witness_count netif_receive_skb_entry "$kinds && queue_mapping != 0"
	witness_watch "$1"
}

witness_watch() { # RESULTS-FILE
	tc -s monitor >"$1" &
	monitor=$!
	sleep 0.2
}

witness_unwatch() {
	sleep 0.5
	kill $monitor
	wait $monitor 2>/dev/null
}

witness_count() { # EVENT CONDITION
	echo '!hist:keys=name' >"$watched/$1/trigger" 2>/dev/null
	echo "hist:keys=name if $2" >"$watched/$1/trigger" || fail "no histogram of $1"
}

frames_of() { # EVENT NETDEV...
	local names
	names=$(printf '|%s' "${@:2}")
	sed -nE "s/^\{ name: *(${names:1}) *\} hitcount: *([0-9]+)$/\2/p" "$watched/$1/hist" | awk '{ sum += $1 } END { print sum + 0 }'
}

# Of the rules that went: how many with skip_sw, how many of these were in the device, what they have counted there and in software, and how
# many frames came to an end in the device, with whatever rule.
rules_of() { # RESULTS-FILE
	awk '
		function done() {
			if (gone && skip_sw) { rules++; in_device += in_hw; hardware += hw; software += all - hw }
			if (gone && ends) ended += hw
			gone = skip_sw = in_hw = ends = hw = all = 0
		}
		/^[a-z ]*filter / { done(); gone = /^deleted / }
		/^  skip_sw$/ { skip_sw = 1 }
		/^  in_hw / { in_hw = 1 }
		/action order [0-9]+: gact action drop|action order [0-9]+: mirred .*Redirect/ { ends = 1 }
		/^\tSent [0-9]/ { if ($4 > all) all = $4 }
		/^\tSent hardware / { if ($5 > hw) hw = $5 }
		END { done(); print rules + 0, in_device + 0, hardware + 0, software + 0, ended + 0 }
	' "$1"
}

verdict() { # NAME TEST-ARGUMENTS...
	if [ "${@:2}" ]; then printf 'TEST: %s [ OK ]\n' "$1"; else printf 'TEST: %s [FAIL]\n\t%s\n' "$1" "${*:2}"; fi
}

# Counts into the caller's variables.
witness_read() { # RESULTS-FILE
	witness_unwatch
	sent=$(frames_of net_dev_start_xmit "${ends[@]}")
	received=$(($(frames_of napi_gro_receive_entry "${representors[@]}") + $(frames_of netif_receive_skb_entry "${representors[@]}")))
	read -r rules in_device hardware software ended < <(rules_of "$1")
}

# A test whose rules may be in the device, and have software beside it.
witness_both() { # RESULTS-FILE
	local sent received rules in_device hardware software ended
	witness_read "$1"
	echo "INFO: VFs sent $sent frames, the host got $received, and $ended came to an end in the device"
	verdict "the CPU sees each frame that no rule in the device ends, and no other" "$sent" -gt 0 -a $((sent - received)) -eq "$ended"
}

# The same test with offload on or off, whose rules were in the device or not.
witness_end() { # RESULTS-FILE on|off
	local sent received rules in_device hardware software ended
	witness_read "$1"
	echo "INFO: offload $2: $rules rules with skip_sw, $in_device of them in the device, packets $hardware there, $software in software"
	echo "INFO: offload $2: VFs sent $sent frames, the host got $received, and $ended came to an end in the device"
	if [ "$2" = off ]; then
		verdict "control: without offload no rule counts in hardware" $((hardware + ended)) -eq 0
		verdict "control: without offload the CPU sees each frame" "$sent" -gt 0 -a "$received" -eq "$sent"
		return
	fi
	verdict "rules with skip_sw are in_hw" "$rules" -gt 0 -a "$in_device" -eq "$rules"
	verdict "rules with skip_sw count in hardware" "$hardware" -gt 0 -a "$software" -eq 0
	verdict "the CPU sees no frame that a rule in the device ends" "$ended" -gt 0 -a $((sent - received)) -eq "$ended"
}

# Of a test that sends nothing: all its rules were in the device, or none of them.
witness_all() { # RESULTS-FILE on|off
	local inside outside
	witness_unwatch
	inside=$(grep -c '^  in_hw ' "$1")
	outside=$(grep -c '^  not_in_hw' "$1")
	echo "INFO: offload $2: tc told of rules that were in the device $inside times, of others $outside times"
	if [ "$2" = on ]; then
		verdict "all rules are in_hw" "$inside" -gt 0 -a "$outside" -eq 0
	else
		verdict "control: without offload no rule is in_hw" "$outside" -gt 0 -a "$inside" -eq 0
	fi
}
