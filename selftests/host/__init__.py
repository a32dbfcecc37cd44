# SPDX-License-Identifier: GPL-2.0-only
"""The host's side of the selftests: what to run in which guest, and what came of it."""
