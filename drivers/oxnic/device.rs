// SPDX-License-Identifier: GPL-2.0-only

//! A bound function, PF or VF: what its parts share.
//!
//! [`crate::driver`] makes it in probe and takes it apart in remove; in between it is shared by reference count with the
//! interfaces, the interrupt handler of vector 0 and the tasks. Each part has its own lock; see there. The only lock here is
//! `ports`, which is held only to look at the list.

use crate::{
    clock,
    cmdq::CommandQueue,
    command::{Cause, CommandError, Reply, Request},
    control::ControlVector,
    devlink::Devlink,
    eswitch::Eswitch,
    eventq::EventQueue,
    flow::{
        follow::Follow,
        holder::Holder,
        outside::{Outside, Routes},
        ports::PortNumbers,
        refused::AllRefused, //
    },
    handshake::Rings,
    health::{Fault, Kind, Pulse, Reporters},
    netdev::NetPort,
    parameters::Settings,
    port::Port,
    rate::Rates,
    regs::Registers,
    reset::Recovery,
    sriov::Vfs, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        Mutex,
        SetOnce, //
    },
};
use oxnic_abi::{
    caps::NicCaps,
    pci::{BAR_DOORBELLS, PORTS_MAX},
    regs::device, //
};
use oxnic_kapi::{
    dma::Words,
    irq::{Irq, Vectors},
    mmio::{Doorbells, Presence},
    net::{flow::Sampler, netdev::Registration},
    pci::{Binding, Enabled},
    rcu_table::RcuTable,
    work::Task, //
};

/// Fewest vectors that the driver can work with: one for commands and events, one for queues.
const VECTORS_MIN: u16 = 2;
/// Deepest admin and event ring that the driver makes use of, log2 of entries.
const ADMIN_LOG2: u8 = 5;
const EVENT_LOG2: u8 = 6;
/// Deepest event ring of a PF, where a user asks for it, log2 of entries.
const EVENT_MOST_LOG2: u8 = 10;
/// Fewest entries of a control ring that the interface allows, log2.
pub(crate) const CONTROL_LOG2_MIN: u8 = 4;

/// A function that this driver is bound to.
#[pin_data]
pub(crate) struct Device {
    binding: Binding,
    pub(crate) presence: Arc<Presence>,
    pub(crate) registers: Registers,
    doorbells: Doorbells,
    /// `None` where they could not be had again.
    #[pin]
    vectors: Mutex<Option<Arc<Vectors>>>,
    #[pin]
    pub(crate) commands: CommandQueue,
    #[pin]
    pub(crate) events: EventQueue,
    caps: SetOnce<NicCaps>,
    /// Interrupt of vector 0; `None` before probe has come so far, and after remove.
    #[pin]
    pub(crate) irq: Mutex<Option<Irq<ControlVector>>>,
    #[pin]
    ports: Mutex<KVec<Option<Arc<dyn Port>>>>,
    /// `None` before probe has come so far, and after remove.
    #[pin]
    pub(crate) devlink: Mutex<Option<Devlink>>,
    /// `None` before probe has come so far, and after remove.
    #[pin]
    pub(crate) reporters: Mutex<Option<Arc<Reporters>>>,
    /// Where the device writes dumps to, once there was one.
    #[pin]
    pub(crate) core_buffer: Mutex<Option<Words>>,
    /// What the device tests its DMA with, once it did.
    #[pin]
    pub(crate) self_test_buffer: Mutex<Option<Words>>,
    /// `None` where there is no clock, before probe has come so far, and after remove.
    #[pin]
    pub(crate) clock: Mutex<Option<clock::Registered>>,
    /// Filters for stamps of received frames, see [`oxnic_abi::clock::ClockCaps::filters`]; 0 where there are none, and before the clock.
    pub(crate) stamp_filters: Atomic<u32>,
    /// As the clock.
    #[cfg(CONFIG_HWMON)]
    #[pin]
    pub(crate) sensors: Mutex<Option<crate::sensors::Registered>>,
    #[pin]
    pub(crate) vfs: Mutex<Vfs>,
    /// Of a PF that has one.
    pub(crate) eswitch: Eswitch,
    #[pin]
    pub(crate) rates: Rates,
    #[pin]
    pub(crate) port_numbers: PortNumbers,
    #[pin]
    pub(crate) flow: Mutex<Holder>,
    /// How many counters of rules were taken so far; the next one's generation is a number higher. It outlives the engine, as the device
    /// keeps what counters say when it goes: of the same generation, that would be taken for what a rule of the next engine has seen.
    pub(crate) counters_taken: Atomic<u32>,
    /// Who gets copies that rules have made, by their cookie.
    #[pin]
    pub(crate) samplers: RcuTable<Sampler>,
    pub(crate) follow: Follow,
    /// Rules that software has, and the device has not.
    #[pin]
    pub(crate) refused: AllRefused,
    #[pin]
    pub(crate) routes: Routes,
    /// Held only to put something in or to take it out.
    #[pin]
    pub(crate) outside: Mutex<Outside>,
    #[pin]
    pub(crate) recovery: Recovery,
    pub(crate) pulse: Pulse,
    pub(crate) settings: Settings,
    pub(crate) event_task: Task<Device>,
    pub(crate) reset_task: Task<Device>,
    pub(crate) health_task: Task<Device>,
    /// Gives the flow engine what it has not taken back.
    pub(crate) mend_task: Task<Device>,
    /// Tells users of devlink when something of the flow engine's is missing in the device, and when it is not any more.
    pub(crate) report_task: Task<Device>,
    // Last, so that DMA and the BARs stay until everything above is gone.
    pub(crate) enabled: Enabled,
}

