//! The kernel modules that a guest needs for its disk, with what they depend on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;

/// What stands between the guest and its disk; ext4 is built into the cloud kernels.
const WANTED: [&str; 2] = ["virtio_pci", "virtio_blk"];

/// What faults need beside that: they come first, so that the disks find their scheduler.
const FOR_FAULTS: [&str; 3] = ["mq_deadline", "dm_delay", "fuse"];

/// A module, ready to be loaded.
pub(super) struct Module {
    /// Its name, with underscores.
    pub(super) name: String,
    /// The object, uncompressed.
    pub(super) object: Vec<u8>,
}

/// The modules in an order in which they load; what is built into the kernel is left out.
pub(super) fn collect(kernel: &Kernel, faults: bool) -> Result<Vec<Module>> {
    let modules = kernel.modules.as_ref();
    let modules = modules.with_context(|| format!("{} has no modules", kernel.release))?;
    let mut files = HashMap::new();
    index(&modules.join("kernel"), &mut files)?;
    let list = modules.join("modules.builtin");
    let builtin = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let builtin: Vec<_> = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut loaded = Vec::new();
    let also = if faults { &FOR_FAULTS[..] } else { &[] };
    for name in also.iter().chain(&WANTED) {
        add(name, &files, &builtin, &mut loaded)?;
    }
    Ok(loaded)
}

/// Finds every module below `directory`.
fn index(directory: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `virtio_blk` of `…/virtio-blk.ko.xz`.
fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// Adds a module after those that it depends on.
fn add(
    name: &str,
    files: &HashMap<String, PathBuf>,
    builtin: &[String],
    loaded: &mut Vec<Module>,
) -> Result<()> {
    if builtin.iter().any(|it| it == name) || loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let path = files.get(name).with_context(|| format!("this kernel has no module {name}"))?;
    let object = decompressed(path)?;
    for dependency in dependencies(&object) {
        add(&dependency, files, builtin, loaded)?;
    }
    loaded.push(Module { name: name.to_owned(), object });
    Ok(())
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    match path.extension().and_then(|it| it.to_str()) {
        Some("ko") => Ok(content),
        Some("xz") => {
            let mut object = Vec::new();
            lzma_rs::xz_decompress(&mut content.as_slice(), &mut object)
                .with_context(|| format!("cannot decompress {}", path.display()))?;
            Ok(object)
        }
        _ => bail!("{} is compressed in a way unknown here", path.display()),
    }
}

/// The modules that an object names in its `.modinfo`, a list of `key=value` ended by NUL each.
fn dependencies(object: &[u8]) -> Vec<String> {
    let field = object.split(|&byte| byte == 0).find_map(|field| field.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(field.unwrap_or_default());
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_uses() {
        let name = |path| module_name(Path::new(path));
        assert_eq!(name("kernel/drivers/virtio-blk.ko.xz").as_deref(), Some("virtio_blk"));
        assert_eq!(name("kernel/fs/ext4/ext4.ko").as_deref(), Some("ext4"));
        assert_eq!(name("modules.order"), None);
    }

    #[test]
    fn dependencies_come_from_modinfo() {
        let object = b"\x7fELF\0license=GPL\0depends=virtio,virtio-ring\0retpoline=Y\0";
        assert_eq!(dependencies(object), ["virtio", "virtio_ring"]);
        assert!(dependencies(b"license=GPL\0depends=\0").is_empty());
    }
}
