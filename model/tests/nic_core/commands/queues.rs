// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about queues: each field at its limit and beyond.

use super::{PF, why};
use crate::mock::{Device, Driver};
use oxnic_abi::command::{Opcode, Qualifier, Status};
use oxnic_abi::queue::{CqCreate, QueueId, RxCreate, TxCreate};

#[test]
fn fields_of_queues_are_checked_at_their_limits() {
    let mut dut = Device::new(1, 0);
    let mut driver = Driver::new(&mut dut, PF);
    let ring = dut.host.allocate(4 << 20);
    let good = CqCreate {
        id: 135,
        vector: 128,
        slot: 1,
        log2: 5,
        entry: 16,
        address: ring,
        microseconds: 10_000,
        frames: 65535,
    };
    let bad = [
        (
            CqCreate { id: 136, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            24,
        ),
        (
            CqCreate { vector: 0, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            26,
        ),
        (
            CqCreate {
                vector: 129,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            26,
        ),
        (
            CqCreate { slot: 2, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            28,
        ),
        (
            CqCreate { log2: 4, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            29,
        ),
        (
            CqCreate { log2: 16, ..good },
            Status::EINVAL,
            Qualifier::LIMIT,
            29,
        ),
        (
            CqCreate { entry: 24, ..good },
            Status::EINVAL,
            Qualifier::FIELD,
            30,
        ),
        (
            CqCreate {
                address: ring + 2048,
                ..good
            },
            Status::EINVAL,
            Qualifier::FIELD,
            32,
        ),
        (
            CqCreate {
                microseconds: 10_001,
                ..good
            },
            Status::EINVAL,
            Qualifier::LIMIT,
            40,
        ),
        (
            CqCreate {
                address: 0x1000,
                ..good
            },
            Status::EFAULT,
            Qualifier::DMA,
            32,
        ),
    ];
    for (create, status, qualifier, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::CQ_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{create:?}");
    }
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, good.to_words());
    let again = driver.set(&mut dut, Opcode::CQ_CREATE, 0, good.to_words());
    assert_eq!(why(&again), (Status::EEXIST, Qualifier::CONFLICT, 24));
    let slot = driver.set(
        &mut dut,
        Opcode::CQ_CREATE,
        0,
        CqCreate { id: 1, ..good }.to_words(),
    );
    assert_eq!(why(&slot), (Status::EBUSY, Qualifier::CONFLICT, 28));
    let big = CqCreate {
        id: 1,
        slot: 0,
        log2: 15,
        entry: 32,
        ..good
    };
    driver.set_ok(&mut dut, Opcode::CQ_CREATE, 0, big.to_words());

    let tx = TxCreate {
        id: 63,
        cq: 135,
        log2: 5,
        version: 0,
        address: ring,
    };
    let bad = [
        (
            TxCreate { id: 64, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            24,
        ),
        (
            TxCreate { cq: 2, ..tx },
            Status::ENOENT,
            Qualifier::OBJECT,
            26,
        ),
        (
            TxCreate { cq: 999, ..tx },
            Status::ENOENT,
            Qualifier::OBJECT,
            26,
        ),
        (
            TxCreate { cq: 1, ..tx },
            Status::EINVAL,
            Qualifier::CONFLICT,
            26,
        ),
        (
            TxCreate { log2: 6, ..tx },
            Status::ENOSPC,
            Qualifier::LIMIT,
            26,
        ),
        (
            TxCreate { log2: 4, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            28,
        ),
        (
            TxCreate { log2: 14, ..tx },
            Status::EINVAL,
            Qualifier::LIMIT,
            28,
        ),
        (
            TxCreate { version: 1, ..tx },
            Status::EOPNOTSUPP,
            Qualifier::FIELD,
            29,
        ),
        (
            TxCreate {
                address: ring + 16,
                ..tx
            },
            Status::EINVAL,
            Qualifier::FIELD,
            32,
        ),
    ];
    for (create, status, qualifier, offset) in bad {
        let completion = driver.set(&mut dut, Opcode::TX_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (status, qualifier, offset), "{create:?}");
    }
    driver.set_ok(&mut dut, Opcode::TX_CREATE, 0, tx.to_words());
    let referenced = driver.set(
        &mut dut,
        Opcode::CQ_DESTROY,
        0,
        QueueId { id: 135 }.to_words(),
    );
    assert_eq!(why(&referenced), (Status::EBUSY, Qualifier::REFERENCED, 24));

    let rx = RxCreate {
        id: 63,
        cq: 1,
        log2: 13,
        version: 0,
        buffer_length: 256,
        address: ring,
    };
    for length in [255, 16385] {
        let create = RxCreate {
            buffer_length: length,
            ..rx
        };
        let completion = driver.set(&mut dut, Opcode::RX_CREATE, 0, create.to_words());
        assert_eq!(why(&completion), (Status::EINVAL, Qualifier::LIMIT, 30));
    }
    for id in 0..4 {
        let create = RxCreate {
            id,
            buffer_length: 16384,
            ..rx
        };
        driver.set_ok(&mut dut, Opcode::RX_CREATE, 0, create.to_words());
    }
    let full = driver.set(&mut dut, Opcode::RX_CREATE, 0, rx.to_words());
    assert_eq!(why(&full), (Status::ENOSPC, Qualifier::LIMIT, 26));
    let missing = driver.set(
        &mut dut,
        Opcode::RX_DESTROY,
        0,
        QueueId { id: 63 }.to_words(),
    );
    assert_eq!(why(&missing), (Status::ENOENT, Qualifier::OBJECT, 24));
}
