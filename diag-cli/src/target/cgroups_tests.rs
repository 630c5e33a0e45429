use std::fs;

use super::*;
use crate::target::tests::{Machine, WEB, names_of};

fn unified() -> Machine {
    let mut machine = Machine::new();
    machine.mount("unified", "cgroup2", "rw");
    machine
}

#[test]
fn a_cgroup_belongs_to_its_container_else_to_its_unit() {
    let machine = unified();
    let docker = format!("/system.slice/docker-{WEB}.scope");
    for (path, kind, own) in [
        (docker.clone(), GroupType::Container, docker.as_str()),
        (format!("{docker}/init"), GroupType::Container, &docker),
        (format!("{docker}/system.slice/cron.service"), GroupType::Container, &docker),
        ("/system.slice/nginx.service".into(), GroupType::Unit, "/system.slice/nginx.service"),
        ("/system.slice/nginx.service/a/b".into(), GroupType::Unit, "/system.slice/nginx.service"),
        (
            "/user.slice/user-0.slice/session-1.scope".into(),
            GroupType::Unit,
            "/user.slice/user-0.slice/session-1.scope",
        ),
        ("/user.slice".into(), GroupType::Unit, "/user.slice"),
        // Somebody made it there by hand: it is no part of the slice's unit.
        ("/jobs.slice/nightly".into(), GroupType::Cgroup, "/jobs.slice/nightly"),
        ("/jobs/nightly".into(), GroupType::Cgroup, "/jobs/nightly"),
        ("/".into(), GroupType::Cgroup, "/"),
    ] {
        machine.busy(&format!("unified{path}"));
        let id = machine.inode(&format!("unified{path}"));
        let group = names_of(&machine).group(id);
        assert_eq!((group.kind, group.cgroup.as_deref()), (kind, Some(own)), "{path}");
        assert_eq!(group.cgroup_id, Some(machine.inode(&format!("unified{own}"))), "{path}");
        let container = group.container.map(|container| container.id);
        assert_eq!(container.as_deref(), (kind == GroupType::Container).then_some(WEB), "{path}");
    }
}

#[test]
fn a_group_outlives_its_cgroup() {
    let mut names = names_of(&unified());
    let docker = format!("/system.slice/docker-{WEB}.scope");
    names.learn(0, 101, docker.as_bytes());
    names.learn(0, 102, format!("{docker}/init").as_bytes());
    let group = names.group(102);
    assert_eq!(group, names.group(101));
    assert_eq!((group.kind, group.cgroup_id), (GroupType::Container, Some(101)));
}

#[test]
fn a_unit_that_is_restarted_stays_one_group() {
    let mut names = names_of(&unified());
    names.learn(0, 7, b"/system.slice/nginx.service");
    let before = names.group(7);
    names.learn(0, 8, b"/system.slice/nginx.service");
    assert_eq!(before.cgroup_id, Some(7));
    assert_eq!((names.group(7).cgroup_id, names.group(8).cgroup_id), (Some(8), Some(8)));
    assert_eq!(names.group(7), names.group(8));
}

#[test]
fn what_was_gone_too_soon_keeps_its_id() {
    let group = names_of(&unified()).group(u64::MAX);
    assert_eq!((group.kind, group.cgroup, group.cgroup_id), (GroupType::Cgroup, None, Some(u64::MAX)));
}

/// The v2 hierarchy, and that of the cpu controller.
fn hybrid() -> Machine {
    let mut machine = unified();
    machine.mount("cpu", "cgroup", "rw,cpu");
    machine
}

