//! Files under /proc/sys and /sys that a test changes for its duration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Lab;
use crate::{Outcome, Skip};

/// The file in a lab that remembers how settings were, for a run that is killed.
const MEMORY: &str = "settings";

/// A changed setting; it is put back when this is dropped.
pub(crate) struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Writes `value` to `path`.
    pub(crate) fn change(lab: &Lab, path: impl Into<PathBuf>, value: &str) -> Outcome<Setting> {
        let path = path.into();
        if !path.exists() {
            return Err(Skip::because(format!("no {}", path.display())));
        }
        let failed = |error| panic!("{}: {error}", path.display());
        let before = fs::read_to_string(&path).unwrap_or_else(failed).trim().to_owned();
        let memory = lab.path(MEMORY);
        let mut remembered = fs::read_to_string(&memory).unwrap_or_default();
        remembered.push_str(&format!("{}\t{before}\n", path.display()));
        fs::write(&memory, remembered).expect("a lab takes a note");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{} = {value}: {error}", path.display()));
        Ok(Setting { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        restore(&self.path, &self.before);
    }
}

fn restore(path: &Path, before: &str) {
    if let Err(error) = fs::write(path, before) {
        eprintln!("could not put {} back to {before}: {error}", path.display());
    }
}

/// Puts back what a killed run had changed.
pub(crate) fn restore_all(lab: &Path) {
    let remembered = fs::read_to_string(lab.join(MEMORY)).unwrap_or_default();
    for (path, before) in remembered.lines().rev().filter_map(|line| line.split_once('\t')) {
        restore(Path::new(path), before);
    }
}
