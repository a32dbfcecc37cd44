# SPDX-License-Identifier: GPL-2.0-only
"""The boot harness: guests with the reference device, and scripts run in them. The entry point is the file vm."""
