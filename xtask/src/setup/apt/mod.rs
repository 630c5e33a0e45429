//! The distribution's packages: installed from its own suites, or only unpacked from others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::say;
use crate::privilege;

mod sources;

/// Where an archive's sources are in its directory.
const PARTS: &str = "sources";

/// Installs `packages` from the suites that the system is configured for.
pub(crate) fn install(shell: &Shell, packages: &[&str]) -> Result<()> {
    let wanted = packages.join(" ");
    let is_known = |package: &&str| {
        cmd!(shell, "apt-cache show {package}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    if !packages.iter().all(is_known) {
        say("refreshing the package lists");
        run_as_root(&["apt-get", "update", "-qq"])?;
    }
    say(&format!("installing {wanted}"));
    let mut install = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    install.extend(["install", "-qq", "-y", "--no-install-recommends"]);
    install.extend(packages);
    run_as_root(&install).with_context(|| format!("cannot install {wanted}"))
}

/// One suite of the system's own mirrors or of Ubuntu's archive, reached without touching the system's configuration.
pub(crate) struct Archive {
    shell: Shell,
    directory: PathBuf,
    options: Vec<String>,
}

impl Archive {
    /// Fetches the package lists of `suite` into `directory`, which may hold an earlier fetch.
    pub(crate) fn open(directory: &Path, suite: &str) -> Result<Self> {
        if sources::write(suite, &parts(directory)?)? == 0 {
            bail!("this system has no apt sources to derive the suite {suite} from");
        }
        Self::update(directory)
    }

    /// The same of a suite of Ubuntu's archive, which has to be signed by a key in `keyring`.
    pub(crate) fn of_ubuntu(directory: &Path, suite: &str, keyring: &Path) -> Result<Self> {
        sources::write_ubuntu(suite, keyring, &parts(directory)?)?;
        Self::update(directory)
    }

    fn update(directory: &Path) -> Result<Self> {
        for state in ["lists/partial", "cache/archives/partial", "root"] {
            fs::create_dir_all(directory.join(state))?;
        }
        let shell = Shell::new()?;
        shell.change_dir(directory);
        let shown = directory.display();
        let options = [
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            format!("Dir::Etc::SourceParts={shown}/{PARTS}"),
            format!("Dir::State::Lists={shown}/lists"),
            format!("Dir::Cache={shown}/cache"),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options: Vec<_> = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        // A mirror without this suite fails the update as a whole, while the lists of the others have arrived.
        let given = &options;
        let update = cmd!(shell, "apt-get -qq {given...} update");
        update.quiet().ignore_status().ignore_stdout().ignore_stderr().run().context("cannot run apt-get")?;
        Ok(Self { shell, directory: directory.to_owned(), options })
    }

    /// The names of packages that start with `prefix`, in no order; some may be the system's own.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let Self { shell, options, .. } = self;
        let names = cmd!(shell, "apt-cache {options...} pkgnames {prefix}").quiet().ignore_stderr().read()?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The versions of `package` in this suite, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let Self { shell, options, .. } = self;
        let table = cmd!(shell, "apt-cache {options...} madison {package}").quiet().ignore_stderr().read()?;
        Ok(table
            .lines()
            .filter_map(|row| row.split('|').nth(1))
            .map(|version| version.trim().to_owned())
            .collect())
    }

    /// Downloads a package and unpacks it; the answer is the root of its files.
    pub(crate) fn unpack(&self, package: &str, version: &str) -> Result<PathBuf> {
        let Self { shell, directory, options } = self;
        cmd!(shell, "apt-get -qq {options...} download {package}={version}").quiet().ignore_stdout().run()?;
        let file = fs::read_dir(directory)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|it| it == "deb"))
            .with_context(|| format!("apt-get left no file of {package} {version}"))?;
        let root = directory.join("root");
        cmd!(shell, "dpkg -x {file} {root}").quiet().run()?;
        fs::remove_file(&file)?;
        Ok(root)
    }
}

/// The directory of an archive's sources, made.
fn parts(directory: &Path) -> Result<PathBuf> {
    let parts = directory.join(PARTS);
    fs::create_dir_all(&parts)?;
    Ok(parts)
}

/// Runs a command as root that must succeed; what it prints goes to standard error.
fn run_as_root(command: &[&str]) -> Result<()> {
    let [program, arguments @ ..] = command else { bail!("no command to run") };
    let status = privilege::as_root(program)
        .args(arguments)
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {program} as root"))?;
    if !status.success() {
        bail!("`{}` failed: {status}", command.join(" "));
    }
    Ok(())
}