impl Device {
    /// Enables a function, maps it and allocates its control rings. The device knows nothing of them yet.
    ///
    /// # Errors
    ///
    /// What is missing is logged.
    pub(crate) fn new(binding: &Binding) -> Result<Arc<Self>> {
        let enabled = Enabled::new(binding, c"oxnic")
            .inspect_err(|error| dev_err!(binding, "cannot be enabled: {:?}\n", error))?;
        oxnic_kapi::dma::enable_64bit(binding)
            .inspect_err(|error| dev_err!(binding, "no 64-bit DMA: {:?}\n", error))?;
        let presence = Presence::new()?;
        let registers = Registers::discover(binding, &presence)
            .inspect_err(|error| dev_err!(binding, "no usable registers: {:?}\n", error))?;
        let doorbells = Doorbells::map(binding, BAR_DOORBELLS, &presence)?;
        let limits = *registers.limits();
        if limits.admin_log2 < CONTROL_LOG2_MIN || limits.event_log2 < CONTROL_LOG2_MIN {
            dev_err!(
                binding,
                "the device allows no control ring of {} entries\n",
                1 << CONTROL_LOG2_MIN
            );
            return Err(EPROTO);
        }
        let vectors = Vectors::enable(binding, VECTORS_MIN, limits.vectors.max(VECTORS_MIN))
            .inspect_err(|error| {
                dev_err!(
                    binding,
                    "{} MSI-X vectors cannot be had: {:?}\n",
                    VECTORS_MIN,
                    error
                )
            })?;
        let is_vf = binding.is_virtual();
        let binding = binding.clone();
        let commands = CommandQueue::new(&binding, limits.admin_log2.min(ADMIN_LOG2))?;
        let events_most = if is_vf { EVENT_LOG2 } else { EVENT_MOST_LOG2 };
        let events = EventQueue::new(
            &binding,
            limits.event_log2.min(EVENT_LOG2),
            limits.event_log2.min(events_most),
        )?;
        let event_task = Task::new(Self::run_events)?;
        let follow = Follow::new()?;
        let reset_task = Task::new(Self::run_reset)?;
        let health_task = Task::new(Self::run_health)?;
        let mend_task = Task::new(Self::run_mend)?;
        let report_task = Task::new(Self::report_rules)?;
        Arc::pin_init(
            try_pin_init!(Self {
                binding,
                presence,
                registers,
                doorbells,
                vectors <- new_mutex!(Some(vectors)),
                commands <- commands,
                events <- events,
                caps: SetOnce::new(),
                irq <- new_mutex!(None),
                ports <- new_mutex!(KVec::new()),
                devlink <- new_mutex!(None),
                reporters <- new_mutex!(None),
                core_buffer <- new_mutex!(None),
                self_test_buffer <- new_mutex!(None),
                clock <- new_mutex!(None),
                stamp_filters: Atomic::new(0),
                #[cfg(CONFIG_HWMON)]
                sensors <- new_mutex!(None),
                vfs <- new_mutex!(Vfs::new()),
                eswitch: Eswitch::new(),
                rates <- Rates::new(),
                port_numbers <- PortNumbers::new(),
                flow <- new_mutex!(Holder::new()),
                counters_taken: Atomic::new(0),
                samplers <- RcuTable::new(),
                follow,
                refused <- AllRefused::new(),
                routes <- new_mutex!(KVec::new()),
                outside <- new_mutex!(Outside::new()),
                recovery <- Recovery::new(is_vf),
                pulse: Pulse::new(),
                settings: Settings::new(),
                event_task,
                reset_task,
                health_task,
                mend_task,
                report_task,
                enabled,
            }),
            GFP_KERNEL,
        )
    }

