// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Commands about firmware.

use super::{
    Answer, Failure, Outcome, ensure, field, in_buffer, limit, parameter, parameters, reserved,
};
use crate::host::Host;
use crate::nic::Nic;
use crate::nic::chaos::Fault;
use crate::nic::firmware::flash::FLASH_LENGTH;
use crate::nic::firmware::{BLOCK_MAX, image};
use crate::nic::ids::FunctionId;
use oxnic_abi::command::{Qualifier, Status, Submission};
use oxnic_abi::firmware::{
    FirmwareActivate, FirmwareActivation, FirmwareBegin, FirmwareId, FirmwareRead, FirmwareSet,
    FirmwareWrite,
};

/// The failure that a refusal is.
fn failure(qualifier: Qualifier) -> Failure {
    let (status, offset) = match qualifier {
        Qualifier::OBJECT => (Status::ENOENT, parameter(0)),
        Qualifier::LIMIT => (Status::EINVAL, parameter(4)),
        Qualifier::STATE => (Status::EBUSY, 0),
        Qualifier::IMAGE_OVERSIZED => (Status::ENOSPC, parameter(4)),
        Qualifier::IMAGE_DOWNGRADE | Qualifier::IMAGE_UNSIGNED | Qualifier::IMAGE_SIGNATURE => {
            (Status::EPERM, 0)
        }
        Qualifier::NOTHING_STORED => (Status::ENOENT, 0),
        Qualifier::NOT_LIVE => (Status::EOPNOTSUPP, 0),
        Qualifier::UNHEALTHY | Qualifier::FLASH => (Status::EIO, 0),
        _ => (Status::EINVAL, 0),
    };
    Failure::new(status, qualifier, offset)
}

/// What a step without an answer answers.
fn done(result: Result<(), Qualifier>) -> Outcome {
    result.map(|()| Answer::default()).map_err(failure)
}

impl Nic {
    pub(super) fn firmware_query(&mut self, submission: &Submission) -> Outcome {
        let id = parameters!(FirmwareId, submission)?;
        let info = self.firmware.info(id.component).map_err(failure)?;
        Ok(Answer::buffer(&info.to_words()))
    }

    pub(super) fn firmware_begin(&mut self, submission: &Submission) -> Outcome {
        let begin = parameters!(FirmwareBegin, submission)?;
        done(self.firmware.begin(begin.component, begin.length))
    }

    pub(super) fn firmware_write(
        &mut self,
        host: &mut dyn Host,
        function: FunctionId,
        submission: &Submission,
    ) -> Outcome {
        let write = parameters!(FirmwareWrite, submission)?;
        let allowed = (1..=BLOCK_MAX).contains(&write.length);
        ensure(allowed, limit(parameter(8)))?;
        let words = self.request(host, function, submission, write.length as usize)?;
        let mut block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let surplus = block.split_off(write.length as usize);
        if let Some(stray) = surplus.iter().position(|byte| *byte != 0) {
            return Err(reserved(in_buffer(block.len() + stray)));
        }
        if self.chaos.hit(Fault::FirmwareWrite) {
            // As far as the driver can tell, flash has failed.
            let _ = self.firmware.abort(write.component.bit());
            return Err(failure(Qualifier::FLASH));
        }
        if self.chaos.hit(Fault::FirmwareCorrupt) {
            if let Some(byte) = block.last_mut() {
                *byte ^= 1;
            }
        }
        let keys = [image::TEST_KEY];
        done(
            self.firmware
                .write(write.component, write.offset, &block, &keys),
        )
    }

    pub(super) fn firmware_verify(&mut self, submission: &Submission) -> Outcome {
        let id = parameters!(FirmwareId, submission)?;
        done(self.firmware.verify(id.component))
    }

    pub(super) fn firmware_commit(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(FirmwareSet, submission)?;
        done(self.firmware.commit(set.components))
    }

    pub(super) fn firmware_abort(&mut self, submission: &Submission) -> Outcome {
        let set = parameters!(FirmwareSet, submission)?;
        done(self.firmware.abort(set.components))
    }

    pub(super) fn firmware_check(&mut self, submission: &Submission) -> Outcome {
        let id = parameters!(FirmwareId, submission)?;
        let found = self.firmware.check(id.component).map_err(failure)?;
        Ok(Answer::buffer(&found.to_words()))
    }

    pub(super) fn firmware_read(&mut self, submission: &Submission) -> Outcome {
        let read = parameters!(FirmwareRead, submission)?;
        let rest = FLASH_LENGTH.checked_sub(read.offset.into());
        let rest = rest.filter(|rest| *rest != 0).ok_or(limit(parameter(0)))?;
        let most = rest.min(BLOCK_MAX.into());
        let allowed = (1..=most).contains(&read.length.into());
        ensure(allowed, limit(parameter(4)))?;
        let mut data = vec![0; read.length as usize];
        self.firmware
            .read(read.offset, &mut data)
            .map_err(failure)?;
        let words = data.chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        Ok(Answer::buffer(&words.collect::<Vec<u64>>()))
    }

    pub(super) fn firmware_activate(
        &mut self,
        host: &mut dyn Host,
        submission: &Submission,
    ) -> Outcome {
        let activate = parameters!(FirmwareActivate, submission)?;
        let known = FirmwareActivation::ALL.contains(&activate.how);
        ensure(known, field(parameter(0)))?;
        let result = self.firmware.activate(activate.how);
        if result == Ok(true) {
            self.follow_firmware();
        }
        self.watch_live_firmware(host, result == Ok(true));
        done(result.map(|_| ()))
    }
}