#[test]
fn a_task_is_named_by_v2_unless_it_is_in_its_root() {
    let (machine, root) = (hybrid(), cgroup::ROOT);
    let mut names = names_of(&machine);
    for (hierarchy, id, path) in [(0, root, "/"), (0, 7, "/a"), (2, root, "/"), (2, 7, "/b"), (2, 8, "/a")] {
        names.learn(hierarchy, id, path.as_bytes());
    }
    for (first, second, path, id) in
        [(7, 7, "/a", 7), (7, root, "/a", 7), (root, 7, "/b", 7), (root, 8, "/a", 8), (root, root, "/", root)]
    {
        let number = cgroup::pair(first, second);
        let group = names.cgroup(number);
        assert_eq!((group.cgroup.as_deref(), group.cgroup_id), (Some(path), Some(id)));
        assert_eq!(names.home(number).cgroup.as_deref(), Some(path));
        assert_eq!(names.group(number), group);
    }
    for (lines, path) in [
        ("2:cpu:/b\n0::/a\n", Some("/a")),
        ("2:cpu:/b\n0::/\n", Some("/b")),
        ("2:cpu:/\n0::/\n", Some("/")),
        ("", None),
    ] {
        assert_eq!(names.home_of_lines(lines.as_bytes()).cgroup.as_deref(), path, "{lines}");
    }
}

#[test]
fn a_container_is_found_in_either_hierarchy() {
    let machine = hybrid();
    let mut names = names_of(&machine);
    let container = format!("/docker/{WEB}");
    let service = "/system.slice/containerd.service";
    names.learn(0, 7, service.as_bytes());
    names.learn(2, 8, container.as_bytes());
    names.learn(2, 9, format!("{container}/inner").as_bytes());
    let group = names.group(cgroup::pair(7, 9));
    assert_eq!((group.kind, group.cgroup_id), (GroupType::Container, Some(8)));
    let home = names.home(cgroup::pair(7, 8));
    assert_eq!(home.cgroup.as_deref(), Some(container.as_str()));
    assert_eq!(home.container.as_ref().map(|container| container.id.as_str()), Some(WEB));
    assert_eq!(names.home_of_lines(format!("2:cpu:{container}\n0::{service}\n").as_bytes()), home);
    // An engine that makes one in both.
    names.learn(0, 10, container.as_bytes());
    assert_eq!(names.group(cgroup::pair(10, 8)).cgroup_id, Some(10));
}

#[test]
fn cgroups_of_one_path_are_told_apart_by_their_ids() {
    let mut names = names_of(&hybrid());
    for (hierarchy, id, path) in [(0, 7, "/a"), (2, 8, "/a"), (0, 9, "/b"), (2, 9, "/b")] {
        names.learn(hierarchy, id, path.as_bytes());
    }
    let mut is_of_first = |first, second| {
        let group = names.group(cgroup::pair(first, second));
        names.is_of_first(&group)
    };
    assert!(is_of_first(7, cgroup::ROOT));
    assert!(!is_of_first(cgroup::ROOT, 8));
    assert!(!is_of_first(9, cgroup::ROOT), "it could be either");
}

/// The container [`WEB`] of Docker, by the name that its state has.
fn docker_has(machine: &Machine, name: &str) {
    machine.write(
        &format!("var/lib/docker/containers/{WEB}/config.v2.json"),
        &format!(r#"{{"Name": "/{name}"}}"#),
    );
}

fn name_of_container(names: &mut CgroupNames, id: u64) -> Option<String> {
    names.group(id).container.and_then(|container| container.name)
}

#[test]
fn what_is_there_at_the_beginning_keeps_its_name_when_it_is_gone() {
    let machine = unified();
    let docker = format!("unified/system.slice/docker-{WEB}.scope");
    machine.busy(&docker);
    docker_has(&machine, "web");
    let id = machine.inode(&docker);
    let mut names = names_of(&machine);
    names.take_down();
    names.name_containers();
    fs::remove_dir_all(machine.at(&docker)).unwrap();
    fs::remove_dir_all(machine.at("var/lib/docker")).unwrap();
    assert_eq!(name_of_container(&mut names, id).as_deref(), Some("web"));
}

#[test]
fn a_container_whose_name_is_written_down_later_has_it() {
    let machine = unified();
    machine.write("var/lib/docker/containers/other/config.v2.json", "{}");
    let mut names = names_of(&machine);
    names.learn(0, 7, format!("/system.slice/docker-{WEB}.scope").as_bytes());
    names.name_containers();
    docker_has(&machine, "web");
    assert_eq!(name_of_container(&mut names, 7).as_deref(), Some("web"));
}
