//! Calls of kernel functions: aya does not know them, so the loader writes them into the object itself.

use diag_common::calls::{
    PREEMPT_DISABLE_CALL, PREEMPT_ENABLE_CALL, RDONLY_CAST_CALL, TASK_FROM_PID_CALL, TASK_RELEASE_CALL,
};

use super::elf::Image;
use crate::kernel::btf::Btf;

/// `BPF_JMP | BPF_CALL`, and the source register of a call of a kernel function (include/uapi/linux/bpf.h, 6.18).
const CALL: u8 = 0x85;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// The functions, and what stands for them.
const FUNCTIONS: [(i32, &str); 5] = [
    (RDONLY_CAST_CALL, "bpf_rdonly_cast"),
    (PREEMPT_DISABLE_CALL, "bpf_preempt_disable"),
    (PREEMPT_ENABLE_CALL, "bpf_preempt_enable"),
    (TASK_FROM_PID_CALL, "bpf_task_from_pid"),
    (TASK_RELEASE_CALL, "bpf_task_release"),
];

/// What the running kernel has of these functions.
#[derive(PartialEq, Eq)]
pub(super) struct Calls([([u8; 4], Option<u32>); FUNCTIONS.len()]);

impl Calls {
    /// Looks them up.
    pub(super) fn of(types: &Btf) -> Calls {
        Calls(FUNCTIONS.map(|(call, name)| (call.to_le_bytes(), types.function_id(name))))
    }

    /// Replaces the stand-ins by calls of functions that this kernel has. Instructions are eight bytes.
    pub(super) fn write_into(&self, image: &mut Image) {
        for section in image.code() {
            self.replace(section);
        }
    }

    fn replace(&self, instructions: &mut [u8]) {
        for instruction in instructions.chunks_exact_mut(8) {
            let (code, immediate) = instruction.split_at_mut(4);
            if code != [CALL, 0, 0, 0] {
                continue;
            }
            let stands_for = self.0.iter().find(|(call, _)| immediate == call);
            if let Some(&(_, Some(function))) = stands_for {
                code[1] = PSEUDO_KFUNC_CALL << 4;
                immediate.copy_from_slice(&function.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_stand_in_stays() {
        let Ok(types) = Btf::running() else {
            println!("SKIPPED: this kernel has no BTF");
            return;
        };
        let call = |helper: i32| [&[CALL, 0, 0, 0], &helper.to_le_bytes()[..]].concat();
        let object = [call(1), call(RDONLY_CAST_CALL)].concat();
        let mut resolved = object.clone();
        Calls::of(&types).replace(&mut resolved);
        assert_eq!(resolved[..8], object[..8]);
        match types.function_id("bpf_rdonly_cast") {
            Some(id) => assert_eq!(resolved[8..], [&[CALL, 0x20, 0, 0], &id.to_le_bytes()[..]].concat()),
            None => assert_eq!(resolved, object),
        }
    }
}
