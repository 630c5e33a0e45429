//! From a file descriptor to what the operation works on.

use diag_common::iolat::PSEUDO_FILESYSTEMS;

use crate::{
    fields::{
        FDT_FD, FDT_MAX_FDS, FILE_INODE, FILE_SLOT_FILE, FILES_FDT, INODE_MODE, INODE_RDEV, INODE_SB, SB_DEV,
        SB_MAGIC, TASK_FILES, TYPE_FILE_SLOT, present,
    },
    side::{Ptr, Raw, Side},
};

/// A file that counts: regular, or a block device.
pub struct File {
    pub file: u64,
    pub inode: u64,
    pub sb: u64,
    pub magic: u64,
    pub dev: u32,
}

const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFBLK: u16 = 0o060_000;

/// What `fd` of `task` is, where that counts.
#[inline(always)]
pub fn of_descriptor<S: Side>(task: Ptr, fd: u32) -> Option<File> {
    // SAFETY: typed pointers: task, files_struct, fdtable. What `fdtable.fd` points to has no type.
    unsafe {
        let files: Ptr = S::read(task, TASK_FILES.load());
        if files.is_null() {
            return None;
        }
        let table: Ptr = S::read(files, FILES_FDT.load());
        if table.is_null() {
            return None;
        }
        if fd >= S::read::<u32>(table, FDT_MAX_FDS.load()) {
            return None;
        }
        let array: Ptr = S::read(table, FDT_FD.load());
        // A typed pointer all the way spares six reads by helper, of 30 ns each.
        if present(&TYPE_FILE_SLOT) {
            let slot = S::cast(array.wrapping_add(fd as usize * 8), TYPE_FILE_SLOT.load());
            return inspect::<S>(S::read(slot, FILE_SLOT_FILE.load()));
        }
        inspect::<Raw>(Raw::read(array, fd * 8))
    }
}

#[inline(always)]
unsafe fn inspect<S: Side>(file: Ptr) -> Option<File> {
    if file.is_null() {
        return None;
    }
    // SAFETY: typed pointers: file, inode, super_block.
    unsafe {
        let inode: Ptr = S::read(file, FILE_INODE.load());
        if inode.is_null() {
            return None;
        }
        let kind = S::read::<u16>(inode, INODE_MODE.load()) & S_IFMT;
        if kind == S_IFBLK {
            let dev = S::read(inode, INODE_RDEV.load());
            return Some(File { file: file as u64, inode: inode as u64, sb: 0, magic: 0, dev });
        }
        if kind != S_IFREG {
            return None;
        }
        let sb: Ptr = S::read(inode, INODE_SB.load());
        if sb.is_null() {
            return None;
        }
        let magic = S::read::<u64>(sb, SB_MAGIC.load());
        let dev = S::read(sb, SB_DEV.load());
        Some(File { file: file as u64, inode: inode as u64, sb: sb as u64, magic, dev })
    }
}

/// Whether a file system's regular files are no I/O.
#[inline(always)]
pub fn is_pseudo(magic: u64) -> bool {
    PSEUDO_FILESYSTEMS.contains(&(magic as u32))
}
