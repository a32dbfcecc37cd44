// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The admin queue: headers, opcodes, results.
//!
//! The driver puts 64-byte submissions into the submission ring and rings [`crate::doorbell::DoorbellKind::ADMIN`]; the
//! device answers each with one 32-byte completion in the completion ring, in any order, and raises vector 0. At most as many
//! commands may be outstanding as the ring has entries; their `id`s differ.
//!
//! A command that fails changes nothing. What a command reads beyond its 40 bytes of parameters, and what it returns beyond
//! 16 bytes, is in one buffer in host memory, at most [`BUFFER_MAX`] bytes. A request shorter than the structure that this
//! version defines is an error; a longer one is taken if the surplus is zero. An answer is cut to the buffer's length, and
//! the completion says how long the whole would be.

use crate::{open_enum, wire};

/// The longest buffer of a command in bytes.
pub const BUFFER_MAX: u32 = 65536;
/// Where in a submission the parameters start, in bytes.
pub const PARAMETERS_OFFSET: usize = 24;
/// Entries of the admin ring: fewest, as log2.
pub const ADMIN_LOG2_MIN: u8 = 4;

wire! {
    /// A submission.
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +------------------+------------------+------------------+-----------------+
    /// |     function     |      vport       |        id        |     opcode      | 0
    /// +------------------+------------------+------------------+-----------------+
    /// |                                  buffer                                   | 8
    /// +------------------+------------------+-------------------------------------+
    /// |     reserved     |      flags       |            buffer_length            | 16
    /// +------------------+------------------+-------------------------------------+
    /// |                              parameters (40 bytes)                        | 24
    /// +---------------------------------------------------------------------------+
    /// ```
    pub struct Submission: 8 {
        /// What to do.
        0: opcode: Opcode,
        /// Chosen by the driver, comes back in the completion.
        2: id: u16,
        /// Vport of the function that the command is about, from 0; 0 where the command names none.
        4: vport: u16,
        /// 0: the sender itself. n: VF n-1, where the sender is its PF and the command allows it.
        6: function: u16,
        /// Bus address of the buffer, aligned to 8; 0 where there is none.
        8: buffer: u64,
        /// Length of the buffer in bytes.
        16: buffer_length: u32,
        /// Reserved, zero.
        20: flags: u16,
        /// As the opcode says.
        24: parameters: [u64; 5],
    }
}

wire! {
    /// A completion. The generation bit is in the last word, as in [`crate::ring`].
    ///
    /// ```text
    ///  63              48 47              32 31              16 15               0
    /// +---------------------------------------------------------------------------+
    /// |                              result (16 bytes)                            | 0
    /// +-------------------------------------+------------------+-----------------+
    /// |              reserved               |      length      |    qualifier    | 16
    /// +------------------+------------------+------------------+-----------------+
    /// |      flags       |      offset      |      status      |       id        | 24
    /// +------------------+------------------+------------------+-----------------+
    /// ```
    pub struct Completion: 4 {
        /// As the opcode says.
        0: result: [u64; 2],
        /// With an error: why.
        16: qualifier: Qualifier,
        /// Length of the whole answer in units of 8 bytes, rounded up; may be more than the buffer held.
        18: length: u16,
        /// Of the submission.
        24: id: u16,
        /// Success or the kind of error.
        26: status: Status,
        /// With an error about a field: its byte offset. Below 64 it counts in the submission; from [`OFFSET_BUFFER`] on it
        /// is in the buffer, less that much.
        28: offset: u16,
        /// [`crate::ring::completion_flags::GENERATION`].
        30: flags: u16,
    }
}

/// Added to the offsets in a [`Completion`] that are in the buffer.
pub const OFFSET_BUFFER: u16 = 64;

