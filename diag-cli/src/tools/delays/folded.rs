//! Stacks for flame graphs: a line each, as flamegraph.pl and speedscope read them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{harvest::Harvest, naming::Naming, place::Place};
use crate::output::record::Unavailable;

/// In `unavailable` where the file could not be written.
pub(super) const UNAVAILABLE: &str = "folded";

/// The file of `--folded`.
pub(super) struct Folded {
    path: PathBuf,
    file: File,
    failed: Option<String>,
}

impl Folded {
    /// Makes the file, so that a wrong path is known before anything is traced.
    pub(super) fn create(path: &Path) -> Result<Folded> {
        let file = File::create(path).with_context(|| format!("--folded: cannot make {}", path.display()))?;
        Ok(Folded { path: path.to_owned(), file, failed: None })
    }

    /// Writes the stacks.
    pub(super) fn write(&mut self, harvest: &Harvest, naming: &mut Naming<'_, '_>) {
        let mut write = || {
            self.file.rewind()?;
            let mut out = BufWriter::new(&self.file);
            for line in lines(harvest, naming) {
                writeln!(out, "{line}")?;
            }
            out.flush()
        };
        self.failed = write().err().map(|error| error.to_string());
    }

    /// Why the file is not complete, if it is not.
    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        self.failed.as_ref().map(|why| Unavailable {
            name: UNAVAILABLE.to_owned(),
            why: why.clone(),
            effect: format!("{} does not have all stacks", self.path.display()),
        })
    }
}

/// `group;place;outermost;…;innermost NS`, sorted, each stack once.
fn lines(harvest: &Harvest, naming: &mut Naming<'_, '_>) -> Vec<String> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (stack, ns) in harvest.stacks.iter().filter(|&(_, &ns)| ns > 0) {
        let group = naming.group(stack.key, harvest).label();
        let place = stack.part.place.map_or_else(|| stack.part.cause.path(), Place::name);
        let functions = stack.functions.iter().rev().map(String::as_str);
        let frames: Vec<String> = [group.as_str(), place].into_iter().chain(functions).map(frame).collect();
        *sums.entry(frames.join(";")).or_default() += ns;
    }
    sums.into_iter().map(|(frames, ns)| format!("{frames} {ns}")).collect()
}

/// A frame: whatever is in a name, it ends neither the frame nor the line.
fn frame(name: &str) -> String {
    name.replace(';', ":").replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use diag_common::cause::Cause;

    use super::*;
    use crate::tools::delays::{
        args::By,
        harvest::{Key, Part, Sampled},
        sample::comm,
    };

    fn stack(name: &str, place: Option<Place>, functions: &[&str]) -> Sampled {
        Sampled {
            key: Key::Comm(comm(name)),
            part: Part { cause: Cause::Device, via: None, place },
            functions: functions.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn a_line_is_a_group_a_place_and_a_stack_from_the_outside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("off.txt");
        let stacks = [
            (stack("web;1", Some(Place::Call("pread64")), &["io_schedule", "filemap_read", "vfs_read"]), 700),
            (stack("web;1", Some(Place::Fault), &["folio_wait_bit"]), 30),
            (stack("batch", None, &[]), 5),
            (stack("none", None, &["gone"]), 0),
        ];
        let harvest = Harvest { stacks: stacks.into(), ..Harvest::default() };
        let mut folded = Folded::create(&path).unwrap();
        // Twice is as good as once.
        for _ in 0..2 {
            folded.write(&harvest, &mut Naming::new(By::Comm, &mut None));
        }
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "batch;block.device 5\nweb:1;fault;folio_wait_bit 30\nweb:1;pread64;vfs_read;filemap_read;io_schedule 700\n"
        );
        assert_eq!(folded.unavailable(), None);
    }

    /// What `flamegraph.pl` takes from a line (its `/^(.*)\s+?(\d+(?:\.\d*)?)$/`): frames, and a number.
    fn parsed(line: &str) -> (Vec<&str>, u64) {
        let (frames, ns) = line.rsplit_once(' ').expect("a number stands at the end");
        (frames.split(';').collect(), ns.parse().expect("a number"))
    }

    #[test]
    fn each_stack_is_a_line_once_and_all_add_up() {
        let read = Some(Place::Call("read"));
        let mut journal = stack("a b 7", read, &["wait", "vfs_read"]);
        journal.part.cause = Cause::Journal;
        let behind_disk = Part { via: Some(Cause::Device), ..journal.part };
        let stacks = [
            (stack("a b 7", read, &["wait", "vfs_read"]), 1 << 60),
            (Sampled { part: behind_disk, ..journal.clone() }, 30),
            (journal, 5),
            (stack("x\ny;", None, &["f g"]), 2),
        ];
        let harvest = Harvest { stacks: stacks.into(), ..Harvest::default() };
        let lines = lines(&harvest, &mut Naming::new(By::Comm, &mut None));
        let parsed: Vec<_> = lines.iter().map(|line| parsed(line)).collect();
        let whole = (1 << 60) + 35;
        assert_eq!(
            parsed,
            [
                (vec!["a b 7", "read", "vfs_read", "wait"], whole),
                (vec![r"x\x0ay:", "block.device", "f g"], 2)
            ]
        );
        assert_eq!(parsed.iter().map(|(_, ns)| ns).sum::<u64>(), harvest.stacks.values().sum::<u64>());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        assert!(Folded::create(Path::new("/proc/nowhere/off.txt")).is_err());
        let stacks = [(stack("web", None, &["a"]), 1)];
        let mut folded = Folded::create(Path::new("/dev/full")).unwrap();
        folded.write(
            &Harvest { stacks: stacks.into(), ..Harvest::default() },
            &mut Naming::new(By::Comm, &mut None),
        );
        let missing = folded.unavailable().unwrap();
        assert!(missing.why.contains("No space") && missing.effect.starts_with("/dev/full"), "{missing:?}");
    }
}
