//! From a file descriptor to what the operation works on.

use diag_common::iolat::PSEUDO_FILESYSTEMS;

use crate::{
    fields::{
        FDT_FD, FDT_MAX_FDS, FILE_INODE, FILES_FD_ARRAY, FILES_FDT, FILES_FDTAB, INODE_MODE, INODE_RDEV,
        INODE_SB, SB_DEV, SB_MAGIC, TASK_FILES,
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
        // A table that never grew is the array inside files_struct (fs/file.c, 6.18), which has types to follow:
        // four reads by helper less on the way that most processes take.
        if S::STACK_OF_SLEEPER && fd < 64 && table == files.wrapping_add(FILES_FDTAB.load() as usize) {
            return inspect::<S>(embedded(files, fd));
        }
        let array: Ptr = S::read(table, FDT_FD.load());
        inspect::<Raw>(Raw::read(array, fd * 8))
    }
}

/// Loads `files->fd_array[fd]`, each element by a constant offset, as the verifier asks of a typed pointer.
#[inline(always)]
unsafe fn embedded(files: Ptr, fd: u32) -> Ptr {
    macro_rules! load {
        ($($n:literal)*) => {
            match fd {
                $($n => {
                    let base = files.wrapping_add(FILES_FD_ARRAY.load() as usize);
                    let file: Ptr;
                    // SAFETY: a load from within files_struct. In assembly, lest the arms be merged into one load at
                    // a computed offset.
                    unsafe {
                        core::arch::asm!(
                            "{file} = *(u64 *)({base} + {offset})",
                            file = out(reg) file,
                            base = in(reg) base,
                            offset = const 8 * $n,
                            options(nostack, readonly),
                        );
                    }
                    file
                })*
                _ => core::ptr::null(),
            }
        };
    }
    load!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
          32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
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