open_enum! {
    /// What a command does. Numbers are grouped by subject; gaps are room for what comes.
    pub enum Opcode: u16 {
        /// Nothing; succeeds.
        NOP = 0x00: "nop",
        /// Buffer: answers the list of 16-bit capability ids, ends with 0. See [`crate::caps::CapabilityId`].
        CAP_LIST = 0x01: "list capabilities",
        /// [`crate::caps::CapGet`]; answers the capability.
        CAP_GET = 0x02: "get capability",
        /// Reserved: the driver lowers a limit.
        CAP_SET = 0x03: "set capability",
        /// Buffer: answers [`crate::vport::PortEntry`] for each port of the eswitch. PF only.
        ESWITCH_PORTS = 0x04: "list eswitch ports",
        /// [`crate::eswitch::EswitchConfig`]: how frames are forwarded. PF only.
        ESWITCH_SET = 0x05: "set eswitch mode",
        /// Answers [`crate::eswitch::EswitchInfo`]. PF only.
        ESWITCH_QUERY = 0x06: "query eswitch mode",

        /// [`crate::queue::CqCreate`].
        CQ_CREATE = 0x10: "create completion queue",
        /// [`crate::queue::QueueId`].
        CQ_DESTROY = 0x11: "destroy completion queue",
        /// [`crate::queue::CqModerate`].
        CQ_MODERATE = 0x12: "set interrupt moderation",
        /// [`crate::queue::TxCreate`].
        TX_CREATE = 0x14: "create transmit queue",
        /// [`crate::queue::QueueId`]. Completes when no DMA for the queue is under way.
        TX_DESTROY = 0x15: "destroy transmit queue",
        /// [`crate::queue::RxCreate`].
        RX_CREATE = 0x18: "create receive queue",
        /// [`crate::queue::QueueId`]. Completes when no DMA for the queue is under way.
        RX_DESTROY = 0x19: "destroy receive queue",

        /// Answers [`crate::vport::VportInfo`].
        VPORT_QUERY = 0x20: "query vport",
        /// [`crate::vport::VportConfig`]: the fields named in its mask.
        VPORT_SET = 0x21: "configure vport",
        /// Buffer: list of [`crate::vport::MacEntry`], replaces the list of further addresses that the vport receives.
        MAC_LIST = 0x22: "set address list",
        /// Buffer: 512 bytes, bit n is VLAN n; replaces the set of VLANs that the vport receives.
        VLAN_SET = 0x23: "set VLAN filter",
        /// [`crate::rss::RssConfig`] in the buffer.
        RSS_SET = 0x28: "set receive hashing",
        /// [`crate::rss::RssId`]; answers [`crate::rss::RssConfig`].
        RSS_GET = 0x29: "get receive hashing",
        /// [`crate::rss::RssId`]; the context 0 cannot be destroyed.
        RSS_DESTROY = 0x2a: "destroy receive hashing context",
        /// Buffer: [`crate::steering::SteeringRule`]. Adds or replaces the rule at its location.
        STEERING_SET = 0x2c: "set steering rule",
        /// [`crate::steering::SteeringId`].
        STEERING_CLEAR = 0x2d: "clear steering rule",

        /// Answers [`crate::stats::VportStats`].
        VPORT_STATS = 0x30: "query vport statistics",
        /// [`crate::stats::QueueStatsGet`]; answers [`crate::stats::QueueStats`].
        QUEUE_STATS = 0x31: "query queue statistics",
        /// [`crate::stats::StatsDma`]: the device keeps the vport's statistics up to date in host memory. A PF may name a VF
        /// by `function`, for those of its vport.
        STATS_DMA = 0x32: "statistics by DMA",

        /// Answers [`crate::port::PortInfo`] of the wire port below the vport.
        PORT_QUERY = 0x40: "query port",
        /// [`crate::port::PortConfig`]: the fields named in its mask. PF only.
        PORT_SET = 0x41: "configure port",
        /// Answers [`crate::stats::PortStats`] of the wire port below the vport.
        PORT_STATS = 0x42: "query port statistics",
        /// [`crate::port::PortIdentify`]: blinks.
        PORT_IDENTIFY = 0x43: "identify port",
        /// [`crate::port::ModuleRead`]; answers so many bytes of the memory of what is plugged into the wire port. PF only.
        PORT_MODULE = 0x44: "read memory of module",

        /// [`crate::vf::VfRange`]: prepares so many VFs; PF only. Their settings are the defaults.
        VF_ENABLE = 0x48: "enable VFs",
        /// [`crate::vf::VfRange`]; PF only.
        VF_DISABLE = 0x49: "disable VFs",
        /// `function` names the VF; buffer: [`crate::vf::VfConfig`], the fields named in its mask. PF only.
        VF_SET = 0x4a: "configure VF",
        /// `function` names the VF; answers [`crate::vf::VfInfo`]. PF only.
        VF_QUERY = 0x4b: "query VF",
        /// `function` names the VF; answers [`crate::stats::VportStats`]. PF only.
        VF_STATS = 0x4c: "query VF statistics",
        /// Buffer: [`crate::rate::RateConfig`], the fields named in its mask; makes a node that is not there. PF only.
        RATE_SET = 0x4d: "set rate",
        /// [`crate::rate::RateId`]: a node goes, a leaf has no rates any more. PF only.
        RATE_DESTROY = 0x4e: "clear rate",

        /// [`crate::clock::ClockConfig`]: the fields named in its mask. PF only.
        CLOCK_SET = 0x50: "set clock",
        /// Answers [`crate::clock::ClockInfo`].
        CLOCK_QUERY = 0x51: "query clock",
        /// Buffer: answers [`crate::sensor::SensorEntry`] for each sensor of the device. PF only.
        SENSORS = 0x58: "read sensors",

        /// [`crate::flow::table::TableSet`]: makes or changes a table. PF only, as are all commands of the flow engine.
        TABLE_SET = 0x60: "set flow table",
        /// [`crate::flow::FlowId`].
        TABLE_DESTROY = 0x61: "destroy flow table",
        /// [`crate::flow::port::PortTable`]: binds a port to a table.
        PORT_TABLE = 0x62: "bind port to flow table",
        /// [`crate::flow::template::TemplateSet`]; buffer: list of [`crate::flow::template::FlowCondition`], masks of options.
        MATCH_TEMPLATE_SET = 0x64: "create match template",
        /// [`crate::flow::FlowId`].
        MATCH_TEMPLATE_DESTROY = 0x65: "destroy match template",
        /// [`crate::flow::template::TemplateSet`]; buffer: list of [`crate::flow::action::FlowAction`].
        ACTION_TEMPLATE_SET = 0x66: "create action template",
        /// [`crate::flow::FlowId`].
        ACTION_TEMPLATE_DESTROY = 0x67: "destroy action template",
        /// [`crate::flow::encap::EncapSet`]; buffer: headers.
        ENCAP_SET = 0x68: "set tunnel headers",
        /// [`crate::flow::FlowId`].
        ENCAP_DESTROY = 0x69: "destroy tunnel headers",
        /// [`crate::flow::meter::MeterSet`].
        METER_SET = 0x6a: "set meter",
        /// [`crate::flow::FlowId`].
        METER_DESTROY = 0x6b: "destroy meter",
        /// [`crate::flow::FlowId`]; answers [`crate::flow::meter::MeterStats`].
        METER_QUERY = 0x6c: "query meter",
        /// [`crate::flow::tunnel::TunnelPort`]: which UDP ports carry tunnels.
        TUNNEL_PORT = 0x6e: "set tunnel port",
        /// [`crate::flow::counter::CounterMemory`]; buffer: list of 64-bit bus addresses.
        COUNTER_MEMORY = 0x70: "set counter memory",
        /// [`crate::flow::queue::FlowQueueCreate`].
        FLOW_QUEUE_CREATE = 0x74: "create flow queue",
        /// [`crate::queue::QueueId`]. Completes when no DMA for the queue is under way.
        FLOW_QUEUE_DESTROY = 0x75: "destroy flow queue",
        /// [`crate::flow::info::FlowInfoGet`]; answers [`crate::flow::info::FlowInfo`].
        FLOW_INFO = 0x78: "query use of flow engine",
        /// Answers [`crate::flow::info::FlowStats`].
        FLOW_STATS = 0x79: "query flow statistics",

        /// [`crate::firmware::FirmwareId`]; answers [`crate::firmware::FirmwareInfo`]. PF only, as are all commands about firmware.
        FIRMWARE_QUERY = 0x90: "query firmware",
        /// [`crate::firmware::FirmwareBegin`]: an update begins; one that is under way for the component is forgotten.
        FIRMWARE_BEGIN = 0x91: "begin firmware update",
        /// [`crate::firmware::FirmwareWrite`]; buffer: the block.
        FIRMWARE_WRITE = 0x92: "write firmware",
        /// [`crate::firmware::FirmwareId`]: the image is complete; checks it.
        FIRMWARE_VERIFY = 0x93: "verify firmware",
        /// [`crate::firmware::FirmwareSet`]: what was verified is what is started next, all of it or nothing.
        FIRMWARE_COMMIT = 0x94: "commit firmware",
        /// [`crate::firmware::FirmwareSet`]: updates that are under way are forgotten.
        FIRMWARE_ABORT = 0x95: "abort firmware update",
        /// [`crate::firmware::FirmwareActivate`]: when what was committed is started.
        FIRMWARE_ACTIVATE = 0x96: "activate firmware",
        /// [`crate::firmware::FirmwareId`]: reads again what is stored; answers [`crate::firmware::FirmwareCheck`].
        FIRMWARE_CHECK = 0x97: "check stored firmware",
        /// [`crate::firmware::FirmwareRead`]: answers a part of flash as it is.
        FIRMWARE_READ = 0x98: "read flash",

        // 0x60 to 0x8f: flow objects. 0x90 to 0x9f: firmware. 0xa0 to 0xaf: health. 0xb0 to 0xdf: RDMA.
        // 0xe0 to 0xef: migration and debugging. 0xf000 and up: the vendor's own.
    }
}

