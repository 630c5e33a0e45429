//! State for each task: task storage, or a hash where tracing programs have none (before 5.13).

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST, bpf_map_type},
    helpers::generated::bpf_task_storage_get,
    maps::{Array, HashMap},
};

use crate::{
    side::{Ptr, Raw, Side},
    task::pid,
};

/// An object's state for each task.
pub trait Tasks: Side {
    /// What is kept. All zero is a task of which nothing is known.
    type State: 'static;
    /// The state of `task`, where it has one.
    fn state(task: Ptr) -> Option<&'static mut Self::State>;
    /// The state of `task`, all zero where it had none.
    fn state_or_create(task: Ptr) -> Option<&'static mut Self::State>;
    /// Drops the state of a task that exits, where the kernel does not.
    fn forget(task: Ptr);
}

/// A map of type task storage, for which aya-ebpf has no wrapper. The loader reads the members' types from BTF;
/// nobody reads the members.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: nothing but the address is ever used.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    /// The map's definition.
    #[expect(clippy::new_without_default, reason = "a map definition is a static")]
    pub const fn new() -> Self {
        TaskStorage {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    #[inline(always)]
    fn lookup(&self, task: Ptr, flags: u64) -> Option<&'static mut T> {
        // SAFETY: the verifier checks that `task` is a task; a value lives as long as its task.
        unsafe {
            bpf_task_storage_get(ptr::from_ref(self) as *mut _, task as *mut _, ptr::null_mut(), flags)
                .cast::<T>()
                .as_mut()
        }
    }

    /// The state of `task`, where it has one.
    ///
    /// None means just that, so nothing is counted as lost. From 5.13 to 6.1 a look-up also fails while the CPU's counter of
    /// storage at work is up (`bpf_task_storage_trylock`, kernel/bpf/bpf_task_storage.c). Since 6.2 the counter only keeps
    /// tracing programs from making storage (e8b02296a6b8). The loader takes this object from 6.4 on, by
    /// `bpf_local_storage_map.selem_ma` and what came after it.
    #[inline(always)]
    pub fn get(&self, task: Ptr) -> Option<&'static mut T> {
        self.lookup(task, 0)
    }

    /// The state of `task`, all zero where it had none. None where it could not be made: the caller counts that as lost.
    #[inline(always)]
    pub fn get_or_create(&self, task: Ptr) -> Option<&'static mut T> {
        const CREATE: u64 = 1; // BPF_LOCAL_STORAGE_GET_F_CREATE
        self.lookup(task, CREATE)
    }
}

/// The state of `task` in a hash by thread id. Looking it up takes no lock, so it does not fail for a task that has one
/// (`htab_map_lookup_elem`, kernel/bpf/hashtab.c, 5.10 to 6.18).
#[inline(always)]
pub fn hashed<T>(map: &HashMap<u32, T>, task: Ptr) -> Option<&'static mut T> {
    // SAFETY: entries are preallocated, and freed only when the task exits.
    unsafe { map.get_ptr_mut(pid::<Raw>(task))?.as_mut() }
}

/// The state of `task` in a hash by thread id; a copy of `zero`'s element where it had none. None where the hash is full, or
/// its bucket is being written on this CPU (5.12 and up): the caller counts that as lost.
#[inline(always)]
pub fn hashed_or_create<T>(map: &HashMap<u32, T>, zero: &Array<T>, task: Ptr) -> Option<&'static mut T> {
    if let Some(state) = hashed(map, task) {
        return Some(state);
    }
    // The value is too large for a BPF stack.
    let zero = zero.get(0)?;
    let _ = map.insert(pid::<Raw>(task), zero, BPF_NOEXIST as u64);
    hashed(map, task)
}

/// Defines the type of an object on `tp_btf`, with its state in task storage.
#[macro_export]
macro_rules! typed_object {
    ($object:ident, $state:ty) => {
        #[unsafe(link_section = ".maps")]
        #[unsafe(no_mangle)]
        static TASKS: $crate::storage::TaskStorage<$state> = $crate::storage::TaskStorage::new();

        struct $object;

        impl $crate::side::Object for $object {
            type Kind = $crate::side::Btf;
        }

        impl $crate::storage::Tasks for $object {
            type State = $state;

            #[inline(always)]
            fn state(task: $crate::side::Ptr) -> Option<&'static mut $state> {
                TASKS.get(task)
            }

            #[inline(always)]
            fn state_or_create(task: $crate::side::Ptr) -> Option<&'static mut $state> {
                TASKS.get_or_create(task)
            }

            #[inline(always)]
            fn forget(_task: $crate::side::Ptr) {}
        }
    };
}

/// Defines the type of an object on raw tracepoints, with its state in a hash by thread. The hash is preallocated, since
/// memory cannot be had in the scheduler; its entries go when their thread exits.
#[macro_export]
macro_rules! raw_object {
    ($object:ident, $state:ty, $entries:literal) => {
        #[aya_ebpf::macros::map]
        static TASKS: aya_ebpf::maps::HashMap<u32, $state> =
            aya_ebpf::maps::HashMap::with_max_entries($entries, 0);

        /// One element, always zero: a state to begin with.
        #[aya_ebpf::macros::map]
        static ZERO: aya_ebpf::maps::Array<$state> = aya_ebpf::maps::Array::with_max_entries(1, 0);

        struct $object;

        impl $crate::side::Object for $object {
            type Kind = $crate::side::Raw;
        }

        impl $crate::storage::Tasks for $object {
            type State = $state;

            #[inline(always)]
            fn state(task: $crate::side::Ptr) -> Option<&'static mut $state> {
                $crate::storage::hashed(&TASKS, task)
            }

            #[inline(always)]
            fn state_or_create(task: $crate::side::Ptr) -> Option<&'static mut $state> {
                $crate::storage::hashed_or_create(&TASKS, &ZERO, task)
            }

            #[inline(always)]
            fn forget(task: $crate::side::Ptr) {
                let _ = TASKS.remove($crate::task::pid::<$crate::side::Raw>(task));
            }
        }
    };
}
