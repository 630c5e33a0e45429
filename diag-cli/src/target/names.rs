//! The names of containers, from the state that engines keep on disk.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::hierarchy::Roots;

/// Annotations that name a container: of containerd's CRI, of CRI-O, of nerdctl.
const CONTAINER_KEYS: [&str; 3] =
    ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
/// Annotations that name its pod.
const POD_KEYS: [&str; 2] = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];

/// What a container goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Its own names, the one to show first.
    pub(super) own: Vec<String>,
    /// The name of its pod, as far as known.
    pub(super) pod: Option<String>,
}

/// Where to look for the names of containers.
pub(super) struct KnownNames {
    /// By id, from the lists of containers/storage: Podman and CRI-O.
    stored: HashMap<String, Vec<String>>,
    /// Folders in which `<id>/config.v2.json` is Docker's.
    docker: PathBuf,
    /// Folders in which `<id>/config.json` or `<id>/userdata/config.json` is an OCI bundle's.
    bundles: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct StoredContainer {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Deserialize)]
struct DockerContainer {
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Deserialize)]
struct DockerDaemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

impl KnownNames {
    /// Reads the lists; what is not there or cannot be read is passed over.
    pub(super) fn read(roots: &Roots) -> KnownNames {
        let state = &roots.state;
        let mut stored = HashMap::new();
        let homes = folders(&state.join("home")).into_iter().chain([state.join("root")]);
        let storages = homes.map(|home| home.join(".local/share/containers/storage"));
        for storage in storages.chain([state.join("var/lib/containers/storage")]) {
            let list: Option<Vec<StoredContainer>> =
                json(&storage.join("overlay-containers/containers.json"));
            stored.extend(list.into_iter().flatten().map(|c| (c.id, c.names)));
        }
        let configured =
            json::<DockerDaemon>(&state.join("etc/docker/daemon.json")).and_then(|d| d.data_root);
        let docker = configured.unwrap_or_else(|| "/var/lib/docker".into());
        let docker = state.join(docker.strip_prefix("/").unwrap_or(&docker)).join("containers");
        let mut bundles = folders(&state.join("run/containerd/io.containerd.runtime.v2.task"));
        bundles.push(state.join("run/containers/storage/overlay-containers"));
        KnownNames { stored, docker, bundles }
    }

    /// The names of one container.
    pub(super) fn of(&self, id: &str) -> Names {
        let mut names = Names::default();
        if let Some(container) = json::<DockerContainer>(&self.docker.join(id).join("config.v2.json")) {
            names.add(container.name.trim_start_matches('/'));
        }
        for name in self.stored.get(id).into_iter().flatten() {
            names.add(name);
        }
        for bundle in &self.bundles {
            let bundle = bundle.join(id);
            let found =
                json(&bundle.join("config.json")).or_else(|| json(&bundle.join("userdata/config.json")));
            let Some(Bundle { annotations }) = found else { continue };
            let first = |keys: &[&str]| keys.iter().find_map(|&key| annotations.get(key));
            let pod = first(&POD_KEYS);
            if let Some(name) = first(&CONTAINER_KEYS) {
                names.add_in_pod(name, pod.map(String::as_str));
            } else if names.pod.is_none() {
                names.pod = pod.cloned();
            }
        }
        names
    }
}

impl Names {
    /// Adds a name, and what is in it where Kubernetes made it: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
    fn add(&mut self, name: &str) {
        let parts: Vec<&str> = name.split('_').collect();
        match parts[..] {
            ["k8s", "POD", pod, _, _, _] => self.pod = Some(pod.to_owned()),
            ["k8s", container, pod, _, _, _] => self.add_in_pod(container, Some(pod)),
            _ => self.push(name.to_owned()),
        }
    }

    fn add_in_pod(&mut self, container: &str, pod: Option<&str>) {
        if let Some(pod) = pod {
            self.push(format!("{pod}/{container}"));
            self.pod = Some(pod.to_owned());
        }
        self.push(container.to_owned());
    }

    fn push(&mut self, name: String) {
        if !name.is_empty() && !self.own.contains(&name) {
            self.own.push(name);
        }
    }
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(own: &[&str], pod: Option<&str>) -> Names {
        Names { own: own.iter().map(|&n| n.to_owned()).collect(), pod: pod.map(str::to_owned) }
    }

    #[test]
    fn names_are_read_from_each_engines_state() {
        let state = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = state.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/docker/daemon.json", r#"{"data-root": "/data/docker", "debug": true}"#);
        write("data/docker/containers/a1/config.v2.json", r#"{"ID": "a1", "Name": "/web"}"#);
        write(
            "data/docker/containers/a2/config.v2.json",
            r#"{"Name": "/k8s_nginx_web-7d4b9_default_2f5d7c1e-2b8a-4d9c-8f7e-1a2b3c4d5e6f_0"}"#,
        );
        write(
            "var/lib/containers/storage/overlay-containers/containers.json",
            r#"[{"id": "b1", "names": ["db"], "layer": "x"}, {"id": "b2", "names": ["k8s_POD_web_default_u_0"]}]"#,
        );
        write(
            "home/user/.local/share/containers/storage/overlay-containers/containers.json",
            r#"[{"id": "b3", "names": ["rootless"]}]"#,
        );
        let task = "run/containerd/io.containerd.runtime.v2.task";
        write(
            &format!("{task}/k8s.io/c1/config.json"),
            r#"{"ociVersion": "1.0", "annotations": {"io.kubernetes.cri.container-name": "app",
                "io.kubernetes.cri.sandbox-name": "app-0"}}"#,
        );
        write(
            &format!("{task}/k8s.io/c2/config.json"),
            r#"{"annotations": {"io.kubernetes.cri.sandbox-name": "app-0"}}"#,
        );
        write(&format!("{task}/default/c3/config.json"), r#"{"annotations": {"nerdctl/name": "cache"}}"#);
        write(&format!("{task}/default/c4/config.json"), "not json");

        let known = KnownNames::read(&Roots { proc: "/proc".into(), state: state.path().into() });
        assert_eq!(known.of("a1"), names(&["web"], None));
        assert_eq!(known.of("a2"), names(&["web-7d4b9/nginx", "nginx"], Some("web-7d4b9")));
        assert_eq!(known.of("b1"), names(&["db"], None));
        assert_eq!(known.of("b2"), names(&[], Some("web")));
        assert_eq!(known.of("b3"), names(&["rootless"], None));
        assert_eq!(known.of("c1"), names(&["app-0/app", "app"], Some("app-0")));
        assert_eq!(known.of("c2"), names(&[], Some("app-0")));
        assert_eq!(known.of("c3"), names(&["cache"], None));
        assert_eq!(known.of("c4"), Names::default());
    }
}
