//! The names of containers, from the state that engines keep on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::hierarchy::Roots;
use super::state_file::{Refusal, StateFolder, StateRoot};
use crate::output::text::escape;

/// Annotations that name a container: of containerd's CRI, of CRI-O, of nerdctl.
const CONTAINER_KEYS: [&str; 3] =
    ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
/// Annotations that name its pod.
const POD_KEYS: [&str; 2] = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];
/// Annotations that name the pod's namespace.
const NAMESPACE_KEYS: [&str; 2] = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"];

/// How old the lists may be when a container is in none of them.
const REREAD_AFTER: Duration = Duration::from_secs(1);

/// What a container goes by. All of it is [`escape`]d: some of these files users write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Its own names, the one to show first.
    pub(super) own: Vec<String>,
    /// The name of its pod, as far as known.
    pub(super) pod: Option<String>,
    /// The pod's namespace, as far as known.
    pub(super) namespace: Option<String>,
}

/// Where to look for the names of containers. What is not there is passed over.
pub(super) struct KnownNames {
    root: StateRoot,
    /// The lists of containers/storage, which Podman and CRI-O keep.
    stores: Vec<Store>,
    /// The folder in which `<id>/config.v2.json` is Docker's.
    docker: Option<StateFolder>,
    /// Folders in which `<id>/config.json` or `<id>/userdata/config.json` is an OCI bundle's.
    bundles: Vec<StateFolder>,
    read_at: Instant,
    refused: Vec<Refusal>,
}

/// A list of containers, and whose it is.
struct Store {
    uid: u32,
    /// Names by id.
    containers: HashMap<String, Vec<String>>,
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

/// The list of a containers/storage.
const LIST: &str = "overlay-containers/containers.json";

impl KnownNames {
    /// Reads the lists.
    pub(super) fn read(roots: &Roots) -> KnownNames {
        let mut known = KnownNames {
            root: StateRoot::new(roots),
            stores: Vec::new(),
            docker: None,
            bundles: Vec::new(),
            read_at: Instant::now(),
            refused: Vec::new(),
        };
        known.read_lists();
        known
    }

    /// What could not be read, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = &str> {
        self.refused.iter().map(|refusal| refusal.0.as_str())
    }

    /// Who counts as root, whose state names every container that users cannot have made.
    pub(super) fn system(&self) -> u32 {
        self.root.system()
    }

    fn read_lists(&mut self) {
        self.read_at = Instant::now();
        self.refused.clear();
        let system = self.root.system();
        let mut stores = Vec::new();
        let home = self.root.folder(Path::new("home"));
        let home = self.noted(home);
        let homes = home.iter().flat_map(StateFolder::names).map(|name| Path::new("home").join(name));
        for home in homes.chain(["root".into()]) {
            let folder = self.root.home(&home);
            let Some(folder) = self.noted(folder) else { continue };
            let list = folder.json(&Path::new(".local/share/containers/storage").join(LIST), folder.uid);
            stores.extend(self.noted(list).map(|list| Store::new(list, folder.uid)));
        }
        let folder = self.folder("var/lib/containers/storage");
        let list = folder.and_then(|folder| self.noted(folder.json(Path::new(LIST), system)));
        stores.extend(list.map(|list| Store::new(list, system)));
        self.stores = stores;

        let folder = self.folder("etc/docker");
        let daemon: Option<DockerDaemon> =
            folder.and_then(|folder| self.noted(folder.json(Path::new("daemon.json"), system)));
        let data_root = daemon.and_then(|daemon| daemon.data_root);
        let data_root = data_root.unwrap_or_else(|| "/var/lib/docker".into());
        self.docker = self.folder(data_root.join("containers"));

        let tasks = "run/containerd/io.containerd.runtime.v2.task";
        let namespaces = self.folder(tasks).map(|folder| folder.names()).unwrap_or_default();
        let bundles: Vec<PathBuf> = namespaces.iter().map(|name| Path::new(tasks).join(name)).collect();
        let bundles = bundles.into_iter().chain(["run/containers/storage/overlay-containers".into()]);
        self.bundles = bundles.filter_map(|bundle| self.folder(bundle)).collect();
    }

    fn folder(&mut self, path: impl AsRef<Path>) -> Option<StateFolder> {
        let folder = self.root.folder(path.as_ref());
        self.noted(folder)
    }

    /// Keeps the reason where something is not read.
    fn noted<T>(&mut self, found: Result<Option<T>, Refusal>) -> Option<T> {
        found.unwrap_or_else(|refusal| {
            if !self.refused.contains(&refusal) {
                self.refused.push(refusal);
            }
            None
        })
    }

