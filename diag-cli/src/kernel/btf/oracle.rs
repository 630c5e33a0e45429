//! The reader against another one, on the running kernel.

use btfparse::{Offset, Readable, TypeInformation};

use super::{Btf, RUNNING};

struct Bytes<'a>(&'a [u8]);

impl Readable for Bytes<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let start = offset as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

/// Members that the tools read or may read, to be compared with another reader's answer.
const MEMBERS: &[(&str, &str)] = &[
    ("task_struct", "in_iowait"),
    ("task_struct", "in_memstall"),
    ("task_struct", "__state"),
    ("task_struct", "pid"),
    ("task_struct", "tgid"),
    ("task_struct", "comm"),
    ("task_struct", "cgroups"),
    ("task_struct", "files"),
    ("task_struct", "mm"),
    ("task_struct", "sched_info.run_delay"),
    ("task_struct", "reclaim_state"),
    ("task_struct", "journal_info"),
    ("task_struct", "plug"),
    ("task_struct", "delays"),
    ("task_struct", "group_leader"),
    ("task_struct", "real_parent"),
    ("request", "start_time_ns"),
    ("request", "io_start_time_ns"),
    ("request", "q"),
    ("request", "part"),
    ("request", "bio"),
    ("request", "__sector"),
    ("request", "__data_len"),
    ("request", "cmd_flags"),
    ("gendisk", "part0"),
    ("block_device", "bd_dev"),
    ("bio", "bi_iter.bi_sector"),
    ("bio", "bi_iter.bi_size"),
    ("bio", "bi_bdev"),
    ("inode", "i_mode"),
    ("inode", "i_sb"),
    ("inode", "i_rwsem"),
    ("super_block", "s_dev"),
    ("super_block", "s_magic"),
    ("file", "f_inode"),
    ("file", "f_path.dentry"),
    ("files_struct", "fdt"),
    ("fdtable", "fd"),
    ("css_set", "dfl_cgrp"),
    ("css_set", "subsys"),
    ("cgroup", "kn"),
    ("cgroup", "level"),
    ("kernfs_node", "id"),
    ("folio", "mapping"),
    ("address_space", "host"),
    ("pt_regs", "orig_ax"),
    ("dentry", "d_name.name"),
];

#[test]
fn another_reader_finds_the_same_on_the_running_kernel() {
    let Ok(bytes) = std::fs::read(RUNNING) else {
        eprintln!("SKIPPED: this kernel shows no types in {RUNNING}");
        return;
    };
    let oracle = TypeInformation::new(&Bytes(&bytes)).unwrap();
    let btf = Btf::parse(bytes).unwrap();
    let mut compared = 0;
    for &(name, path) in MEMBERS {
        let ours = btf.member(name, path).unwrap();
        let theirs = oracle.id_of(name).and_then(|id| oracle.offset_of(id, path).ok());
        match (ours, theirs) {
            (Some(m), Some((_, Offset::ByteOffset(offset)))) => {
                assert_eq!((m.offset, m.bits), (offset, None), "{name}.{path}");
                compared += 1;
            }
            (Some(m), Some((_, Offset::BitOffsetAndSize(bit, width)))) => {
                let bits = Some((bit % 8, width));
                assert_eq!((m.offset, m.bits), (bit / 8, bits), "{name}.{path}");
                compared += 1;
            }
            (None, None) => {}
            (ours, _) => panic!("{name}.{path}: {ours:?}, the other reader differs"),
        }
    }
    assert!(compared >= MEMBERS.len() - 5, "only {compared} members exist here");
    let switch = btf.prototype("sched_switch").unwrap().unwrap();
    assert!(switch.iter().filter(|p| p.type_name == "task_struct" && p.pointer).count() == 2, "{switch:?}");
}

/// The short form says by which numbers the running kernel knows some names, to another reader too.
#[test]
fn names_have_the_same_numbers_in_the_short_form() {
    let Ok(bytes) = std::fs::read(RUNNING) else {
        eprintln!("SKIPPED: this kernel shows no types in {RUNNING}");
        return;
    };
    let whole = TypeInformation::new(&Bytes(&bytes)).unwrap();
    let short = Btf::parse(bytes).unwrap().with_names_of(&["bpf_iter_task"]);
    aya::Btf::parse(&short, aya::Endianness::default()).unwrap();
    let short = TypeInformation::new(&Bytes(&short)).unwrap();
    for name in ["btf_trace_sched_switch", "btf_trace_cgroup_mkdir", "bpf_iter_task"] {
        assert!(whole.id_of(name).is_some() && short.id_of(name) == whole.id_of(name), "{name}");
    }
    assert_eq!(short.id_of("bpf_iter_bpf_map"), None, "it was not asked for");
    assert_eq!(short.id_of("task_struct"), None);
}
