//! Jobs to whose memory something happens.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect};

use super::crowd::beside;
use super::job::{KIB, MIB, lasting, pin};

const PAGE: usize = 4 * KIB;
const HUGE: usize = 2 * MIB;

/// How much is changed under the lock of the address space at once.
const CHANGED: usize = 512 * MIB;

/// How many huge pages are asked for.
const HUGE_PAGES: usize = 120;

/// Memory of this process, from a multiple of the size of a huge page on, which is never given back.
struct Memory {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: it is only an address, of memory that no one else uses.
unsafe impl Send for Memory {}

impl Memory {
    fn new(bytes: usize) -> Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses where.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes + HUGE, protection, flags) }?;
        let start = start.cast::<u8>();
        Ok(Self { start: start.wrapping_add(start.align_offset(HUGE)), bytes })
    }

    fn advise(&self, advice: Advice) -> Result<()> {
        // SAFETY: no reference into it is kept.
        Ok(unsafe { madvise(self.start.cast(), self.bytes, advice) }?)
    }

    fn part(&self, at: usize, bytes: usize) -> Self {
        assert!(at + bytes <= self.bytes, "a part is within the whole");
        Self { start: self.start.wrapping_add(at), bytes }
    }

    /// Reads a file into it.
    fn read(&self, file: &File) -> Result<()> {
        // SAFETY: it is mapped, and no one else has a reference.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) };
        Ok(file.read_exact_at(bytes, 0)?)
    }

    /// Writes to one byte in so many.
    fn touch(&self, step: usize) {
        for at in (0..self.bytes).step_by(step) {
            // SAFETY: it is mapped.
            unsafe { self.start.wrapping_add(at).write_volatile(1) };
        }
    }

    /// Looks at each page, which makes all of them the one that is empty.
    fn look(&self) {
        for at in (0..self.bytes).step_by(PAGE) {
            // SAFETY: it is mapped.
            unsafe { self.start.wrapping_add(at).read_volatile() };
        }
    }
}

/// Reads into pages that are not there, while another thread changes much memory under the lock of the address space.
pub(super) fn mapped(file: &Path) -> Result<()> {
    const PAGES: usize = 64;
    pin(0)?;
    let file = File::open(file)?;
    let large = Memory::new(CHANGED)?;
    large.advise(Advice::LinuxNoHugepage)?;
    large.look();
    let small = Memory::new(PAGES * PAGE)?;
    small.advise(Advice::LinuxNoHugepage)?;
    let change = move || {
        pin(1)?;
        let Memory { start, bytes } = { large };
        lasting(|number| {
            let rights = if number % 2 == 0 { MprotectFlags::empty() } else { MprotectFlags::READ };
            // SAFETY: no one looks at it any more.
            Ok(unsafe { mprotect(start.cast(), bytes, rights) }?)
        })
    };
    beside(change, || {
        lasting(|number| {
            let page = number as usize % PAGES;
            if page == 0 {
                small.advise(Advice::LinuxDontNeed)?;
            }
            small.part(page * PAGE, PAGE).read(&file)
        })
    })
}

/// Reads into huge pages, where memory is free in single pages alone.
pub(super) fn huge(file: &Path) -> Result<()> {
    let file = File::open(file)?;
    let huge = Memory::new(HUGE_PAGES * HUGE)?;
    huge.advise(Advice::LinuxHugepage)?;
    let available = super::available()?;
    ensure!(available > (2 * HUGE_PAGES * HUGE) as u64, "too little memory: {available}");
    let small = Memory::new(available as usize / 10 * 9 / HUGE * HUGE)?;
    small.advise(Advice::LinuxNoHugepage)?;
    small.touch(PAGE);
    for at in (0..small.bytes).step_by(2 * PAGE) {
        small.part(at, PAGE).advise(Advice::LinuxDontNeed)?;
    }
    (0..HUGE_PAGES).try_for_each(|number| huge.part(number * HUGE, HUGE).read(&file))
}
