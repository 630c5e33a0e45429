use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diag_common::scope::UNIFIED;
use rustix::process::Signal;
use tempfile::TempDir;

use super::*;
use crate::exit::Failure;
use crate::kernel::btf::Btf;

pub(crate) const WEB: &str = "aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const DB: &str = "aaaabbbb89abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A machine whose cgroup hierarchies and engine state are folders of ours.
pub(crate) struct Machine {
    folder: TempDir,
    mountinfo: String,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap(), mountinfo: String::new() };
        machine.write(
            "proc/cgroups",
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t1\t1\ncpu\t1\t1\t1\n",
        );
        fs::create_dir_all(machine.at("proc/self/ns")).unwrap();
        symlink("cgroup:[4026531835]", machine.at("proc/self/ns/cgroup")).unwrap();
        machine
    }

    /// The v2 hierarchy, memory's, and systemd's own.
    pub(crate) fn hybrid() -> Machine {
        let mut machine = Machine::new();
        machine.mount("systemd", "cgroup", "rw,xattr,name=systemd");
        machine.mount("memory", "cgroup", "rw,memory");
        machine.mount("unified", "cgroup2", "rw");
        machine
    }

    pub(crate) fn mount(&mut self, name: &str, file_system: &str, options: &str) {
        fs::create_dir_all(self.at(name)).unwrap();
        let number = self.mountinfo.lines().count();
        let (path, lines) = (self.at(name), self.at("proc/self/cgroup"));
        let line = match file_system {
            "cgroup2" => "0::/\n".to_owned(),
            _ => format!("{}:{}:/\n", number + 1, options.trim_start_matches("rw,")),
        };
        fs::write(&lines, fs::read_to_string(&lines).unwrap_or_default() + &line).unwrap();
        self.mountinfo +=
            &format!("{number} 1 0:{number} / {} rw - {file_system} none {options}\n", path.display());
        self.write("proc/self/mountinfo", &self.mountinfo);
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// A cgroup with a process in it.
    pub(crate) fn busy(&self, path: &str) {
        self.write(&format!("{path}/cgroup.procs"), "7\n");
    }

    pub(super) fn idle(&self, path: &str) {
        self.write(&format!("{path}/cgroup.procs"), "");
    }

    pub(crate) fn inode(&self, path: &str) -> u64 {
        fs::metadata(self.at(path)).unwrap().ino()
    }

    fn resolve(&self, args: Selection<'_>) -> Result<Target> {
        Target::resolve(args, &self.roots())
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots { proc: self.at("proc"), state: self.at("") }
    }

    fn cgroup(&self, wanted: &str) -> Result<Cgroup> {
        let target = self.resolve(Selection::Cgroup(wanted))?;
        Ok(target.cgroup().unwrap().clone())
    }

    pub(super) fn container(&self, wanted: &str) -> Result<Container> {
        match self.resolve(Selection::Container(wanted))? {
            Target::Container(container) => Ok(container),
            other => panic!("{other:?}"),
        }
    }

    fn unit(&self, wanted: &str) -> Result<Unit> {
        match self.resolve(Selection::Unit(wanted))? {
            Target::Unit(unit) => Ok(unit),
            other => panic!("{other:?}"),
        }
    }
}

/// The names of a session on the whole machine, which knows nothing yet.
pub(crate) fn names_of(machine: &Machine) -> CgroupNames {
    CgroupNames::of(&machine.roots(), Hierarchies::read(&machine.roots()).unwrap(), None, None).unwrap()
}

/// The sentence of an error that is one line and of the user's making.
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Failure::Usage(_))), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n'));
    text
}

