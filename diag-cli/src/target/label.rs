//! What the name of a cgroup says of the container in it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::output::text::escape;

/// What a cgroup's name says of the container in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// `docker`, `containerd`, `cri-o`, `podman`, `kubernetes`, `lxc`, `nspawn`; `None` where the name does not say.
    pub(super) runtime: Option<&'static str>,
    /// A container's id, a pod's uid, or the name of a machine.
    pub(super) id: String,
    /// Whether it is a pod, with containers in it.
    pub(super) is_pod: bool,
}

/// Whether this is a container's id rather than a name.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What engines put before the id in a cgroup's name.
const PREFIXES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

/// The container that a cgroup's folder is for. Only folders that hold the whole container count, not the monitors
/// beside it nor what it has inside.
pub(super) fn label(folder: &Path) -> Option<Label> {
    let name = escape(folder.file_name()?.as_bytes());
    let name = name.as_str();
    let parent = folder.parent().and_then(Path::file_name).and_then(|p| p.to_str()).unwrap_or_default();
    let labelled =
        |runtime, id: &str| Some(Label { runtime: Some(runtime), id: id.to_owned(), is_pod: false });
    let stem = name.strip_suffix(".scope").unwrap_or(name);

    let known = PREFIXES.iter().find_map(|(prefix, runtime)| Some((*runtime, stem.strip_prefix(prefix)?)));
    if let Some((runtime, id)) = known.filter(|(_, id)| is_id(id)) {
        return labelled(runtime, id);
    }
    // containerd with the systemd driver's syntax but without that driver: `kubepods-pod….slice:cri-containerd:<id>`.
    if let Some(id) = name.rsplit_once(":cri-containerd:").map(|(_, id)| id).filter(|id| is_id(id)) {
        return labelled("containerd", id);
    }
    if is_id(name) {
        let runtime = match parent {
            "docker" => Some("docker"),
            "libpod_parent" => Some("podman"),
            _ => pod_uid(parent).map(|_| "kubernetes"),
        };
        return Some(Label { runtime, id: name.to_owned(), is_pod: false });
    }
    if let Some(uid) = pod_uid(name) {
        return Some(Label { runtime: Some("kubernetes"), id: uid, is_pod: true });
    }
    if let Some(machine) = stem.strip_prefix("machine-").filter(|_| name.ends_with(".scope")) {
        return labelled("nspawn", &unescape(machine));
    }
    if let Some(machine) = name.strip_prefix("systemd-nspawn@").and_then(|n| n.strip_suffix(".service")) {
        return labelled("nspawn", &unescape(machine));
    }
    if let Some(machine) = name.strip_prefix("lxc.payload.") {
        return labelled("lxc", machine);
    }
    if parent == "lxc" || parent == "lxc.payload" {
        return labelled("lxc", name);
    }
    None
}

/// The uid of the pod that a cgroup is for: `pod<uid>`, or `kubepods-burstable-pod<uid with _ for ->.slice`.
fn pod_uid(name: &str) -> Option<String> {
    let uid = match name.strip_suffix(".slice") {
        Some(slice) if slice.starts_with("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    // Static pods have the hash of their manifest for a uid.
    (digits == 32 && uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())).then_some(uid)
}

/// Undoes systemd's escapes (`\x2d`) in the name of a unit; what is no text then is [`escape`]d.
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => out.extend_from_slice(format!("\\x{part}").as_bytes()),
        }
    }
    escape(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_folder_tells_its_container() {
        let uid = "2f5d7c1e-2b8a-4d9c-8f7e-1a2b3c4d5e6f";
        let slice = "kubepods-burstable-pod2f5d7c1e_2b8a_4d9c_8f7e_1a2b3c4d5e6f.slice";
        for (folder, runtime, id) in [
            (format!("/sys/system.slice/docker-{ID}.scope"), "docker", ID),
            (format!("/docker/{ID}"), "docker", ID),
            (format!("/k/{slice}/cri-containerd-{ID}.scope"), "containerd", ID),
            (format!("/system.slice/{slice}:cri-containerd:{ID}"), "containerd", ID),
            (format!("/k/{slice}/crio-{ID}.scope"), "cri-o", ID),
            (format!("/machine.slice/libpod-{ID}.scope"), "podman", ID),
            (format!("/libpod_parent/libpod-{ID}"), "podman", ID),
            (format!("/kubepods/besteffort/pod{uid}/{ID}"), "kubernetes", ID),
            (format!("/default/{ID}"), "", ID),
            (format!("/kubepods/besteffort/pod{uid}"), "kubernetes", uid),
            (format!("/kubepods.slice/{slice}"), "kubernetes", uid),
            ("/machine.slice/machine-web\\x2d1.scope".into(), "nspawn", "web-1"),
            ("/machine.slice/systemd-nspawn@web.service".into(), "nspawn", "web"),
            ("/lxc/web".into(), "lxc", "web"),
            ("/lxc.payload.web".into(), "lxc", "web"),
        ] {
            let runtime = Some(runtime).filter(|runtime| !runtime.is_empty());
            let expected = Label { runtime, id: id.into(), is_pod: id == uid };
            assert_eq!(label(Path::new(&folder)), Some(expected), "{folder}");
        }
        for folder in [
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/k/crio-conmon-{ID}.scope"),
            format!("/docker/{ID}/init"),
            "/system.slice/docker.service".into(),
            "/docker/0123456789abcdef".into(),
            "/kubepods.slice/kubepods-burstable.slice".into(),
            "/lxc.monitor.web".into(),
            "/podman".into(),
            "/".into(),
        ] {
            assert_eq!(label(Path::new(&folder)), None, "{folder}");
        }
    }

    #[test]
    fn escapes_of_systemd_are_undone() {
        assert_eq!(unescape("a\\x2db\\x20c"), "a-b c");
        assert_eq!(unescape("broken\\xzz\\x"), "broken\\xzz\\x");
    }
}
