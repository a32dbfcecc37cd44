# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project. Everything they need is set up on first use, in the cache (OXNIC_CACHE).
# The module's build rules are in Kbuild; "make help" lists what is here.

KERNEL ?= stock
SHELL := /bin/bash
.DEFAULT_GOAL := all
.PHONY: all module model need-script run test test-all selftest vm shell check bench firmware clean distclean help setup debug-kernel

scripts := scripts
env := $(scripts)/env
# The debug kernel needs its own build of the module. A kernel file given by name uses the one that was built for its release, which is the stock
# kernel's if any is, or what MODULE= says (scripts/vm/kernel.py).
module-for := $(if $(filter debug,$(KERNEL)),debug,stock)

all: module model ## build the driver module for KERNEL= and the device model

setup: ## make the root file system, the kernel source and the stock kernel's build folder (first use does it)
	@$(scripts)/setup

debug-kernel: ## build the debug kernel (first use does it; 15 to 30 minutes)
	@$(scripts)/setup debug

module:
	@$(scripts)/module $(module-for)

model:
	@$(scripts)/setup rootfs
	@$(scripts)/model

run: all ## the main job: boot, load the driver, show functions, links, VFs, traffic, statistics
	@$(scripts)/vm/vm selftests/demo/run

test: ## what must hold at every commit; one summary at the end
	@$(scripts)/test quick

test-all: ## everything on both kernels, as long as it takes; RESUME=1 goes on with one that was interrupted, FULL=1 repeats as often as the project asks
	@$(scripts)/test all

selftest: all ## some of the in-VM tests: T=<pattern> (T=upstream: the kernel's own) KERNEL=
	@selftests/run --kernel $(KERNEL) $(if $(filter upstream,$(T)),--set upstream,--set all $(if $(T),--pattern '$(T)'))

need-script:
	@$(if $(SCRIPT),,echo "oxnic: error: say which script to run: make vm SCRIPT=<file>" >&2; exit 1)

vm: need-script all ## boot, load the driver, run SCRIPT=<file> as root, pass on its exit status (options: scripts/vm/vm --help)
	@$(scripts)/vm/vm

shell: all ## the same, interactive
	@SCRIPT= $(scripts)/vm/vm --shell

firmware: ## make signed packages of test firmware for devlink dev flash, in the cache
	@$(scripts)/firmware

check: ## formatting, lints with warnings as errors, documentation, and the project's own rules
	@$(scripts)/check

bench: all ## instructions per packet against the stock NICs, and per rule of tc; times of bring-up; table, JSON and plots
	@selftests/bench/run

clean: ## remove what was built of this checkout (the kernels and the root file system stay)
	@$(scripts)/clean

distclean: ## remove the whole cache
	@$(scripts)/clean all

help: ## this list
	@awk -F ' *## *' '/^[a-z-]+:.*##/ { split($$1, name, ":"); printf "  make %-13s %s\n", name[1], $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  Options of vm, shell, run: KERNEL=stock|debug|<file> CPUS= MEM= PORTS= PEER=e1000e|igb|virtio-net DIR= PACKAGES= ICOUNT=1"
	@echo "  LOAD=0 PCAP=<folder> DEVICE_ARGS=; all of them: scripts/vm/vm --help. Cache: OXNIC_CACHE ($${OXNIC_CACHE:-$${XDG_CACHE_HOME:-~/.cache}/oxnic})"