#[test]
fn a_cgroup_is_found_by_any_of_its_names() {
    let machine = Machine::hybrid();
    machine.busy("memory/jobs/nightly");
    machine.idle("memory/jobs/daily");
    let expected = machine.cgroup("/jobs/nightly").unwrap();
    assert_eq!((expected.path.as_str(), expected.level), ("/jobs/nightly", 2));
    assert_eq!(expected.id, machine.inode("memory/jobs/nightly"));
    assert_eq!(expected.hierarchy.label(), "memory");
    for name in ["/jobs/nightly/", "/jobs//nightly"] {
        assert_eq!(machine.cgroup(name).unwrap(), expected, "{name}");
    }
    assert_eq!(machine.cgroup(machine.at("memory/jobs/nightly").to_str().unwrap()).unwrap(), expected);
    assert_eq!(machine.cgroup(&expected.id.to_string()).unwrap(), expected);
    assert_eq!(machine.cgroup("/jobs/daily").unwrap().path, "/jobs/daily");
    assert_eq!(machine.cgroup(machine.at("memory").to_str().unwrap()).unwrap().path, "/");
    for name in ["/jobs/monthly", "/../proc", "18446744073709551615"] {
        let why = refused(machine.cgroup(name));
        assert!(why.starts_with(&format!("no cgroup '{name}': expected a folder below ")), "{why}");
    }
}

#[test]
fn of_several_hierarchies_the_one_with_processes_counts() {
    let machine = Machine::hybrid();
    for hierarchy in ["unified", "memory", "systemd"] {
        machine.busy(&format!("{hierarchy}/busy"));
        machine.idle(&format!("{hierarchy}/left"));
    }
    assert_eq!(machine.cgroup("/busy").unwrap().hierarchy.label(), "unified");
    assert_eq!(machine.cgroup("/left").unwrap().hierarchy.label(), "unified");
    machine.busy("memory/left/inner");
    assert_eq!(machine.cgroup("/left").unwrap().hierarchy.label(), "memory");
    machine.write("unified/left/cgroup.events", "populated 1\nfrozen 0\n");
    assert_eq!(machine.cgroup("/left").unwrap().hierarchy.label(), "unified");
}

#[test]
fn a_hierarchy_without_controllers_passes_on_to_one_that_has_some() {
    let machine = Machine::hybrid();
    machine.busy("systemd/only");
    machine.busy("systemd/both");
    machine.busy("memory/both");
    let both = machine.cgroup(machine.at("systemd/both").to_str().unwrap()).unwrap();
    assert_eq!((both.hierarchy.label(), both.path.as_str()), ("memory", "/both"));
    assert!(refused(machine.cgroup("/only")).contains("exists in name=systemd alone"));
}

#[test]
fn tasks_are_named_by_v2_and_in_its_root_by_the_target_or_the_cpu_controller() {
    let mut machine = Machine::new();
    let naming = |machine: &Machine, target: Option<&str>| {
        let all = Hierarchies::read(&machine.roots()).unwrap();
        let target = target.map(|label| all.iter().find(|h| h.label() == label).unwrap().clone());
        let label = |hierarchy: &Hierarchy| hierarchy.label().to_owned();
        all.naming(target.as_ref()).map(|(first, second)| (label(first), second.map(label)))
    };
    let one = |first: &str| Some((first.to_owned(), None));
    let two = |first: &str, second: &str| Some((first.to_owned(), Some(second.to_owned())));
    machine.mount("systemd", "cgroup", "rw,xattr,name=systemd");
    assert_eq!(naming(&machine, None), None);
    machine.mount("memory", "cgroup", "rw,memory");
    assert_eq!(naming(&machine, None), one("memory"));
    machine.mount("cpu", "cgroup", "rw,cpuacct,cpu");
    assert_eq!(naming(&machine, None), one("cpu"));
    assert_eq!(naming(&machine, Some("memory")), one("memory"));
    machine.mount("unified", "cgroup2", "rw");
    assert_eq!(naming(&machine, None), two("unified", "cpu"));
    assert_eq!(naming(&machine, Some("memory")), two("unified", "memory"));
    assert_eq!(naming(&machine, Some("unified")), two("unified", "cpu"));
    let machine = Machine::hybrid();
    assert_eq!(naming(&machine, None), one("unified"), "the cpu controller is on v2");
    assert_eq!(naming(&machine, Some("memory")), two("unified", "memory"));
}

