//! The calls of bpf(2) that aya has no words for: task storage, maps of maps, and many entries of a hash at once.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya::Pod;

/// Commands (include/uapi/linux/bpf.h, 6.18).
const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_DELETE_BATCH: libc::c_long = 27;

/// Types of maps (the same file).
const ARRAY: u32 = 2;
const ARRAY_OF_MAPS: u32 = 12;

/// `union bpf_attr`, as the commands on an element see it.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The same, as the commands on many elements see it (5.6 and up).
#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Entries that are asked for at once: more than a bucket of a hash ever holds.
const AT_ONCE: usize = 4_096;

/// The same, as far as creating a map sees it.
#[repr(C)]
#[derive(Default)]
struct Creation {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    call::<T>(command, std::ptr::from_ref(attributes))
}

fn call<T>(command: libc::c_long, attributes: *const T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads as many bytes as it is told that there are; what they point to outlives the call, as each
    // caller below says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn element(map: BorrowedFd<'_>, key: &u32, value: *const u8) -> Element {
    Element {
        map: number(map),
        padding: 0,
        key: std::ptr::from_ref(key) as u64,
        value: value as u64,
        flags: 0,
    }
}

/// Reads the value at a key of 32 bits into `value`, which is as large as the map's values.
pub(super) fn look_up(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) -> io::Result<()> {
    // The key and the value outlive the call.
    bpf(MAP_LOOKUP_ELEM, &element(map, &key, value.as_mut_ptr())).map(drop)
}

/// Writes the value at a key of 32 bits; it is as large as the map's values.
pub(super) fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    // The key and the value outlive the call.
    bpf(MAP_UPDATE_ELEM, &element(map, &key, value.as_ptr())).map(drop)
}

/// Removes the entry of a key of 32 bits.
pub(super) fn delete(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    // The key outlives the call.
    bpf(MAP_DELETE_ELEM, &element(map, &key, std::ptr::null())).map(drop)
}

/// All entries of a hash, whose keys and values are of these types. One that is made or removed meanwhile may be there or not.
pub(super) fn entries<K: Pod, V: Pod>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>> {
    let (mut keys, mut values) = (Vec::<K>::with_capacity(AT_ONCE), Vec::<V>::with_capacity(AT_ONCE));
    let mut all = Vec::new();
    let (mut from, mut next) = (0u32, 0u32);
    let mut is_first = true;
    loop {
        let mut batch = Batch {
            from: if is_first { 0 } else { std::ptr::from_ref(&from) as u64 },
            next: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: AT_ONCE as u32,
            map: number(map),
            ..Batch::default()
        };
        // The places outlive the call. It writes the count.
        let told = call(MAP_LOOKUP_BATCH, std::ptr::from_mut(&mut batch));
        let ended = match told {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = (batch.count as usize).min(AT_ONCE);
        // SAFETY: the kernel has written so many of each, and any bytes are one.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        all.extend(keys.drain(..).zip(values.drain(..)));
        if ended {
            return Ok(all);
        }
        (from, is_first) = (next, false);
    }
}

/// Removes entries that are all there.
pub(super) fn remove<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> io::Result<()> {
    let count = u32::try_from(keys.len()).map_err(io::Error::other)?;
    let mut batch = Batch { keys: keys.as_ptr() as u64, count, map: number(map), ..Batch::default() };
    // The keys outlive the call.
    call(MAP_DELETE_BATCH, std::ptr::from_mut(&mut batch)).map(drop)
}

/// An array of one element of 32 bits.
pub(super) fn array() -> io::Result<OwnedFd> {
    create(&Creation { map_type: ARRAY, key_size: 4, value_size: 4, max_entries: 1, ..Creation::default() })
}

/// An array of one map like `inner`.
pub(super) fn array_of_maps(inner: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    create(&Creation {
        map_type: ARRAY_OF_MAPS,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        inner_map: number(inner),
        ..Creation::default()
    })
}

fn create(creation: &Creation) -> io::Result<OwnedFd> {
    let descriptor = bpf(MAP_CREATE, creation)?;
    // SAFETY: the kernel has just made this descriptor, for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}
