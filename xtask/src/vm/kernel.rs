//! The distributions' kernels, fetched once and unpacked under `target/vm/kernels`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::say;
use super::series::{Series, Vendor};
use crate::setup::apt::Archive;

/// How packages with a kernel in them are named.
const IMAGE: &str = "linux-image-";

/// The packages that the image can be in: of newer kernels not in that of its name.
const WITH_IMAGE: [&str; 2] = [IMAGE, "linux-binary-"];
/// And what else is needed where modules are.
const WITH_MODULES: [&str; 2] = ["linux-modules-", "linux-base-"];

/// Where Debian has the key of Ubuntu's archive: the suite, the package, and the file in it.
const KEYRING: (&str, &str, &str) =
    ("trixie", "ubuntu-keyring", "usr/share/keyrings/ubuntu-archive-keyring.gpg");

/// A kernel.
pub(super) struct Kernel {
    /// What `uname -r` will say.
    pub(super) release: String,
    /// The compressed kernel.
    pub(super) image: PathBuf,
    /// The directory of its modules; of kernels on which nothing but loading is tried they are not kept.
    pub(super) modules: Option<PathBuf>,
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
    let keyring = match series.vendor {
        Vendor::Debian => None,
        Vendor::Ubuntu => Some(keyring(directory)?),
    };
    for suite in series.suites {
        let place = scratch.path().join(suite);
        let archive = match &keyring {
            None => Archive::open(&place, suite)?,
            Some(keyring) => Archive::of_ubuntu(&place, suite, keyring)?,
        };
        let packages = archive.names(&format!("{IMAGE}{}.", series.version))?;
        let Some(release) = newest(&packages, series.flavour) else { continue };
        say(format!("{}: fetching {release} from {suite}", series.name));
        let mut unpacked = unpack(&archive, release, series.whole)?;
        if !series.whole {
            unpacked = image_alone(&unpacked, &scratch.path().join("image"))?;
        }
        return fs::rename(unpacked, root)
            .with_context(|| format!("cannot move the kernel to {}", root.display()));
    }
    bail!("no such kernel package in {}, or they cannot be reached", series.suites.join(", "))
}

/// The key of Ubuntu's archive: the system's own, or Debian's copy of it, which is only unpacked.
fn keyring(directory: &Path) -> Result<PathBuf> {
    let (suite, package, file) = KEYRING;
    let own = Path::new("/").join(file);
    let kept = directory.join("ubuntu-archive-keyring.gpg");
    if let Some(there) = [own, kept.clone()].into_iter().find(|place| place.is_file()) {
        return Ok(there);
    }
    let scratch = tempfile::tempdir_in(directory)?;
    let archive = Archive::open(scratch.path(), suite)?;
    let versions = archive.versions(package)?;
    let version =
        versions.first().with_context(|| format!("no key of Ubuntu's archive: {suite} has no {package}"))?;
    fs::rename(archive.unpack(package, version)?.join(file), &kept)
        .with_context(|| format!("{package} has no {file}"))?;
    Ok(kept)
}

/// The release of the newest kernel of a flavour among image packages; one that is not signed only where no other is.
fn newest<'a>(packages: &'a [String], flavour: &str) -> Option<&'a str> {
    let of = |ending: String| {
        let releases = packages.iter().filter_map(|package| package.strip_prefix(IMAGE));
        releases.filter(move |release| release.ends_with(&ending)).max_by_key(|release| numbers(release))
    };
    of(format!("-{flavour}")).or_else(|| of(format!("-{flavour}-unsigned")))
}

/// The numbers in a version, by which versions are ordered.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|it: char| !it.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Unpacks the packages of one kernel: some have more than one.
fn unpack(archive: &Archive, release: &str, modules: bool) -> Result<PathBuf> {
    let mut root = None;
    let others = if modules { &WITH_MODULES[..] } else { &[] };
    for prefix in WITH_IMAGE.iter().chain(others) {
        let package = format!("{prefix}{release}");
        if let Some(version) = archive.versions(&package)?.first() {
            root = Some(archive.unpack(&package, version)?);
        }
    }
    root.with_context(|| format!("the package of {release} has no version"))
}

/// Moves what boots out of an unpacked kernel, whose modules can take hundreds of MB.
fn image_alone(unpacked: &Path, root: &Path) -> Result<PathBuf> {
    let Kernel { release, image, .. } = open(unpacked)?;
    fs::create_dir_all(root.join("boot"))?;
    fs::rename(image, root.join(format!("boot/vmlinuz-{release}")))?;
    Ok(root.to_owned())
}

/// Finds the parts of an unpacked kernel, in their old places or the new ones.
fn open(root: &Path) -> Result<Kernel> {
    let places = ["usr/lib/modules", "lib/modules"].map(|place| root.join(place));
    let modules = places.iter().flat_map(|place| entries(place)).next();
    let boot = entries(&root.join("boot")).find_map(|path| {
        let release = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some((release, path))
    });
    let beside = || {
        let modules = modules.as_ref()?;
        Some((modules.file_name()?.to_str()?.to_owned(), modules.join("vmlinuz")))
    };
    let (release, image) = boot
        .or_else(beside)
        .filter(|(_, image)| image.is_file())
        .with_context(|| format!("{} has no kernel in it", root.display()))?;
    Ok(Kernel { release, image, modules })
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
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
        assert_eq!(newest(&packages, "cloud-amd64"), Some("6.12.117+deb12-cloud-amd64"));
        assert_eq!(newest(&packages, "rt-amd64"), None);
    }

    #[test]
    fn what_is_unsigned_is_better_than_nothing() {
        let packages = packages(&["6.1.0-56-cloud-amd64-unsigned", "6.1.0-56-amd64"]);
        assert_eq!(newest(&packages, "cloud-amd64"), Some("6.1.0-56-cloud-amd64-unsigned"));
        assert_eq!(newest(&[], "cloud-amd64"), None);
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
            assert_eq!(kernel.modules, Some(root.path().join(modules)));
            let alone = open(&image_alone(root.path(), &root.path().join("alone")).unwrap()).unwrap();
            assert_eq!((alone.release, alone.modules), (kernel.release, None));
        }
    }
}
