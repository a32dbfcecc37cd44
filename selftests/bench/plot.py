# SPDX-License-Identifier: GPL-2.0-only
"""Plots of the measurements as SVG."""

import os
import statistics

COLOURS = {"oxnic": "#c1440e", "virtio-net": "#3b6ea5", "e1000e": "#7a8b99", "igb": "#b3bcc4"}


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "oxnic", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot

    return pyplot


def _bars(rows, title, unit, path):
    """Groups of horizontal bars, one group a kind of traffic, one bar a NIC, the number at its end."""
    pyplot = _pyplot()
    nics = list(dict.fromkeys(nic for found in rows.values() for nic in found))
    height = 0.8 / len(nics)
    figure, axes = pyplot.subplots(figsize=(7.5, 0.5 + len(rows) * (0.25 + 0.17 * len(nics))))
    for place, nic in enumerate(nics):
        ys = [row + place * height for row, found in enumerate(rows.values()) if nic in found]
        values = [found[nic] for found in rows.values() if nic in found]
        bars = axes.barh(ys, values, height * 0.92, label=nic, color=COLOURS.get(nic))
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=7)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(rows))], list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def all_plots(rows, vfs, folder):
    """Writes what there is to show; the paths."""
    one_end = {name: found for name, found in rows.items() if "both ends" not in name}
    two_ends = {name.replace(" (both ends)", ""): found for name, found in rows.items() if "both ends" in name}
    paths = []
    if one_end:
        paths.append(_bars(one_end, "Cost of a packet", "guest instructions (less is better)", os.path.join(folder, "bench-packet.svg")))
    if two_ends:
        title = "Streams and requests, both ends of the wire in one guest"
        paths.append(_bars(two_ends, title, "guest instructions (less is better)", os.path.join(folder, "bench-stream.svg")))
    if vfs:
        paths.append(_vf_plot(vfs, os.path.join(folder, "bench-vfs.svg")))
    return paths


def _vf_plot(vfs, path):
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5, 3))
    counts = [int(count) for count in vfs]
    for number, what, colour in ((0, "create", "#c1440e"), (1, "remove", "#3b6ea5")):
        values = [statistics.median(times[number] for times in vfs[str(count)]) for count in counts]
        axes.plot(counts, values, marker="o", label=what, color=colour)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("VFs")
    axes.set_ylabel("seconds")
    axes.set_title("VFs come and go", loc="left")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
