//! `cargo xtask build` and `cargo xtask run`: the release binary, which runs alone on any machine of its architecture.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use xshell::cmd;

use crate::workspace::{Workspace, cargo};
use crate::{privilege, setup};

/// Builds `target/release/osdiag`, with the eBPF objects inside and no library outside.
pub(crate) fn release(workspace: &Workspace) -> Result<PathBuf> {
    setup::ensure(workspace)?;
    let shell = workspace.shell()?;
    let (cargo, host, target) = (cargo(), host()?, workspace.target());
    // With a target named, the flags reach osdiag alone: build scripts, macros and plain cargo builds stay as they are.
    cmd!(
        shell,
        "{cargo} build --release --package diag-cli --bin osdiag --target {host} --target-dir {target}"
    )
    .quiet()
    .env_remove("CARGO_ENCODED_RUSTFLAGS")
    .env("RUSTFLAGS", "-C target-feature=+crt-static")
    .run()
    .context("osdiag does not build")?;
    let built = target.join(host).join("release/osdiag");
    if asks_for_a_loader(&built)? {
        bail!("{} is not static: it asks for a dynamic loader", built.display());
    }
    let osdiag = workspace.osdiag();
    publish(&built, &osdiag)?;
    Ok(osdiag)
}

/// Builds osdiag and becomes it, as root, with these arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let osdiag = release(workspace)?;
    let error = privilege::as_root(osdiag).args(arguments).exec();
    Err(error).context("cannot run osdiag as root")
}

/// The triple of this machine.
fn host() -> Result<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok("x86_64-unknown-linux-gnu"),
        "aarch64" => Ok("aarch64-unknown-linux-gnu"),
        other => bail!("osdiag is not built for {other}"),
    }
}

/// The variable that names the program through which cargo runs this machine's executables.
pub(crate) fn runner_variable() -> Result<String> {
    Ok(format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_")))
}

/// Whether an executable leaves it to another program to load its libraries.
pub(crate) fn asks_for_a_loader(executable: &Path) -> Result<bool> {
    let file = fs::read(executable).with_context(|| format!("cannot read {}", executable.display()))?;
    let header = FileHeader64::<Endianness>::parse(file.as_slice())?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, file.as_slice())?;
    Ok(segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP))
}

/// Puts a copy in place at once, so that an osdiag which is running from there goes on.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<()> {
    let directory = to.parent().context("the binary has no directory")?;
    fs::create_dir_all(directory)?;
    let copy = directory.join(".osdiag.new");
    fs::copy(from, &copy)?;
    fs::rename(&copy, to).with_context(|| format!("cannot put osdiag at {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_executable_is_told() {
        assert!(asks_for_a_loader(&env::current_exe().unwrap()).unwrap());
    }
}