#[test]
fn a_container_that_does_not_know_its_depth_is_told_so() {
    let machine = Machine::hybrid();
    machine.busy("memory/jobs");
    fs::remove_file(machine.at("proc/self/ns/cgroup")).unwrap();
    let error = machine.cgroup("/jobs").unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Failure::Unsupported(_))), "{error:?}");
    machine.write("proc/2/comm", "kthreadd\n");
    machine.write("proc/2/cgroup", "4:memory:/../..\n0::/\n");
    assert_eq!(machine.cgroup("/jobs").unwrap().level, 3);
}

#[test]
fn a_unit_is_found_by_its_name_wherever_its_slice_is() {
    let machine = Machine::hybrid();
    for path in [
        "system.slice/nginx.service",
        "system.slice/system-getty.slice/getty@tty1.service",
        "user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
        "user.slice/user-1000.slice/user@1000.service/app.slice/editor.service",
        "user.slice/user-1001.slice/user@1001.service/app.slice/editor.service",
        "system.slice/run-1.scope",
    ] {
        machine.busy(&format!("systemd/{path}"));
        machine.busy(&format!("memory/{path}"));
    }
    let nginx = machine.unit("nginx").unwrap();
    assert_eq!(
        (nginx.name.as_str(), nginx.cgroup.path.as_str()),
        ("nginx.service", "/system.slice/nginx.service")
    );
    assert_eq!(nginx.cgroup.hierarchy.label(), "memory");
    assert_eq!(machine.unit("getty@tty1").unwrap().cgroup.level, 3);
    assert_eq!(machine.unit("run-1.scope").unwrap().cgroup.level, 2);
    assert_eq!(machine.unit("system.slice").unwrap().cgroup.level, 1);
    assert_eq!(machine.unit("-.slice").unwrap().cgroup.path, "/");
    assert!(refused(machine.unit("editor")).contains("ambiguous"));
    assert!(refused(machine.unit("ngin")).contains("did you mean nginx.service?"));
    assert!(refused(machine.unit("mail")).contains("expected an active unit"));
    refused(machine.unit("a/b"));
}

#[test]
fn ids_are_shown_as_paths_even_after_their_end() {
    let machine = Machine::hybrid();
    machine.busy("memory/jobs/nightly");
    let cgroup = machine.cgroup("/jobs").unwrap();
    let nightly = machine.inode("memory/jobs/nightly");
    let mut names = paths::Paths::new(&cgroup.hierarchy, &machine.roots());
    assert_eq!(names.path(nightly).as_deref(), Some("/jobs/nightly"));
    assert_eq!(names.path(cgroup.id).as_deref(), Some("/jobs"));
    assert_eq!(names.path(u64::MAX), None);
    fs::remove_dir_all(machine.at("memory/jobs/nightly")).unwrap();
    assert_eq!(names.path(nightly).as_deref(), Some("/jobs/nightly"));
}

#[test]
fn a_cgroup_that_is_removed_ends_the_watch() {
    let machine = Machine::hybrid();
    machine.busy("memory/jobs");
    let target = machine.resolve(Selection::Cgroup("/jobs")).unwrap();
    let mut watch = target.watch().unwrap();
    assert_eq!(watch.ended(), None);
    fs::rename(machine.at("memory/jobs"), machine.at("memory/old")).unwrap();
    assert_eq!(watch.ended(), None);
    machine.busy("memory/jobs");
    fs::remove_dir_all(machine.at("memory/old")).unwrap();
    assert_eq!(watch.ended(), Some(Ended::CgroupRemoved));
    assert_eq!(
        target.watch().unwrap().ended(),
        Some(Ended::CgroupRemoved),
        "the name is that of another one"
    );
    assert_eq!(Target::System.watch().unwrap().ended(), None);
}

