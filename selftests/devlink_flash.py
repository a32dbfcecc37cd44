#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Firmware: `devlink dev flash` and `devlink dev reload action fw_activate`, what is refused, and what follows from builds that fail."""

# sets: quick
# quick: information whole component self_test_of_flash region overwrite_masks refusals stops power_lost pauses
# alone: pauses
# vm: PORTS=1 MEM=4G

import json
import re
import time

from lib import PF, Control, Stream, Wire, at_least, at_most, case, defer, equal, fails, main, note, ping, setup, sh, true, until
from lib.eswitch import HANDLE, devlink, eswitch, representors, switchdev
from lib.firmware import COMPONENTS, Build, activate, all_of, prepare, versions
from lib.genl import activate_live
from lib.health import Reporter
from lib.pace import slow
from lib.probe import Probe
from lib.region import read, regions
from lib.tc import clsact, filter_add, in_hw

# Seconds without an answer that an activation may cost, live and with a reset.
LIVE, RESET = 0.05, 1.0
# Seconds between two requests of who looks.
PACE = 0.01
wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")
    prepare()


def refused_live():
    """The text of a refusal of a live activation; nothing where it has been done."""
    return activate_live(PF().address)


def has_place(location):
    """Whether the port takes a steering rule at this place."""
    rule = sh(f"ethtool -N {wire.near.name} flow-type udp4 dst-port 9 action 0 loc {location}", check=False)
    if rule.status == 0:
        sh(f"ethtool -N {wire.near.name} delete {location}")
    return rule.status == 0


def places(build):
    """The port has as many places as the build brings, and not one more."""
    equal((has_place(build.rules - 1), has_place(build.rules)), (True, False), f"places {build.rules - 1} and {build.rules}")


def running():
    return Stream(wire.near, wire.far, wire.near4, wire.far4)


@case
def information():
    """The serial number, and versions of each component: as it was made, running, and stored."""
    info = devlink(f"dev info {HANDLE}")["info"][HANDLE]
    true(info.get("serial_number"), f"serial number: {info}")
    shown = versions()
    for kind, found in shown.items():
        for name, version in found.items():
            true(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version or ""), f"{kind} version of {name}: {version!r}")
    equal(shown["stored"], shown["running"], "stored and running versions")


@case
def whole():
    """All components are flashed under traffic, with progress; they run, and bring what they have, after fw_activate."""
    build, before = Build(), versions()
    true(not has_place(build.rules - 1), "the port has the place already")
    stream = running()
    shown = build.flash().text
    for name in COMPONENTS:
        true(f"[{name}] Flashing" in shown and f"[{name}] Verifying" in shown, f"progress of {name}: {shown!r}")
    true(stream.flows(), "traffic while firmware is flashed")
    during = versions()
    equal(during["stored"], all_of(build.version), "stored versions after the flash")
    equal((during["running"], during["fixed"]), (before["running"], before["fixed"]), "running and fixed versions after the flash")
    true(not has_place(build.rules - 1), "the port has the place before activation")
    rule = sh(f"ethtool -N {wire.near.name} flow-type udp4 dst-port 99 action 0 loc 5")
    equal(rule.status, 0, "a steering rule")
    start = time.monotonic()
    activate()
    note(f"fw_activate took {time.monotonic() - start:.2f} s")
    note(f"traffic {stream.resumes():.2f} s afterwards")
    after = versions()
    equal((after["running"], after["stored"]), (all_of(build.version), all_of(build.version)), "versions after activation")
    places(build)
    true("Filter: 5" in sh(f"ethtool -n {wire.near.name}").out, "the steering rule is still there")
    sh(f"ethtool -N {wire.near.name} delete 5")
    stats = json.loads(sh(f"devlink -js dev show {HANDLE}").out)["dev"][HANDLE]["stats"]["reload"]
    at_least(sum(stats["fw_activate"].values()), 1, f"reload statistics ({stats})")


def self_test():
    """What `devlink dev selftests run` says of flash."""
    shown = devlink(f"dev selftests run {HANDLE} id flash")["selftests"][HANDLE]["flash"]
    return shown["status"] if isinstance(shown, dict) else shown


