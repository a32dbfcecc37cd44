# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Stands in for the helpers of upstream's tests of netdevsim, so that one of them runs on $NETIF, a netdev with channels that can be changed.
# The caller counts in num_passes and num_errors.

# shellcheck disable=SC2034
num_passes=0 num_errors=0

# make_netdev PORTS QUEUES: the netdev, down, with so many channels and without queueing disciplines of its own.
make_netdev() {
	ip link set dev "$NETIF" down
	ethtool -L "$NETIF" combined "$2" 2>/dev/null
	echo "$NETIF"
}

cleanup_nsim() { tc qdisc del dev "$NETIF" root 2>/dev/null; }

trap cleanup_nsim EXIT
