//! The distribution's kernels, fetched once and unpacked under `target/vm/kernels`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::say;
use crate::setup::apt::Archive;

/// A line of kernels, of which the newest is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// The first parts of its version.
    pub(super) name: &'static str,
    /// The suites that may have it, the likeliest first.
    suites: &'static [&'static str],
}

/// How packages with a kernel in them are named.
const IMAGE: &str = "linux-image-";

/// What is tested when nothing is asked for, and what can be asked for.
const SERIES: [Series; 4] = [
    Series { name: "5.10", suites: &["bullseye-security", "bullseye"] },
    Series { name: "6.1", suites: &["bookworm-security", "bookworm"] },
    Series { name: "6.12", suites: &["bookworm-backports", "trixie"] },
    Series { name: "7", suites: &["trixie-backports", "sid"] },
];

/// The kernels asked for, or all of them.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Series>> {
    if names.is_empty() {
        return Ok(SERIES.iter().collect());
    }
    names.iter().map(|name| find(name)).collect()
}

fn find(name: &str) -> Result<&'static Series> {
    SERIES.iter().find(|series| series.name == name).with_context(|| {
        format!("no kernel {name} to test: it is one of {}", SERIES.map(|series| series.name).join(", "))
    })
}

/// A kernel with its modules.
pub(super) struct Kernel {
    /// What `uname -r` will say.
    pub(super) release: String,
    /// The compressed kernel.
    pub(super) image: PathBuf,
    /// The directory of its modules.
    pub(super) modules: PathBuf,
}

/// Fetches the newest kernel of `series` into `directory`, unless one is there.
pub(super) fn ensure(directory: &Path, series: &Series) -> Result<Kernel> {
    let root = directory.join("kernels").join(series.name);
    if !root.exists() {
        fetch(directory, series, &root)?;
    }
    open(&root)
}

fn fetch(directory: &Path, series: &Series, root: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("kernels"))?;
    let scratch = tempfile::tempdir_in(directory)?;
    for suite in series.suites {
        let archive = Archive::open(&scratch.path().join(suite), suite)?;
        let packages = archive.names(&format!("{IMAGE}{}.", series.name))?;
        let Some(release) = newest(&packages) else { continue };
        say(format!("{}: fetching {release} from {suite}", series.name));
        return fs::rename(unpack(&archive, release)?, root)
            .with_context(|| format!("cannot move the kernel to {}", root.display()));
    }
    bail!("no such kernel package in {}", series.suites.join(", "))
}

/// The release of the newest cloud kernel among image packages; one that is not signed only where no other is.
fn newest(packages: &[String]) -> Option<&str> {
    let cloud = |ending| {
        let releases = packages.iter().filter_map(|package| package.strip_prefix(IMAGE));
        releases.filter(move |release| release.ends_with(ending)).max_by_key(|release| numbers(release))
    };
    cloud("-cloud-amd64").or_else(|| cloud("-cloud-amd64-unsigned"))
}

/// The numbers in a version, by which versions are ordered.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|it: char| !it.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Unpacks the packages of one kernel: newer ones have more than one.
fn unpack(archive: &Archive, release: &str) -> Result<PathBuf> {
    let mut root = None;
    for prefix in [IMAGE, "linux-binary-", "linux-modules-", "linux-base-"] {
        let package = format!("{prefix}{release}");
        if let Some(version) = archive.versions(&package)?.first() {
            root = Some(archive.unpack(&package, version)?);
        }
    }
    root.with_context(|| format!("the package of {release} has no version"))
}

/// Finds the parts of an unpacked kernel, in their old places or the new ones.
fn open(root: &Path) -> Result<Kernel> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|place| only_entry(&root.join(place)))
        .with_context(|| format!("{} has no modules in it", root.display()))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = [modules.join("vmlinuz"), root.join(format!("boot/vmlinuz-{release}"))]
        .into_iter()
        .find(|image| image.is_file())
        .with_context(|| format!("{} has no kernel in it", root.display()))?;
    Ok(Kernel { release, image, modules })
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(directory).ok()?.next()?.ok()?.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("{IMAGE}{name}")).collect()
    }

    #[test]
    fn the_newest_is_so_by_number() {
        let packages = packages(&[
            "6.12.90+deb12.1-cloud-amd64",
            "6.12.117+deb12-cloud-amd64",
            "6.12.117+deb12-cloud-amd64-dbg",
            "6.12.118+deb12-amd64",
            "6.12.119+deb12-cloud-amd64-unsigned",
        ]);
        assert_eq!(newest(&packages), Some("6.12.117+deb12-cloud-amd64"));
    }

    #[test]
    fn what_is_unsigned_is_better_than_nothing() {
        assert_eq!(
            newest(&packages(&["6.1.0-56-cloud-amd64-unsigned", "6.1.0-56-amd64"])),
            Some("6.1.0-56-cloud-amd64-unsigned")
        );
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn kernels_are_asked_for_by_series() {
        assert_eq!(chosen(&["6.1".to_owned()]).unwrap(), [find("6.1").unwrap()]);
        assert_eq!(chosen(&[]).unwrap().len(), SERIES.len());
        assert!(chosen(&["2.4".to_owned()]).unwrap_err().to_string().contains("5.10, 6.1"));
    }

    #[test]
    fn both_layouts_of_packages_are_read() {
        for (modules, image) in [
            ("lib/modules/5.10.0-1-cloud-amd64", "boot/vmlinuz-5.10.0-1-cloud-amd64"),
            ("usr/lib/modules/7.3.4-cloud-amd64", "usr/lib/modules/7.3.4-cloud-amd64/vmlinuz"),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join(modules)).unwrap();
            fs::create_dir_all(root.path().join("boot")).unwrap();
            fs::write(root.path().join(image), "").unwrap();
            let kernel = open(root.path()).unwrap();
            assert_eq!(kernel.image, root.path().join(image));
            assert!(modules.ends_with(&kernel.release));
        }
    }
}