@case
def self_test_of_flash():
    """`devlink dev selftests` reads what is stored again: it passes until a bit goes bad, says which slot, and passes with a new build."""
    true("flash" in json.dumps(devlink(f"dev selftests show {HANDLE}")), "the test is shown")
    equal(self_test(), "passed", "the test of what is stored")
    Build().flash()
    activate()
    equal(self_test(), "passed", "the test of a new build")
    before = versions()
    control.do("flash-spoil", component="pipeline")
    sh("dmesg -C")
    equal(self_test(), "failed", "the test after a bit went bad")
    said = sh("dmesg").out
    true("fw.app: what is stored is damaged" in said and "fw.mgmt: what" not in said, f"what the log says: {said!r}")
    equal(versions(), before, "versions afterwards")
    ping(wire.far4)
    control.chaos("nic.fail-command=1")
    equal(self_test(), "failed", "a test that cannot be made")
    control.chaos("off")
    Build().flash()
    activate()
    equal(self_test(), "passed", "the test of the next build")


def stored(where):
    """What the device keeps of its slots, versions among it: the start of its flash, or of a snapshot's."""
    return read("flash", where, 0, 8192)


@case
def region():
    """The region `flash` is what is stored: an image is in it once it was flashed, directly and in a snapshot, which stays as it was."""
    length = regions()["flash"]["size"]
    before, build = stored(None), Build("--components pipeline")
    sh(f"devlink region new {HANDLE}/flash snapshot 3")
    defer(sh, f"devlink region del {HANDLE}/flash snapshot 3")
    build.flash()
    after, version = stored(None), build.version.encode()
    true(version not in before, "the version is in flash before the build is")
    true(version in after, "the version is in flash")
    equal(stored(3), before, "the snapshot of before")
    control.chaos("nic.fail-command=1")
    fails(sh(f"devlink region read {HANDLE}/flash address 0 length 8", check=False), "reading that the device refuses", "flash: ")
    control.chaos("off")
    equal(len(read("flash", None, length - 5, 5)), 5, "the last bytes")
    fails(sh(f"devlink region read {HANDLE}/flash address {length + 1} length 1", check=False), "reading beyond flash")
    equal(versions()["stored"]["fw.app"], build.version, "stored version")
    activate()


@case
def overwrite_masks():
    """What asks for settings or identifiers to be overwritten is refused with that reason, since flash has none, and nothing is stored."""
    build, before = Build(), versions()
    for mask in ("settings", "identifiers"):
        refused = sh(f"devlink dev flash {HANDLE} file {build.file} overwrite {mask}", check=False)
        fails(refused, f"overwriting {mask}", "overwrite settings are not supported")
    equal(versions(), before, "versions afterwards")


@case
def component():
    """One component of a package is flashed and activated, and the others stay; one that there is not is refused."""
    build, before = Build(), versions()
    build.flash("fw.app")
    wanted = {**before["running"], "fw.app": build.version}
    equal(versions()["stored"], wanted, "stored versions")
    activate()
    equal(versions()["running"], wanted, "running versions")
    places(build)
    fails(build.flash("fw.nonsense", check=False), "a component that there is not")
    alone = Build("--components boot")
    fails(alone.flash("fw.app", check=False), "a package without the component", "does not have this component")
    equal(versions()["stored"], wanted, "stored versions after what was refused")


@case
def live():
    """fw_activate with limit no_reset: no reset, no packet dropped, rules stay; refused for what cannot."""
    dead = Build()
    dead.flash()
    refusal = refused_live()
    true("cannot be activated without a reset" in refusal, f"what needs a reset: {refusal!r}")
    build = Build(live=True)
    build.flash()
    stream, generation = running(), control.function()["generation"]
    before = [link.stats()["rx"] for link in (wire.near, wire.far)]
    equal(refused_live(), "", "refusal of a live activation")
    true(stream.flows(), "traffic after a live activation")
    after = [link.stats()["rx"] for link in (wire.near, wire.far)]
    for link, old, new in zip(("near", "far"), before, after, strict=True):
        equal(new["dropped"] - old["dropped"], 0, f"packets dropped at the {link} end")
    equal(control.function()["generation"], generation, "generation of the function")
    equal(versions()["running"], all_of(build.version), "running versions")
    places(build)


def pause(live):
    """Seconds without an answer around an activation, and packets lost meanwhile."""
    build = Build(live=live)
    build.flash()
    probe = Probe(wire.far4, PACE)
    begin = time.time()
    equal(refused_live() if live else activate().status, "" if live else 0, "what the activation says")
    end = time.time()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached")
    equal(versions()["running"], all_of(build.version), "running versions")
    return probe.gap(begin, end), probe.lost()


