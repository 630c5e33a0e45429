//! Calls of kernel functions: aya does not know them, so the loader writes them into the object itself.

use diag_common::calls::RDONLY_CAST_CALL;

use crate::kernel::btf::Btf;

/// `BPF_JMP | BPF_CALL`, and the source register of a call of a kernel function (include/uapi/linux/bpf.h, 6.18).
const CALL: u8 = 0x85;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// The function that [`RDONLY_CAST_CALL`] stands for.
const RDONLY_CAST: &str = "bpf_rdonly_cast";

/// The object with its stand-ins replaced by calls of functions that this kernel has. Instructions are eight bytes, and
/// so is the alignment of the sections that hold them.
pub(super) fn resolve(object: &[u8], types: &Btf) -> Vec<u8> {
    let mut object = object.to_vec();
    if let Some(function) = types.function_id(RDONLY_CAST) {
        for instruction in object.chunks_exact_mut(8) {
            let (code, immediate) = instruction.split_at_mut(4);
            if code == [CALL, 0, 0, 0] && immediate == RDONLY_CAST_CALL.to_le_bytes() {
                code[1] = PSEUDO_KFUNC_CALL << 4;
                immediate.copy_from_slice(&function.to_le_bytes());
            }
        }
    }
    object
}
