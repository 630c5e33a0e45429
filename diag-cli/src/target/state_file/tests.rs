use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::mknodat;
use tempfile::TempDir;

use super::*;

const FILE: &str = "storage/list.json";

/// A root with one home, and what is at [`FILE`] in it.
fn home(make: impl Fn(&Path)) -> (TempDir, StateRoot) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("home/bob").join(FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    make(&file);
    let root = StateRoot::new(&Roots { proc: "/proc".into(), state: folder.path().into() });
    (folder, root)
}

fn read(root: &StateRoot) -> Found<Vec<u8>> {
    let home = root.home(Path::new("home/bob"))?.expect("a home");
    home.read(Path::new(FILE), home.uid)
}

fn refused(make: impl Fn(&Path)) -> String {
    let (_folder, root) = home(make);
    read(&root).unwrap_err().0
}

#[test]
fn a_regular_file_is_read_and_one_that_is_not_there_is_no_error() {
    let (_folder, root) = home(|file| fs::write(file, "[]").unwrap());
    assert_eq!(read(&root), Ok(Some(b"[]".to_vec())));
    let (_folder, root) = home(|_| ());
    assert_eq!(read(&root), Ok(None));
    assert!(root.home(Path::new("home/alice")).unwrap().is_none());
    assert!(root.folder(Path::new("var/lib/docker")).unwrap().is_none());
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let fifo = |file: &Path| mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let socket = |file: &Path| drop(std::os::unix::net::UnixListener::bind(file).unwrap());
    for make in [&fifo as &dyn Fn(&Path), &socket, &|file: &Path| fs::create_dir(file).unwrap()] {
        assert!(refused(make).ends_with("/home/bob/storage/list.json: it is no regular file"));
    }
}

#[test]
fn a_users_link_is_not_followed_in_any_place() {
    assert!(refused(|file| symlink("/dev/zero", file).unwrap()).ends_with("a link leads there"));
    assert!(refused(|file| symlink("other.json", file).unwrap()).ends_with("a link leads there"));
    let (folder, root) = home(|file| {
        let storage = file.parent().unwrap();
        fs::create_dir(storage.with_file_name("other")).unwrap();
        fs::write(storage.with_file_name("other").join("list.json"), "[]").unwrap();
        fs::remove_dir(storage).unwrap();
        symlink("other", storage).unwrap();
    });
    assert!(read(&root).unwrap_err().0.ends_with("a link leads there"));
    let bob = File::open(folder.path().join("home/bob")).unwrap().into();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    assert!(open_part_by_part(&bob, Path::new(FILE), flags).is_err());
    assert!(open_part_by_part(&bob, Path::new("other/list.json"), flags).is_ok());
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let why = refused(|file| File::create(file).unwrap().set_len(1 << 40).unwrap());
    assert!(why.ends_with("it is longer than 8 MiB"), "{why}");
    let (_folder, root) = home(|file| File::create(file).unwrap().set_len(MOST).unwrap());
    assert_eq!(read(&root).unwrap().unwrap().len() as u64, MOST);
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let why = refused(|file| {
        fs::write(file, "[]").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    });
    assert!(why.ends_with("everybody may write it"), "{why}");
}

#[test]
fn a_file_of_another_owner_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files to others");
        return;
    }
    let why = refused(|file| {
        fs::write(file, "[]").unwrap();
        chown(file, Some(4_000_001), None).unwrap();
    });
    assert!(why.ends_with("it belongs to user 4000001, not 0"), "{why}");
}

#[test]
fn roots_own_links_are_followed_and_those_below_a_users_folder_are_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files to others");
        return;
    }
    let (folder, root) = home(|file| fs::write(file, "[]").unwrap());
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("var/lib")).unwrap();
    fs::create_dir_all(at("data/docker/containers")).unwrap();
    symlink("/data/docker", at("var/lib/docker")).unwrap();
    symlink("../lib/docker/../docker", at("var/lib/again")).unwrap();
    for path in ["var/lib/docker/containers", "var/lib/again/containers"] {
        let found = root.folder(Path::new(path)).unwrap().expect(path);
        assert!(found.path.ends_with("data/docker/containers") && found.trusted, "{path}");
    }
    symlink("loop", at("var/lib/loop")).unwrap();
    assert!(root.folder(Path::new("var/lib/loop")).err().unwrap().0.ends_with("a link leads there"));
    // The same link in a folder that a user may write.
    chown(at("var/lib"), Some(4_000_001), None).unwrap();
    assert!(root.folder(Path::new("var/lib/docker")).is_err());
}

#[test]
fn a_home_whose_server_may_not_answer_is_left_alone() {
    let (folder, mut root) = home(|file| fs::write(file, "[]").unwrap());
    root.served.push(folder.path().join("home/bob"));
    assert!(root.home(Path::new("home/bob")).err().unwrap().0.ends_with("its file system may not answer"));
    assert!(is_served("fuse.sshfs") && is_served("nfs4") && is_served("fuseblk"));
    assert!(!is_served("fusectl") && !is_served("ext4") && !is_served("overlay"));
}

/// A mount in a home may be the user's own, of a server that never answers.
#[test]
fn no_file_system_is_entered_below_a_home() {
    let (_folder, root) = home(|_| ());
    let proc = StateRoot { folder: "/".into(), system: root.system, served: Vec::new() };
    let slash = proc.folder(Path::new("")).unwrap().unwrap();
    assert!(slash.read(Path::new("proc/version"), 0).unwrap_err().0.ends_with("than its folder"));
    let fd = File::open("/").unwrap().into();
    assert_eq!(open_part_by_part(&fd, Path::new("proc/version"), OFlags::RDONLY).err(), Some(Errno::XDEV));
}