@case
def pauses():
    """An activation is at most 50 ms without packets live, and loses none, and at most 1 s with a reset; the best of three, as the guest has pauses of its own."""
    for live, most in ((True, LIVE), (False, RESET)):
        found = [pause(live) for _ in range(3)]
        shown = ", ".join(f"{1000 * gap:.0f} ms ({lost} lost)" for gap, lost in found)
        note(f"without an answer {'live' if live else 'with a reset'}: {shown}")
        gap, _ = min(found)
        # What goes to and fro one after the other is not seen to pause for less than its own pace.
        at_most(gap, slow(most) + PACE, f"seconds without an answer{' live' if live else ''}")
        if live:
            equal(min(lost for _, lost in found), 0, "packets lost by a live activation")


@case
def nothing_waits():
    """fw_activate is refused where nothing was flashed since."""
    if versions()["stored"] != versions()["running"]:
        activate()
    fails(activate(check=False), "nothing to activate", "no firmware waits for activation")
    refusal = refused_live()
    true("no firmware waits for activation" in refusal, f"nothing to activate live: {refusal!r}")


@case
def refusals():
    """Each thing that can be wrong with a package or an image has its own message, and changes nothing."""
    Build.least += 5
    build = Build()
    build.flash()
    activate()
    before = versions()
    good = Build().bytes()
    header = good[17] | good[18] << 8

    def spoilt(at, value=1):
        data = bytearray(good)
        data[at] ^= value
        return Build().put(data)

    for package, pattern in (
        (Build(f"--security {Build.least - 1}"), "downgrade below the security number"),
        (Build("--image-device 77"), "firmware for another device"),
        (Build("--device 77"), "not for this device"),
        (Build("--key none"), "not signed"),
        (Build("--key stranger"), "signature is wrong or not of a trusted key"),
        (Build("--content 1048576"), "too large"),
        (Build("--cut 10"), "firmware is truncated"),
        (Build("--flip 40"), "signature is wrong"),
        (Build("--flip 5000"), "content of the firmware is damaged"),
        (Build("--flip 0"), "not a firmware image"),
        (spoilt(0), "no PLDM firmware package"),
        (spoilt(16), "unknown format"),
        (spoilt(32, 8), "more components than its records have bits"),
        (spoilt(40), "checksum of its header is wrong"),
        (spoilt(header + 9000), "content of the firmware is damaged"),
        (Build().put(good[:-100]), "truncated"),
        (Build().put(good[:20]), "truncated"),
        (Build().put(b"nothing of that kind"), "no PLDM firmware package"),
    ):
        fails(package.flash(check=False), pattern, pattern)
        equal(versions(), before, f"versions after {pattern!r}")
    fails(sh(f"devlink dev flash {HANDLE} file absent.pldm", check=False), "a file that there is not")
    fails(activate(check=False), "nothing of it is activated", "no firmware waits for activation")


def rolled_back(behaviour, words, live=False):
    before, stream = versions(), running()
    build = Build(f"--behaviour {behaviour} --components pipeline", live=live)
    build.flash()
    start = time.monotonic()
    refusal = refused_live() if live else activate(check=False).text
    true(words in refusal, f"activation of what does {behaviour}: {refusal!r}")
    note(f"rolled back after {time.monotonic() - start:.2f} s")
    stream.resumes()
    now = versions()
    equal((now["running"], now["stored"]), (before["running"], before["running"]), "versions after the roll-back")
    true(not has_place(build.rules - 1), "the build's place is there after the roll-back")


@case
def fails_its_self_test():
    """A build that fails its self-test does not run; the one before does, and the reason is told."""
    rolled_back("self-test", "failed its self-test")


@case
def does_not_get_ready():
    """A build that hangs makes way for the one before within the time of a reset."""
    rolled_back("hang", "did not get ready in time")


@case
def stops():
    """A build that stops soon after makes way for the one before, by the driver's own recovery."""
    rolled_back("crash", "stopped while on trial")


@case
def stops_where_nobody_recovers():
    """The same where the user has turned recovery off: who activates the build brings the function back, and no reporter says that it is down."""
    fatal = Reporter("fw_fatal")
    fatal.set(auto_recover=False)
    rolled_back("crash", "stopped while on trial")
    time.sleep(2)
    equal(fatal.state(), "healthy", "state of a function that works")


@case
def live_and_unhealthy():
    """A build that fails its self-test is refused live, and nothing rests."""
    generation = control.function()["generation"]
    rolled_back("self-test", "failed its self-test", live=True)
    equal(control.function()["generation"], generation, "generation of the function")


def caught():
    """`devlink dev flash` in the background, of which the device has some blocks and not all; none, if it was too fast."""
    child = Build("--content 1040000").begin()
    while child.poll() is None:
        if control.do("stats")["nic"]["firmware"]["management"]["written"]:
            return child
    return None


