//! The traced system calls, made as they are: no C library in between that could turn one into another.

use std::{
    ffi::c_long,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use serde::{Deserialize, Serialize};

macro_rules! calls {
    ($($variant:ident = $name:literal, $number:path;)*) => {
        /// A system call that `osdiag iolat` traces.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        pub(crate) enum Call { $(#[doc = $name] #[serde(rename = $name)] $variant,)* }

        impl Call {
            /// All of them.
            pub(crate) const ALL: &'static [Call] = &[$(Call::$variant,)*];

            /// Its name.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Call::$variant => $name,)* }
            }

            const fn number(self) -> c_long {
                match self { $(Call::$variant => $number,)* }
            }
        }
    };
}

calls! {
    Read = "read", libc::SYS_read;
    Pread = "pread64", libc::SYS_pread64;
    Readv = "readv", libc::SYS_readv;
    Preadv = "preadv", libc::SYS_preadv;
    Preadv2 = "preadv2", libc::SYS_preadv2;
    Write = "write", libc::SYS_write;
    Pwrite = "pwrite64", libc::SYS_pwrite64;
    Writev = "writev", libc::SYS_writev;
    Pwritev = "pwritev", libc::SYS_pwritev;
    Pwritev2 = "pwritev2", libc::SYS_pwritev2;
    Fsync = "fsync", libc::SYS_fsync;
    Fdatasync = "fdatasync", libc::SYS_fdatasync;
    SyncFileRange = "sync_file_range", libc::SYS_sync_file_range;
}

impl Call {
    /// Whether it writes to its file.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Call::Write | Call::Pwrite | Call::Writev | Call::Pwritev | Call::Pwritev2)
    }
}

/// A page, at an address that direct I/O takes.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// Memory to read into and write from.
pub(crate) struct Buffer {
    pages: Vec<Page>,
    bytes: usize,
}

impl Buffer {
    /// So many bytes, and not all of them zero.
    pub(crate) fn new(bytes: usize) -> Buffer {
        Buffer { pages: vec![Page([0x5a; 4096]); bytes.div_ceil(4096).max(1)], bytes }
    }
}

/// Makes one system call on a file and gives back what it returned.
pub(crate) fn make(call: Call, fd: BorrowedFd<'_>, buffer: &mut Buffer, offset: u64) -> io::Result<usize> {
    let address = buffer.pages.as_mut_ptr().cast::<u8>();
    let half = buffer.bytes / 2 / 512 * 512;
    let parts = [
        libc::iovec { iov_base: address.cast(), iov_len: half },
        libc::iovec { iov_base: address.wrapping_add(half).cast(), iov_len: buffer.bytes - half },
    ];
    let list = parts.as_ptr() as usize;
    let (address, bytes, offset) = (address as usize, buffer.bytes, offset as usize);
    let arguments = match call {
        Call::Read | Call::Write => [address, bytes, 0, 0, 0],
        Call::Pread | Call::Pwrite => [address, bytes, offset, 0, 0],
        Call::Readv | Call::Writev => [list, parts.len(), 0, 0, 0],
        Call::Preadv | Call::Pwritev => [list, parts.len(), offset, 0, 0],
        Call::Preadv2 | Call::Pwritev2 => [list, parts.len(), offset, 0, 0],
        Call::Fsync | Call::Fdatasync => [0; 5],
        Call::SyncFileRange => [offset, bytes, libc::SYNC_FILE_RANGE_WRITE as usize, 0, 0],
    };
    let [a, b, c, d, e] = arguments;
    // SAFETY: each call gets the arguments that its manual page lists; the buffer, which is borrowed for writing, and
    // the list of its parts outlive the call, and their lengths are true.
    let result = unsafe { libc::syscall(call.number(), fd.as_raw_fd(), a, b, c, d, e) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
