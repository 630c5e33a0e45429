//! The initramfs: a cpio archive in the kernel's format, newc.

use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::path::Path;

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType};
use cpio::write_cpio;

use super::modules::Module;

/// Writes an archive with the guest's program as process 1, osdiag, and the modules in the order of their loading.
pub(super) fn write(path: &Path, guest: &Path, osdiag: &Path, modules: &[Module]) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut entries = vec![directory("modules"), file("init", read(guest)?), file("osdiag", read(osdiag)?)];
    for (number, Module { name, object }) in modules.iter().enumerate() {
        entries.push(file(&format!("modules/{number:02}-{name}"), object.clone()));
    }
    write_cpio(entries.into_iter(), BufWriter::new(File::create(path)?))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

type Entry = (Builder, Cursor<Vec<u8>>);

fn directory(name: &str) -> Entry {
    (Builder::new(name).mode(0o755).set_mode_file_type(ModeFileType::Directory), Cursor::default())
}

fn file(name: &str, content: Vec<u8>) -> Entry {
    (Builder::new(name).mode(0o755).set_mode_file_type(ModeFileType::Regular), Cursor::new(content))
}