#[test]
fn a_relative_path_counts_from_the_working_directory() {
    let machine = Machine::hybrid();
    machine.busy("memory/jobs/nightly");
    let hierarchies = Hierarchies::read(&Roots { proc: machine.at("proc"), state: machine.at("") }).unwrap();
    let find = |wanted: &str, here: &str| {
        Cgroup::find_from(&hierarchies, wanted, Some(&fs::canonicalize(machine.at(here)).unwrap()))
    };
    for (wanted, here) in
        [(".", "memory/jobs/nightly"), ("nightly", "memory/jobs"), ("../nightly", "memory/jobs/nightly")]
    {
        assert_eq!(find(wanted, here).unwrap().path, "/jobs/nightly", "{wanted} from {here}");
    }
    assert!(refused(find("jobs", "proc")).contains("is in no cgroup hierarchy"));
    assert!(refused(find(".", "proc")).contains("is in no cgroup hierarchy"));
    assert!(refused(find("", "memory")).contains("no cgroup ''"));
    assert!(refused(find("weekly", "memory/jobs")).contains("there is no such folder"));
    refused(find("../..", "memory"));
}

#[test]
fn the_running_machine_has_a_hierarchy_that_the_kernel_knows() {
    let hierarchies = Hierarchies::read(&Roots::default()).unwrap();
    let (Some((first, second)), Ok(btf)) = (hierarchies.naming(None), Btf::running()) else {
        eprintln!("SKIPPED: this machine has no cgroup hierarchy or shows no types");
        return;
    };
    for hierarchy in hierarchies.iter().filter(|h| !h.label().starts_with("name=")) {
        let index = hierarchy.subsystem(&btf).unwrap();
        assert_eq!(index == UNIFIED, hierarchy.label() == "unified");
    }
    for naming in [first].into_iter().chain(second) {
        let root = Cgroup::find(&hierarchies, naming.mount.to_str().unwrap()).unwrap();
        assert_eq!(Some(root.level), naming.level_of(&naming.mount));
        assert_eq!(Target::Cgroup(root).watch().unwrap().ended(), None);
    }
}

fn fork(argv: &[&str]) -> Held {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    // SAFETY: a set is plain data, of which zeros are the empty one.
    let none: libc::sigset_t = unsafe { std::mem::zeroed() };
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Held::fork(&argv, Output::Errors, Inherited { blocked: none, held_back: none, open_files }).unwrap()
}

fn wait(running: &mut Running) -> u8 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(status) = running.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the command does not end")
}

#[test]
fn a_command_begins_when_it_is_released_and_passes_its_status_on() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let held = fork(&["sh", "-c", &format!("echo $$ > {}; exit 7", mark.display())]);
    assert!(with_descendants(&[std::process::id()]).unwrap().contains(&held.pid()));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!mark.exists());
    let pid = held.pid();
    assert_eq!(wait(&mut held.release().unwrap()), 7);
    assert_eq!(fs::read_to_string(mark).unwrap().trim(), pid.to_string());
}

#[test]
fn a_command_that_is_asked_to_end_has_its_own_status_or_that_of_the_signal() {
    let ready = "echo > $0; while :; do sleep 0.01; done";
    for (script, status, by) in [
        ("exec sleep 60".to_owned(), 128 + 15, Signal::TERM),
        (format!("trap 'exit 9' TERM; {ready}"), 9, Signal::TERM),
        (format!("trap '' TERM; {ready}"), 128 + 9, Signal::KILL),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let mut running = fork(&["sh", "-c", &script, mark.to_str().unwrap()]).release().unwrap();
        assert_eq!(running.try_wait().unwrap(), None);
        while script.contains("trap") && !mark.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let ended = running.end().unwrap();
        let ended = ended.expect("it can be ended");
        assert_eq!((ended.status, ended.by), (status, by), "{script}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_wrong_usage() {
    let error = fork(&["/no/such/command"]).release().err().unwrap();
    assert!(matches!(error.downcast_ref(), Some(Failure::Usage(_))), "{error:?}");
    assert_eq!(error.to_string(), "no command /no/such/command: expected a program, and its arguments");
    let folder = tempfile::tempdir().unwrap();
    let why = fork(&[folder.path().to_str().unwrap()]).release().err().unwrap().to_string();
    assert!(why.starts_with("cannot run "), "{why}");
}

#[test]
fn a_command_that_is_given_up_never_begins() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let held = fork(&["touch", mark.to_str().unwrap()]);
    let process = format!("/proc/{}", held.pid());
    drop(held);
    let start = Instant::now();
    while Path::new(&process).exists() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(!Path::new(&process).exists());
    assert!(!mark.exists());
}