def cut_short():
    """The versions before a flash that a reset has ended; none, if the flash was too fast for that.

    What such a flash has stored must not wait: the next one would be written over it."""
    before, child = versions(), caught()
    if child is not None:
        PF().write("reset", 1)
        error = child.communicate(timeout=slow(60))[1]
        note(f"flash during a reset: status {child.returncode}, {error.strip()!r}")
        if child.returncode:
            return before
    activate()
    return None


@case
def interrupted():
    """Flash that fails, damage on the way, a silent command, a reset, power that is lost: the device is as before, and takes the next."""
    before = versions()
    for spec, pattern in (
        ("nic.firmware-write=1", "flash memory error"),
        ("nic.firmware-write=7", "flash memory error"),
        ("nic.firmware-corrupt=5", "content of the firmware is damaged"),
        ("nic.fail-command=4", "injected failure"),
    ):
        control.chaos(spec)
        fails(Build().flash(check=False), spec, pattern)
        control.chaos("off")
        equal(versions(), before, f"versions after {spec}")
    before = until(cut_short, "a flash that a reset has ended", 120)
    equal(versions(), before, "versions after a flash that a reset has ended")
    build = Build()
    build.flash()
    activate()
    equal(versions()["running"], all_of(build.version), "running versions after all of that")


@case
def nothing_is_lost():
    """Rules, VFs, representors and the mode of the eswitch are there after an activation with a reset."""
    links = switchdev(2)
    clsact(*links)
    for number in range(1, 9):
        filter_add(links[0], (f"pref {number} protocol ip", f"dst_ip 10.9.0.{number} action drop"))
    before = representors(), PF().count(), eswitch()
    for is_live in (True, False):
        build = Build(live=True)
        build.flash()
        if is_live:
            equal(refused_live(), "", "refusal of a live activation")
        else:
            activate()
        equal((representors(), PF().count(), eswitch()), before, "representors, VFs, eswitch")
        for number in range(1, 9):
            true(in_hw(links[0], number), f"rule {number} is in hardware")
        rules = control.do("stats")["nic"]["flow"]["objects"]["rules"]
        at_least(rules, 8, "rules in the device")
        equal(versions()["running"], all_of(build.version), "running versions")


@case
def vf_has_none():
    """A VF has neither firmware to flash nor to activate."""
    vf = PF().with_vfs(1)[0]
    build = Build()
    handle = f"pci/{vf.address}"
    until(lambda: handle in devlink("dev show")["dev"], "the VF's instance")
    fails(sh(f"devlink dev flash {handle} file {build.file}", check=False), "flash of a VF")
    fails(sh(f"devlink dev reload {handle} action fw_activate", check=False), "activation by a VF")


@case
def power_lost():
    """What was flashed runs after the card was pulled out and plugged in; what was half flashed does not."""
    build = Build()
    build.flash()
    control.chaos("nic.firmware-write=9")
    Build("--components pipeline").flash(check=False)
    control.chaos("off")
    stored = versions()["stored"]
    control.do("remove")
    until(lambda: not PF().exists(), "the function is gone", 60)
    control.do("insert")
    until(lambda: PF().exists() and PF().netdevs(), "the function is back", 60)
    until(lambda: versions()["running"] == stored, "what was stored runs", 30)


@case
def unloaded():
    """What was flashed is stored without a driver, and is activated by the next one."""
    build = Build()
    build.flash()
    PF().unbind()
    PF().bind("oxnic")
    until(lambda: PF().netdevs(), "the interface is back")
    equal(versions()["stored"], all_of(build.version), "stored versions")
    activate()
    equal(versions()["running"], all_of(build.version), "running versions")


@case
def repairs():
    """A PF whose firmware is a bad build starts without interfaces, and with them once another build was flashed and activated."""
    defer(control.do, "broken", part="pipeline", on=False)
    control.do("broken", part="pipeline", on=True)
    PF().unbind()
    PF().bind("oxnic")
    equal((PF().driver, PF().netdevs()), ("oxnic", []), "driver and netdevs of a PF whose firmware does not work")
    before = versions()["running"]
    fails(sh(f"devlink dev reload {HANDLE}", check=False), "a reload with the same firmware", "could not be brought back")
    build = Build("--components pipeline")
    build.flash()
    activate()
    equal(versions()["running"], {**before, "fw.app": build.version}, "running versions")
    wire.renew()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached")
    places(build)


main()
