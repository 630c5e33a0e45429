//! A device of the device mapper, made as dmsetup(8) makes one.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::ioctl::{Opcode, Updater, ioctl};

/// `_IOWR(0xfd, number, struct dm_ioctl)` (include/uapi/linux/dm-ioctl.h).
const fn request(number: Opcode) -> Opcode {
    0xc138_fd00 | number
}
const CREATE: Opcode = request(3);
const REMOVE: Opcode = request(4);
const RESUME: Opcode = request(6);
const LOAD: Opcode = request(9);

const NAME: &[u8] = b"delayed";

/// `struct dm_ioctl`, and behind it one `struct dm_target_spec` with its parameters.
const HEADER: usize = 312;
const SPECIFICATION: usize = 40;
const SIZE: usize = 512;

/// How many sectors it has: 64 MiB.
const SECTORS: u64 = 64 << 11;

/// A mapped device; it is removed when this is dropped.
pub(super) struct Mapped {
    control: File,
    pub(super) node: String,
}

impl Mapped {
    /// One that keeps each request for `ms` and hands it to `disk` then.
    pub(super) fn delay(disk: &str, ms: u64) -> Result<Self> {
        let control = "/dev/mapper/control";
        let control = OpenOptions::new().read(true).write(true).open(control).context(control)?;
        let mapped = Self { control, node: "/dev/dm-0".to_owned() };
        mapped.order::<CREATE>(None)?;
        mapped.order::<LOAD>(Some(&format!("{disk} 0 {ms}")))?;
        mapped.order::<RESUME>(None)?;
        for _ in 0..100 {
            if Path::new(&mapped.node).exists() {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        Ok(mapped)
    }

    /// Asks for something, with parameters for a target of the kind `delay` or none.
    fn order<const REQUEST: Opcode>(&self, parameters: Option<&str>) -> Result<()> {
        let mut order = [0; SIZE];
        let mut put = |at: usize, bytes: &[u8]| order[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &4_u32.to_ne_bytes());
        put(12, &u32::try_from(SIZE)?.to_ne_bytes());
        put(16, &u32::try_from(HEADER)?.to_ne_bytes());
        put(48, NAME);
        if let Some(parameters) = parameters {
            ensure!(HEADER + SPECIFICATION + parameters.len() < SIZE, "{parameters} is too long");
            put(20, &1_u32.to_ne_bytes());
            put(HEADER + 8, &SECTORS.to_ne_bytes());
            put(HEADER + 24, b"delay");
            put(HEADER + SPECIFICATION, parameters.as_bytes());
        }
        // SAFETY: the requests take a buffer that begins with its own size.
        let request = unsafe { Updater::<REQUEST, [u8; SIZE]>::new(&mut order) };
        // SAFETY: the descriptor is the device mapper's.
        unsafe { ioctl(&self.control, request) }.context("the device mapper refuses")
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Err(error) = self.order::<REMOVE>(None) {
            eprintln!("init: {error:#}");
        }
    }
}