open_enum! {
    /// Success or the kind of error; values are those of Linux errno, which they mean.
    pub enum Status: u16 {
        /// Done.
        OK = 0: "success",
        /// Not privileged.
        EPERM = 1: "not permitted",
        /// No such object.
        ENOENT = 2: "no such object",
        /// The device failed.
        EIO = 5: "device error",
        /// Try again.
        EAGAIN = 11: "try again",
        /// DMA fault.
        EFAULT = 14: "DMA fault",
        /// Still referenced, or in use.
        EBUSY = 16: "busy",
        /// Exists already.
        EEXIST = 17: "exists already",
        /// A value is wrong.
        EINVAL = 22: "invalid",
        /// A limit is reached.
        ENOSPC = 28: "no space",
        /// Not supported.
        EOPNOTSUPP = 95: "not supported",
    }
}

open_enum! {
    /// Why a command failed.
    pub enum Qualifier: u16 {
        /// Nothing more to say.
        NONE = 0: "no details",
        /// The opcode is unknown.
        OPCODE = 1: "unknown opcode",
        /// The field at `offset` holds a value that is not allowed.
        FIELD = 2: "value not allowed",
        /// The reserved field at `offset` is not zero.
        RESERVED = 3: "reserved field not zero",
        /// The buffer is too short or not aligned.
        BUFFER = 4: "buffer too short or not aligned",
        /// The buffer cannot be reached by DMA.
        DMA = 5: "DMA fault",
        /// The field at `offset` is over the limit that the device publishes.
        LIMIT = 6: "over the device's limit",
        /// The object named at `offset` does not exist.
        OBJECT = 7: "no such object",
        /// The object is referenced by another.
        REFERENCED = 8: "still referenced",
        /// The function is not allowed to do this.
        PRIVILEGE = 9: "function not privileged",
        /// Not in this state.
        STATE = 10: "not in this state",
        /// The address was set by the PF and may not be changed.
        MAC_FIXED = 11: "address set by the PF",
        /// The value conflicts with another object.
        CONFLICT = 12: "conflicts with another setting",
        /// The failure was injected for a test.
        INJECTED = 13: "injected failure",
        /// What the field at `offset` asks for is not among the device's capabilities.
        UNSUPPORTED = 14: "not among the device's capabilities",
        /// The image has no head that the device knows.
        IMAGE_FORMAT = 15: "not a firmware image of a known format",
        /// The image is for another device.
        IMAGE_DEVICE = 16: "firmware for another device",
        /// The image is of another component than was said.
        IMAGE_COMPONENT = 17: "firmware of another component",
        /// The image's security number is less than the device allows.
        IMAGE_DOWNGRADE = 18: "downgrade below the security number of the device",
        /// The image has no signature.
        IMAGE_UNSIGNED = 19: "firmware is not signed",
        /// The signature is wrong, or that of a key that the device does not trust.
        IMAGE_SIGNATURE = 20: "signature is wrong or not of a trusted key",
        /// The image is longer than its slot.
        IMAGE_OVERSIZED = 21: "firmware is too large",
        /// The image is shorter than its head says.
        IMAGE_TRUNCATED = 22: "firmware is truncated",
        /// The content is not that which was signed.
        IMAGE_CORRUPT = 23: "content of the firmware is damaged",
        /// Not the step that comes next, or not the block.
        ORDER = 24: "out of order",
        /// Nothing waits for being activated.
        NOTHING_STORED = 25: "no firmware waits for activation",
        /// What is stored cannot take over without a reset.
        NOT_LIVE = 26: "firmware cannot be activated without a reset",
        /// What was to be activated has failed its self-test.
        UNHEALTHY = 27: "firmware has failed its self-test",
        /// The device cannot read or write the memory that firmware is in.
        FLASH = 28: "flash memory error",
    }
}
