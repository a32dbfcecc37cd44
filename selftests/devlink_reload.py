#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`devlink dev reload action driver_reinit`: interfaces come anew, what belongs to the function stays; failures and refusals."""

# sets: quick
# quick: again eswitch_stays fails_and_is_tried_again
# vm: PORTS=1 MEM=4G

from lib import PF, Control, Namespace, case, defer, equal, fails, main, setup, sh, true, until
from lib.eswitch import HANDLE, devlink, eswitch, representor, representors, switchdev
from lib.health import Reporter
from lib.tc import clsact, filter_add, in_hw

control = None


@setup
def topology():
    global control
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")


def reload(handle=HANDLE, words="action driver_reinit", check=True):
    return sh(f"devlink dev reload {handle} {words}", check=check, seconds=120)


def ports():
    """What devlink shows of the PF's ports, without what belongs to the interfaces."""
    shown = devlink("port show")["port"]
    mine = {name: port for name, port in shown.items() if name.startswith(HANDLE + "/")}
    return {name: {key: port.get(key) for key in ("flavour", "port", "pfnum", "vfnum")} for name, port in mine.items()}


def counted():
    """Reloads of this kind that devlink has counted, with whatever limit."""
    return sum(devlink(f"-s dev show {HANDLE}")["dev"][HANDLE]["stats"]["reload"]["driver_reinit"].values())


@case
def again():
    """Five times: the interface is another one, the port the same, the function was reset, and the reload is counted."""
    for _ in range(5):
        before, index, generation, count = ports(), PF().link().show()["ifindex"], control.function()["generation"], counted()
        reload()
        equal(ports(), before, "ports after the reload")
        true(PF().link().show()["ifindex"] != index, "the interface is a new one")
        true(control.function()["generation"] != generation, "the function was reset")
        equal(counted(), count + 1, "reloads that devlink has counted")
    PF().link().up()
    PF().link().wait_carrier()


@case
def without_words():
    """`devlink dev reload` alone is driver_reinit."""
    count = counted()
    reload(words="")
    equal(counted(), count + 1, "reloads that devlink has counted")


@case
def eswitch_stays():
    """VFs, the mode of the eswitch, and representors are there afterwards; rules can be laid as before."""
    switchdev(2)
    before = PF().count(), eswitch(), sorted(representors()), ports()
    for _ in range(2):
        reload()
        equal((PF().count(), eswitch(), sorted(representors()), ports()), before, "VFs, eswitch, representors, ports")
    for netdev in representors().values():
        sh(f"ip link set {netdev} up")
    links = [representor(vf) for vf in range(2)]
    clsact(*links)
    filter_add(links[0], ("pref 1 protocol ip", "dst_ip 10.9.0.1 action drop"))
    true(in_hw(links[0], 1), "a rule is in hardware")


@case
def rules_go_with_their_interfaces():
    """Rules on interfaces that go are gone in the device, too."""
    links = switchdev(2)
    clsact(*links)
    for number in range(1, 6):
        filter_add(links[0], (f"pref {number} protocol ip", f"dst_ip 10.9.0.{number} action drop"))
    used = control.do("stats")["nic"]["flow"]["objects"]["rules"]
    reload()
    until(lambda: control.do("stats")["nic"]["flow"]["objects"]["rules"] <= used - 5, "the device has the rules no more")


@case
def of_a_vf():
    """A VF can be reloaded by itself."""
    vf = PF().with_vfs(1)[0]
    handle = f"pci/{vf.address}"
    until(lambda: handle in devlink("dev show")["dev"], "the VF's instance")
    index = vf.link().show()["ifindex"]
    reload(handle)
    true(vf.link().show()["ifindex"] != index, "the VF's interface is a new one")
    vf.link().up()
    vf.link().wait_carrier()


@case
def fails_and_is_tried_again():
    """A reload during which the device refuses everything fails, and leaves a function that the next one starts."""
    control.chaos("nic.fail-command=1+")
    fails(reload(check=False), "a reload that the device refuses", "driver_reinit: the function does not start")
    equal(PF().netdevs(), [], "interfaces after a reload that has failed")
    control.chaos("off")
    reload()
    PF().link().up()
    PF().link().wait_carrier()


@case
def gone_and_tried_again():
    """A reload during which the function is gone fails, and is shown; the next one finds it where it is back."""
    fatal = Reporter("fw_fatal")
    control.chaos("nic.register-ones=1+")
    fails(reload(check=False), "a reload of a function that is gone", "driver_reinit: ")
    if not PF().netdevs():
        equal(fatal.state(), "error", "state of a function that has not started")
    control.chaos("off")
    until(lambda: reload(check=False).status == 0, "the function is reloaded", 30)
    equal(fatal.state(), "healthy", "state of a function that has started")
    PF().link().up()
    PF().link().wait_carrier()


@case
def namespace():
    """Another network namespace is refused, and the interface stays."""
    there, index = Namespace("elsewhere"), PF().link().show()["ifindex"]
    fails(reload(words=f"netns {there.name}", check=False), "a reload into a namespace", "netns")
    equal(PF().link().show()["ifindex"], index, "index of the interface")


main()
