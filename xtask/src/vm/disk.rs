//! The guests' disk: one image with an empty ext4, which each guest sees as new.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

const SIZE: u64 = 256 << 20;

/// Makes the image in `directory` unless it is there.
pub(super) fn ensure(shell: &Shell, directory: &Path) -> Result<PathBuf> {
    let disk = directory.join("ext4.img");
    if disk.exists() {
        return Ok(disk);
    }
    fs::create_dir_all(directory)?;
    let new = directory.join("ext4.img.new");
    File::create(&new)?.set_len(SIZE)?;
    // mkfs lies where the PATH of an ordinary user does not lead.
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let _path = shell.push_env("PATH", path);
    cmd!(shell, "mkfs.ext4 -q -F {new}").quiet().run().context("cannot make an ext4 image")?;
    fs::rename(&new, &disk)?;
    Ok(disk)
}
