use std::fs;
use std::os::unix::fs::chown;

use super::tests::{DB, Machine, WEB, refused};
use super::*;
use crate::output::record::parties;

#[test]
fn a_container_is_found_by_name_and_by_the_start_of_its_id() {
    let machine = Machine::hybrid();
    machine.busy(&format!("memory/docker/{WEB}"));
    machine.idle(&format!("unified/docker/{WEB}"));
    machine.busy(&format!("memory/machine.slice/libpod-{DB}.scope/container"));
    machine.busy("memory/lxc.payload.mail");
    machine.write(&format!("var/lib/docker/containers/{WEB}/config.v2.json"), r#"{"Name": "/web"}"#);
    machine.write(
        "var/lib/containers/storage/overlay-containers/containers.json",
        &format!(r#"[{{"id": "{DB}", "names": ["db"]}}]"#),
    );
    let web = machine.container("web").unwrap();
    let identity = &web.identity;
    assert_eq!(
        (identity.id.as_str(), identity.name.as_deref(), identity.runtime),
        (WEB, Some("web"), Some("docker"))
    );
    assert_eq!(web.cgroup.folder, machine.at(&format!("memory/docker/{WEB}")));
    assert_eq!(machine.container("aaaa4").unwrap(), web);
    assert_eq!(machine.container("AAAA4").unwrap(), web);
    assert_eq!(machine.container("db").unwrap().identity.runtime, Some("podman"));
    assert_eq!(machine.container("mail").unwrap().identity.runtime, Some("lxc"));
    let why = refused(machine.container("aaaa"));
    for part in ["ambiguous", "aaaabbbb89ab (db)", "aaaa456789ab (web)"] {
        assert!(why.contains(part), "{why}");
    }
    for unknown in ["aaa", "cache", "bbbb", ""] {
        refused(machine.container(unknown));
    }
    assert!(refused(machine.container("aaa")).contains("at least 4 characters of an id; running are "));
}

#[test]
fn a_pod_is_found_by_name_and_its_containers_within_it() {
    let mut machine = Machine::new();
    machine.mount("unified", "cgroup2", "rw");
    let uid = "2f5d7c1e-2b8a-4d9c-8f7e-1a2b3c4d5e6f";
    let pod = "unified/kubepods.slice/kubepods-pod2f5d7c1e_2b8a_4d9c_8f7e_1a2b3c4d5e6f.slice";
    for (id, annotations) in [
        (WEB, r#"{"io.kubernetes.cri.container-name": "nginx", "io.kubernetes.cri.sandbox-name": "web-0"}"#),
        (DB, r#"{"io.kubernetes.cri.sandbox-name": "web-0"}"#),
    ] {
        machine.busy(&format!("{pod}/cri-containerd-{id}.scope"));
        let bundle = format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json");
        machine.write(&bundle, &format!(r#"{{"annotations": {annotations}}}"#));
    }
    assert_eq!(machine.container("nginx").unwrap().identity.id, WEB);
    assert_eq!(machine.container("web-0/nginx").unwrap().identity.id, WEB);
    for name in ["web-0", uid] {
        let found = machine.container(name).unwrap();
        assert_eq!((found.identity.id.as_str(), found.cgroup.folder), (uid, machine.at(pod)), "{name}");
    }
}

const LIST: &str = ".local/share/containers/storage/overlay-containers/containers.json";
/// Two users.
const ALICE: u32 = 4_000_001;
const BOB: u32 = 4_000_002;

impl Machine {
    /// A list of containers in a user's home.
    fn store(&self, user: &str, uid: u32, list: &[(&str, &str)]) {
        let list: Vec<String> =
            list.iter().map(|(id, name)| format!(r#"{{"id": "{id}", "names": ["{name}"]}}"#)).collect();
        let path = format!("home/{user}/{LIST}");
        self.write(&path, &format!("[{}]", list.join(", ")));
        chown(self.at(&format!("home/{user}")), Some(uid), None).unwrap();
        chown(self.at(&path), Some(uid), None).unwrap();
    }

    /// The cgroup of a user's own manager, with a container in it.
    fn rootless(&self, uid: u32, id: &str) {
        let manager = format!("unified/user.slice/user-{uid}.slice/user@{uid}.service");
        self.busy(&format!("{manager}/user.slice/libpod-{id}.scope"));
        chown(self.at(&manager), Some(uid), None).unwrap();
    }
}

/// Whether files can be given to others here.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can give files to others");
    }
    root
}

#[test]
fn a_users_list_names_only_that_users_containers() {
    if !is_root() {
        return;
    }
    let machine = Machine::hybrid();
    machine.rootless(ALICE, WEB);
    machine.busy(&format!("unified/docker/{DB}"));
    machine.write(&format!("var/lib/docker/containers/{DB}/config.v2.json"), r#"{"Name": "/db"}"#);
    machine.store("alice", ALICE, &[(WEB, "web"), (DB, "payroll")]);
    machine.store("bob", BOB, &[(WEB, "mine"), (DB, "mine")]);
    assert_eq!(machine.container("web").unwrap().identity.id, WEB);
    assert_eq!(machine.container("db").unwrap().identity.name.as_deref(), Some("db"));
    for name in ["payroll", "mine"] {
        assert!(refused(machine.container(name)).starts_with(&format!("no container {name}: ")));
    }
}

#[test]
fn a_name_that_two_stores_claim_is_ambiguous() {
    if !is_root() {
        return;
    }
    let machine = Machine::hybrid();
    machine.rootless(ALICE, WEB);
    machine.busy(&format!("unified/docker/{DB}"));
    machine.write(&format!("var/lib/docker/containers/{DB}/config.v2.json"), r#"{"Name": "/web"}"#);
    machine.store("alice", ALICE, &[(WEB, "web")]);
    let why = refused(machine.container("web"));
    for part in ["ambiguous", "aaaabbbb89ab (web)", "aaaa456789ab (web, of user 4000001)"] {
        assert!(why.contains(part), "{why}");
    }
}

/// A user can make a cgroup of any name below those of the user's own manager.
#[test]
fn a_cgroup_that_a_user_made_does_not_pass_for_roots_container() {
    if !is_root() {
        return;
    }
    let machine = Machine::hybrid();
    machine.rootless(BOB, DB);
    machine.busy(&format!("memory/docker/{DB}"));
    machine.write(&format!("var/lib/docker/containers/{DB}/config.v2.json"), r#"{"Name": "/db"}"#);
    let db = machine.container("db").unwrap();
    assert_eq!((db.cgroup.path.as_str(), db.identity.runtime), (&*format!("/docker/{DB}"), Some("docker")));
    assert!(refused(machine.container(DB)).contains("ambiguous"));
    let hierarchies = Hierarchies::read(&machine.roots()).unwrap();
    let mut names = identity::ContainerNames::new(&machine.roots(), hierarchies);
    let faked = format!("/user.slice/user-{BOB}.slice/user@{BOB}.service/user.slice/libpod-{DB}.scope");
    assert_eq!(names.of_cgroup(&faked).unwrap().name, None);
    assert_eq!(names.of_cgroup(&db.cgroup.path).unwrap(), &db.identity);
}

#[test]
fn a_list_that_cannot_be_read_is_named_when_its_container_is_missing() {
    let machine = Machine::hybrid();
    let list = machine.at(&format!("home/bob/{LIST}"));
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &list, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let why = refused(machine.container("web"));
    assert!(why.ends_with("containers.json: it is no regular file"), "{why}");
}

#[test]
fn a_cgroup_is_its_innermost_container() {
    let machine = Machine::hybrid();
    machine.busy(&format!("memory/docker/{WEB}/kubepods/pod2f5d7c1e-2b8a-4d9c-8f7e-1a2b3c4d5e6f/{DB}/init"));
    machine.write(
        &format!("var/lib/docker/containers/{WEB}/config.v2.json"),
        r#"{"Name": "/k8s_nginx_web-0_shop_uid_0"}"#,
    );
    let hierarchies = Hierarchies::read(&machine.roots()).unwrap();
    let mut names = identity::ContainerNames::new(&machine.roots(), hierarchies);
    let web = parties::Container {
        id: WEB.into(),
        name: Some("web-0/nginx".into()),
        runtime: Some("docker"),
        pod: Some("web-0".into()),
        namespace: Some("shop".into()),
    };
    let pod = format!("/docker/{WEB}/kubepods/pod2f5d7c1e-2b8a-4d9c-8f7e-1a2b3c4d5e6f");
    for (path, expected) in [
        (format!("/docker/{WEB}"), Some(&web)),
        (format!("/docker/{WEB}/init.scope"), Some(&web)),
        // One that is gone, too.
        (format!("/docker/{WEB}/gone/gone"), Some(&web)),
        (pod.clone(), Some(&web)),
        ("/system.slice/docker.service".into(), None),
        ("/".into(), None),
    ] {
        assert_eq!(names.of_cgroup(&path), expected, "{path}");
    }
    let inner = names.of_cgroup(&format!("{pod}/{DB}/init")).unwrap();
    assert_eq!((inner.id.as_str(), inner.runtime, &inner.name), (DB, Some("kubernetes"), &None));
}
