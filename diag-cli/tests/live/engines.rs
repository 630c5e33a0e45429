//! Containers of the engines that are installed here.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    Outcome, Skip, Test,
    lab::{Lab, attempt, run},
    osdiag::{Session, iolat},
};

/// The tests of this room.
pub(crate) const TESTS: &[Test] = &[("engines_docker", docker), ("engines_podman", podman)];

fn docker() -> Outcome {
    found_by_name_and_id("docker", "docker.io")
}

fn podman() -> Outcome {
    found_by_name_and_id("podman", "podman")
}

/// A container and its image, which go when this is dropped.
struct Container {
    engine: &'static str,
    name: String,
}

impl Container {
    /// Starts one that sleeps, from an image that has nothing but what that takes.
    fn start(engine: &'static str, lab: &Lab) -> Outcome<(Container, String)> {
        let root = lab.directory("root");
        let sleep = PathBuf::from(run("sh", &["-c", "command -v sleep"])?);
        let libraries = attempt("ldd", &[&sleep.to_string_lossy()]).unwrap_or_default();
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
        for file in libraries.chain([sleep.clone()]) {
            let copy = root.join(file.strip_prefix("/").expect("a path from the root"));
            fs::create_dir_all(copy.parent().expect("a directory")).expect("a lab takes a directory");
            fs::copy(&file, &copy).expect("a lab takes a file");
        }
        let archive = lab.path("root.tar");
        run("tar", &["-C", &root.to_string_lossy(), "-cf", &archive.to_string_lossy(), "."])?;
        let name = lab.name().to_owned();
        run(engine, &["import", &archive.to_string_lossy(), &name])?;
        let container = Container { engine, name: name.clone() };
        let sleep = sleep.to_string_lossy();
        let started = run(engine, &["run", "-d", "--network=none", "--name", &name, &name, &sleep, "600"])?;
        let id = started.lines().last().unwrap_or_default().to_owned();
        Ok((container, id))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for arguments in [["rm", "-f", &self.name], ["rmi", "-f", &self.name]] {
            Command::new(self.engine).args(arguments).output().ok();
        }
    }
}

fn found_by_name_and_id(engine: &'static str, install: &str) -> Outcome {
    attempt(engine, &["--version"])
        .map_err(|_| Skip::because(format!("{engine} is not here: install {install}")))?;
    attempt(engine, &["info"]).map_err(|Skip(why)| Skip::because(why.replace('\n', " ")))?;
    let lab = Lab::new();
    let (container, id) = Container::start(engine, &lab)?;
    assert_eq!(id.len(), 64, "no id: {id}");
    for wanted in [&container.name, &id, &id[..12]] {
        let finished = Session::start(iolat(&["--json", "-d", "200ms", "--container", wanted])).finish();
        let target = finished.summary().0["target"].to_string();
        assert!(target.contains(&id), "{wanted}: {target}");
    }
    let version = run(engine, &["--version"])?;
    println!("{version}: found by its name, its id and the beginning of its id");
    Ok(())
}