    /// The names of one container whose cgroup only root or the user `maker` can have made. A user's own list names only
    /// what that user made, and root's only what no user can have made.
    pub(super) fn of(&mut self, id: &str, maker: u32) -> Names {
        let names = self.look_up(id, maker);
        if names != Names::default() || self.read_at.elapsed() < REREAD_AFTER {
            return names;
        }
        self.read_lists();
        self.look_up(id, maker)
    }

    fn look_up(&mut self, id: &str, maker: u32) -> Names {
        let mut names = Names::default();
        let of_system = maker == self.system();
        let docker = self.docker.as_ref().filter(|_| of_system);
        let file = docker.map(|docker| docker.json(&Path::new(id).join("config.v2.json"), maker));
        let container: Option<DockerContainer> = file.and_then(|file| self.noted(file));
        if let Some(container) = container {
            names.add(container.name.trim_start_matches('/'));
        }
        for store in self.stores.iter().filter(|store| store.uid == maker) {
            for name in store.containers.get(id).into_iter().flatten() {
                names.add(name);
            }
        }
        let bundles = self.bundles.iter().filter(|_| of_system);
        let files = |bundle: &StateFolder| {
            ["config.json", "userdata/config.json"].map(|file| bundle.json(&Path::new(id).join(file), maker))
        };
        let files: Vec<_> = bundles.flat_map(files).collect();
        for Bundle { annotations } in files.into_iter().filter_map(|file| self.noted(file)) {
            names.add_annotated(&annotations);
        }
        names
    }
}

impl Store {
    fn new(list: Vec<StoredContainer>, uid: u32) -> Store {
        Store { uid, containers: list.into_iter().map(|c| (c.id, c.names)).collect() }
    }
}

impl Names {
    /// Adds a name, and what is in it where Kubernetes made it: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
    fn add(&mut self, name: &str) {
        let parts: Vec<&str> = name.split('_').collect();
        match parts[..] {
            ["k8s", container, pod, namespace, _, _] => {
                self.namespace = Some(escape(namespace.as_bytes()));
                self.add_in_pod(Some(container).filter(|name| *name != "POD"), Some(pod));
            }
            _ => self.push(name),
        }
    }

    fn add_annotated(&mut self, annotations: &HashMap<String, String>) {
        let first = |keys: &[&str]| keys.iter().find_map(|&key| annotations.get(key)).map(String::as_str);
        if let Some(namespace) = first(&NAMESPACE_KEYS) {
            self.namespace = Some(escape(namespace.as_bytes()));
        }
        self.add_in_pod(first(&CONTAINER_KEYS), first(&POD_KEYS));
    }

    fn add_in_pod(&mut self, container: Option<&str>, pod: Option<&str>) {
        if let Some(pod) = pod {
            self.pod = Some(escape(pod.as_bytes()));
            if let Some(container) = container {
                self.push(&format!("{pod}/{container}"));
            }
        }
        if let Some(container) = container {
            self.push(container);
        }
    }

    fn push(&mut self, name: &str) {
        let name = escape(name.as_bytes());
        if !name.is_empty() && !self.own.contains(&name) {
            self.own.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(own: &[&str], pod: Option<&str>, namespace: Option<&str>) -> Names {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Names {
            own: own.iter().map(|&n| n.to_owned()).collect(),
            pod: owned(pod),
            namespace: owned(namespace),
        }
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
                "io.kubernetes.cri.sandbox-name": "app-0",
                "io.kubernetes.cri.sandbox-namespace": "shop"}}"#,
        );
        write(
            &format!("{task}/k8s.io/c2/config.json"),
            r#"{"annotations": {"io.kubernetes.cri.sandbox-name": "app-0"}}"#,
        );
        write(&format!("{task}/default/c3/config.json"), r#"{"annotations": {"nerdctl/name": "cache"}}"#);
        write(&format!("{task}/default/c4/config.json"), "not json");

        let mut known = KnownNames::read(&Roots { proc: "/proc".into(), state: state.path().into() });
        let system = known.system();
        let mut of = |id: &str| known.of(id, system);
        assert_eq!(of("a1"), names(&["web"], None, None));
        assert_eq!(of("a2"), names(&["web-7d4b9/nginx", "nginx"], Some("web-7d4b9"), Some("default")));
        assert_eq!(of("b1"), names(&["db"], None, None));
        assert_eq!(of("b2"), names(&[], Some("web"), Some("default")));
        assert_eq!(of("b3"), names(&["rootless"], None, None));
        assert_eq!(of("c1"), names(&["app-0/app", "app"], Some("app-0"), Some("shop")));
        assert_eq!(of("c2"), names(&[], Some("app-0"), None));
        assert_eq!(of("c3"), names(&["cache"], None, None));
        assert_eq!(of("c4"), Names::default());
    }
}
