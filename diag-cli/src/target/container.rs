//! A container as a target: recognised by what container engines call their cgroups, without asking any daemon.

use std::path::Path;

use anyhow::Result;

use super::cgroup::{Cgroup, Place, pick, places, shortlist};
use super::hierarchy::{Hierarchies, Roots};
use super::names::{KnownNames, Names};
use crate::exit::Failure;
use crate::output::record::parties;

/// How many characters of an id tell a container.
const SHORTEST_PREFIX: usize = 4;
/// How many characters of an id are shown, as engines do.
const SHORT_ID: usize = 12;

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its id, or the name of a machine or pod that has no other.
    pub(crate) id: String,
    /// Its name, where some state on disk tells it.
    pub(crate) name: Option<String>,
    /// What runs it: `docker`, `containerd`, `cri-o`, `podman`, `kubernetes`, `lxc`, `nspawn`, or `container`.
    pub(crate) runtime: &'static str,
    /// Its cgroup.
    pub(crate) cgroup: Cgroup,
}

/// What a cgroup's name says of the container in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    runtime: &'static str,
    id: String,
}

/// A container, and its folders in all hierarchies.
struct Found<'a> {
    label: Label,
    names: Names,
    places: Vec<Place<'a>>,
}

impl Found<'_> {
    fn describe(&self) -> String {
        let id: String = self.label.id.chars().take(SHORT_ID).collect();
        match self.names.own.first() {
            Some(name) => format!("{id} ({name})"),
            None => id,
        }
    }

    fn goes_by(&self, wanted: &str) -> bool {
        self.label.id == wanted || self.names.own.iter().any(|name| name == wanted)
    }
}

impl Container {
    /// What records say of it.
    pub(crate) fn record(&self) -> parties::Container {
        parties::Container {
            id: self.id.clone(),
            name: self.name.clone(),
            runtime: Some(self.runtime.to_owned()),
            pod: None,
            namespace: None,
        }
    }

    /// Finds `--container NAME|ID-PREFIX`; [`Failure::Usage`] if there is none, or several.
    ///
    /// A name is one of the engine's, a container's within its pod (`nginx`, `web-7d4b9/nginx`), or a pod's by name or
    /// uid, which means all its containers.
    pub(crate) fn find(hierarchies: &Hierarchies, roots: &Roots, wanted: &str) -> Result<Container> {
        if wanted.is_empty() {
            return Err(Failure::Usage("--container: expected a name or the start of an id".into()).into());
        }
        let running = running(hierarchies, &KnownNames::read(roots));
        let named: Vec<&Found<'_>> = running.iter().filter(|found| found.goes_by(wanted)).collect();
        if !named.is_empty() {
            return only(&named, wanted);
        }
        if let Some(pod) = pod_of(&running, wanted) {
            return only(&[pod], wanted);
        }
        let prefix = wanted.to_ascii_lowercase();
        let matches = |found: &&Found<'_>| is_id(&found.label.id) && found.label.id.starts_with(&prefix);
        let by_id: Vec<&Found<'_>> = running.iter().filter(matches).collect();
        if !by_id.is_empty() && prefix.len() >= SHORTEST_PREFIX {
            return only(&by_id, wanted);
        }
        Err(Failure::Usage(missing(&running, wanted)).into())
    }
}

/// The containers and pods that run here.
fn running<'a>(hierarchies: &'a Hierarchies, known: &KnownNames) -> Vec<Found<'a>> {
    let mut running: Vec<Found<'a>> = Vec::new();
    for place in places(hierarchies, |folder, _| label(folder).is_some()) {
        let Some(label) = label(&place.folder) else { continue };
        match running.iter_mut().find(|found| found.label.id == label.id) {
            Some(found) => found.places.push(place),
            None => {
                let names = if is_id(&label.id) { known.of(&label.id) } else { Names::default() };
                running.push(Found { label, names, places: vec![place] });
            }
        }
    }
    running
}

/// The pod of this name: the folder above that of a container which says that it belongs to the pod.
fn pod_of<'r, 'a>(running: &'r [Found<'a>], wanted: &str) -> Option<&'r Found<'a>> {
    let member = running.iter().find(|found| found.names.pod.iter().any(|pod| pod == wanted))?;
    let pod = member.places.iter().find_map(|place| place.folder.ancestors().skip(1).find_map(label))?;
    running.iter().find(|found| found.label == pod)
}

fn only(found: &[&Found<'_>], wanted: &str) -> Result<Container> {
    let [one] = found else {
        let described: Vec<String> = found.iter().map(|f| f.describe()).collect();
        return Err(
            Failure::Usage(format!("container {wanted} is ambiguous: {}", shortlist(&described))).into()
        );
    };
    Ok(Container {
        id: one.label.id.clone(),
        name: one.names.own.first().cloned(),
        runtime: one.label.runtime,
        cgroup: pick(&one.places, &format!("container {wanted}"))?,
    })
}

fn missing(running: &[Found<'_>], wanted: &str) -> String {
    let described: Vec<String> = running.iter().map(Found::describe).collect();
    let seen = if described.is_empty() {
        "no cgroup here looks like a container's".to_owned()
    } else {
        format!("running are {}", shortlist(&described))
    };
    format!(
        "no container {wanted}: expected a name or at least {SHORTEST_PREFIX} characters of an id; {seen}"
    )
}

/// Whether this is a container's id rather than a name.
fn is_id(text: &str) -> bool {
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
fn label(folder: &Path) -> Option<Label> {
    let name = folder.file_name()?.to_str()?;
    let parent = folder.parent().and_then(Path::file_name).and_then(|p| p.to_str()).unwrap_or_default();
    let labelled = |runtime, id: &str| Some(Label { runtime, id: id.to_owned() });
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
            "docker" => "docker",
            "libpod_parent" => "podman",
            _ if pod_uid(parent).is_some() => "kubernetes",
            _ => "container",
        };
        return labelled(runtime, name);
    }
    if let Some(uid) = pod_uid(name) {
        return labelled("kubernetes", &uid);
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

/// Undoes systemd's escapes (`\x2d`) in the name of a unit.
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
    String::from_utf8_lossy(&out).into_owned()
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
            (format!("/default/{ID}"), "container", ID),
            (format!("/kubepods/besteffort/pod{uid}"), "kubernetes", uid),
            (format!("/kubepods.slice/{slice}"), "kubernetes", uid),
            ("/machine.slice/machine-web\\x2d1.scope".into(), "nspawn", "web-1"),
            ("/machine.slice/systemd-nspawn@web.service".into(), "nspawn", "web"),
            ("/lxc/web".into(), "lxc", "web"),
            ("/lxc.payload.web".into(), "lxc", "web"),
        ] {
            assert_eq!(label(Path::new(&folder)), Some(Label { runtime, id: id.into() }), "{folder}");
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
