//! Looking up what the kernel side keeps of a task, from the user side.

use std::{
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Map, MapData},
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// `BPF_MAP_LOOKUP_ELEM` (include/uapi/linux/bpf.h, 6.18).
const LOOKUP: libc::c_long = 1;
/// `PIDFD_THREAD`, which 6.9 added; before, only a process has a descriptor, which stands for its first thread.
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned());

/// The states of an object, in task storage or in a hash by thread. aya has no type for the former.
pub(crate) struct States<T> {
    map: MapData,
    by_thread_id: bool,
    state: PhantomData<T>,
}

impl<T: Pod> States<T> {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<States<T>> {
        let (map, by_thread_id) = match ebpf.take_map("TASKS").context("the object has no map TASKS")? {
            Map::HashMap(map) => (map, true),
            Map::Unsupported(map) => (map, false),
            _ => anyhow::bail!("the map TASKS is of another kind"),
        };
        anyhow::ensure!(
            map.info()?.value_size() as usize == size_of::<T>(),
            "the states are of another size"
        );
        Ok(States { map, by_thread_id, state: PhantomData })
    }

    /// The state of a thread, where it has one and this kernel lets it be looked up.
    pub(crate) fn get(&self, tid: u32) -> Option<T> {
        if self.by_thread_id {
            return self.look_up(tid);
        }
        let descriptor = descriptor(tid)?;
        self.look_up(descriptor.as_raw_fd().cast_unsigned())
    }

    fn look_up(&self, key: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::zeroed();
        let attributes = LookUp {
            map: self.map.fd().as_fd().as_raw_fd().cast_unsigned(),
            padding: 0,
            key: (&raw const key) as u64,
            value: value.as_mut_ptr() as u64,
            flags: 0,
        };
        // SAFETY: the key is 32 bits, the value as large as the map's, and both outlive the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, LOOKUP, &raw const attributes, size_of::<LookUp>()) };
        // SAFETY: any bytes are a `T`.
        (result == 0).then(|| unsafe { value.assume_init() })
    }
}

/// `union bpf_attr`, as look-ups see it.
#[repr(C)]
struct LookUp {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn descriptor(tid: u32) -> Option<OwnedFd> {
    let tid = Pid::from_raw(tid.cast_signed())?;
    pidfd_open(tid, THREAD).or_else(|_| pidfd_open(tid, PidfdFlags::empty())).ok()
}
