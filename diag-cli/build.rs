//! Builds the kernel side, one eBPF object for each of its binaries, and leaves the objects in `OUT_DIR`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use aya_build::{Package, Toolchain};

fn main() -> ExitCode {
    let Err(error) = build() else { return ExitCode::SUCCESS };
    println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
    ExitCode::FAILURE
}

fn build() -> Result<()> {
    let root =
        Path::new(&variable("CARGO_MANIFEST_DIR")?).parent().context("no workspace around this")?.to_owned();
    let kernel_side = root.join("diag-ebpf");
    println!("cargo::rerun-if-changed={}", root.join("diag-common").display());

    let out = PathBuf::from(variable("OUT_DIR")?);
    // The objects are for the kernels of one architecture.
    let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
    share_target(&root.join("target/ebpf").join(architecture), &out.join("aya-build"))?;
    for (name, value) in environment(&root.join("target/tools"))? {
        // SAFETY: this build script has no other thread that could read the environment.
        unsafe { env::set_var(name, value) };
    }
    // The kernel side is a workspace of its own, found by the directory that cargo starts in.
    env::set_current_dir(&kernel_side).context("there is no kernel side to build")?;
    let package = Package {
        name: "diag-ebpf",
        root_dir: kernel_side.to_str().context("the path to the workspace is not UTF-8")?,
        ..Package::default()
    };
    let toolchain = toolchain(&root)?;
    aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)).context("the kernel side does not build")
}

/// What the kernel side's build needs to see, and the rest of this workspace's must not.
fn environment(tools: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let path = env::join_paths([tools.join("bin")].into_iter().chain(env::split_paths(&variable("PATH")?)))?;
    let has_linker = env::split_paths(&path).any(|directory| directory.join("bpf-linker").is_file());
    ensure!(has_linker, "bpf-linker is missing: run `cargo xtask setup`");
    let mut environment = vec![
        ("PATH", path),
        // A core for BPF comes from source, which is no business of a stable compiler.
        ("RUSTC_BOOTSTRAP", "1".into()),
        // What aya-build hears from cargo becomes a warning each; leave the ones that are.
        ("CARGO_TERM_QUIET", "true".into()),
    ];
    if let Some(source) = source_of_core(tools)? {
        environment.push(("__CARGO_TESTS_ONLY_SRC_ROOT", source.into()));
    }
    Ok(environment)
}

/// The source of `core` where set-up unpacked it; none where the compiler has its own.
fn source_of_core(tools: &Path) -> Result<Option<PathBuf>> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    if has_core(&Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library")) {
        return Ok(None);
    }
    let version = rustc(&["--version"])?;
    let version = version.split_whitespace().nth(1).context("rustc does not tell its version")?;
    let unpacked = tools.join(format!("rust-src-{version}"));
    if !has_core(&unpacked) {
        bail!("the source of Rust {version} is missing: run `cargo xtask setup`");
    }
    Ok(Some(unpacked))
}

fn has_core(library: &Path) -> bool {
    library.join("core/Cargo.toml").is_file()
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let output = Command::new(variable("RUSTC")?).args(arguments).output().context("cannot run rustc")?;
    String::from_utf8(output.stdout).context("rustc does not speak UTF-8")
}

/// The toolchain that builds this package, by rustup's name for it.
fn toolchain(root: &Path) -> Result<String> {
    if let Ok(active) = env::var("RUSTUP_TOOLCHAIN") {
        return Ok(active);
    }
    let pinned = fs::read_to_string(root.join("rust-toolchain.toml")).context("no toolchain is pinned")?;
    let channel = pinned.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    channel.map(str::to_owned).context("rust-toolchain.toml names no channel")
}

/// Lets builds of every profile share one target directory, so that the kernel side is compiled once for all.
fn share_target(shared: &Path, private: &Path) -> Result<()> {
    fs::create_dir_all(shared).with_context(|| format!("cannot create {}", shared.display()))?;
    match symlink(shared, private) {
        // In a target directory that was copied, the link leads to where the original builds.
        Err(error)
            if error.kind() == ErrorKind::AlreadyExists
                && fs::read_link(private).is_ok_and(|place| place != shared) =>
        {
            fs::remove_file(private).and_then(|()| symlink(shared, private))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
    .with_context(|| format!("cannot link to {}", shared.display()))
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: run me through cargo"))
}