    /// Proof that the driver is bound; messages about the function go to it.
    pub(crate) fn binding(&self) -> &Binding {
        &self.binding
    }

    /// What the function offers. All zero until probe has asked.
    pub(crate) fn caps(&self) -> &NicCaps {
        const NOTHING: &NicCaps = &NicCaps::ZERO;
        self.caps.as_ref().unwrap_or(NOTHING)
    }

    /// Whether the function is a VF.
    pub(crate) fn is_vf(&self) -> bool {
        self.binding.is_virtual()
    }

    /// Number of interfaces that the function always has: one for each wire port, or one of a VF.
    pub(crate) fn port_count(&self) -> u16 {
        self.caps().vports.clamp(1, PORTS_MAX.into())
    }

    /// Number of MSI-X vectors, vector 0 included; queues use those from 1 on.
    pub(crate) fn vectors(&self) -> u16 {
        let vectors = self.vectors.lock();
        vectors.as_ref().map_or(0, |vectors| vectors.count())
    }

    /// The vectors, to request one of.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: there is none.
    pub(crate) fn vector_set(&self) -> Result<Arc<Vectors>> {
        self.vectors.lock().clone().ok_or(ENOSPC)
    }

    /// Has another number of vectors, between `least` and `most`. None but vector 0 is in use.
    ///
    /// # Errors
    ///
    /// So many cannot be had. There is none then, but the next try may succeed.
    pub(crate) fn renew_vectors(self: &Arc<Self>, least: u16, most: u16) -> Result {
        if self.vectors() != most {
            self.free_irq();
            let mut vectors = self.vectors.lock();
            // They are not there twice.
            *vectors = None;
            *vectors = Some(Vectors::enable(self.binding(), least, most)?);
        } else if self.irq.lock().is_some() {
            return Ok(());
        }
        self.request_irq()
    }

    /// The doorbells of the kernel's page.
    #[inline]
    pub(crate) fn doorbells(&self) -> &Doorbells {
        &self.doorbells
    }

    /// Whether the device has been found to be gone.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.presence.is_gone()
    }

    /// Whether the device is there; asks it, if the PCI core does not know better.
    pub(crate) fn check_presence(&self) -> bool {
        if self.binding.is_disconnected() {
            self.presence.set_gone();
        }
        self.registers.read(device::STATUS).is_ok()
    }

    /// Runs a command; sleeps until it is answered, at most as long as the device says that commands take. An answer whose
    /// interrupt does not come is found all the same.
    pub(crate) fn command(self: &Arc<Self>, request: &Request<'_>) -> Result<Reply, CommandError> {
        if self.is_gone() {
            return Err(CommandError {
                opcode: request.opcode,
                cause: Cause::Gone,
            });
        }
        let timeout = self.registers.limits().command_ms;
        let result = self
            .commands
            .execute(request, &self.doorbells, timeout, || {
                self.serve_control();
                self.check_presence()
            });
        match &result {
            Err(
                error @ CommandError {
                    cause: Cause::TimedOut,
                    ..
                },
            ) => {
                dev_err!(self.binding, "{} (after {} ms)\n", error, timeout);
                self.request_reset(Fault::with(Kind::Unanswered, error.opcode.0));
            }
            Err(CommandError {
                cause: Cause::Gone, ..
            }) => self.note_gone(),
            _ => {}
        }
        result
    }

    /// Remembers what the function offers, or checks that it has not changed since probe.
    ///
    /// # Errors
    ///
    /// `ESTALE`: the limits or features are others than before a reset, which the interfaces cannot follow.
    pub(crate) fn set_caps(&self, caps: NicCaps) -> Result {
        if self.caps.populate(caps) {
            // Who worked the function before may have left some enabled, a kernel that has started this one for instance: they outlive
            // resets.
            self.vfs.lock().set_left(caps.vfs);
            return Ok(());
        }
        // Privileges are the PF's to give and take; who needs them asks the vport.
        let same = NicCaps {
            privileges: self.caps().privileges,
            ..caps
        } == *self.caps();
        same.then_some(()).ok_or(ESTALE)
    }

    /// Where the control rings are.
    pub(crate) fn rings(&self) -> Rings {
        let (submissions, completions, admin_log2) = self.commands.addresses();
        let (events, event_log2) = self.events.address();
        Rings {
            submissions,
            completions,
            events,
            admin_log2,
            event_log2,
        }
    }

    /// The interface of a vport.
    pub(crate) fn port(&self, vport: u16) -> Option<Arc<dyn Port>> {
        self.ports.lock().get(usize::from(vport)).cloned().flatten()
    }

    /// The interfaces, each as it is when its turn comes.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Arc<dyn Port>> + '_ {
        let count = self.ports.lock().len() as u16;
        (0..count).filter_map(|vport| self.port(vport))
    }

    /// Adds an interface.
    pub(crate) fn add_port(&self, port: Arc<dyn Port>) -> Result {
        let vport = usize::from(port.vport());
        let mut ports = self.ports.lock();
        while ports.len() <= vport {
            ports.push(None, GFP_KERNEL)?;
        }
        let place = ports.get_mut(vport).ok_or(EINVAL)?;
        *place = Some(port);
        Ok(())
    }

    /// Takes the interfaces of so many vports away, and with them their registrations, to be ended together. Those that
    /// there is no memory for are ended here, one by one.
    pub(crate) fn take_ports(&self, vports: Range<u16>) -> KVec<Registration<NetPort>> {
        let mut registrations = KVec::new();
        for vport in vports {
            let port = match self.ports.lock().get_mut(usize::from(vport)) {
                Some(place) => place.take(),
                None => break,
            };
            if let Some(port) = port {
                take_registration(&*port, &mut registrations);
            }
        }
        registrations
    }

    /// Calls `f` with each interface.
    pub(crate) fn for_each_port(&self, f: impl Fn(&dyn Port)) {
        for port in self.ports() {
            f(&*port);
        }
    }

    /// Stops everything that runs by itself.
    pub(crate) fn stop_tasks(&self) {
        self.follow.stop();
        self.health_task.stop();
        self.mend_task.stop();
        self.reset_task.stop();
        self.report_task.stop();
        self.event_task.stop();
    }
}

/// Adds the registration of an interface to others, or ends it where there is no memory for that.
pub(crate) fn take_registration(port: &dyn Port, registrations: &mut KVec<Registration<NetPort>>) {
    if registrations.reserve(1, GFP_KERNEL).is_err() {
        port.unregister();
        return;
    }
    if let Some(registration) = port.take() {
        // There is room.
        let _ = registrations.push(registration, GFP_KERNEL);
    }
}
