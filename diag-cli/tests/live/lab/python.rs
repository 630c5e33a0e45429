//! Python with a package of the index, in a place of its own under target/.

use std::path::{Path, PathBuf};

use super::{attempt, run};
use crate::{Outcome, Skip};

/// A Python that can import `module`, which `package` brings in the version that `==` names in it.
pub(crate) fn with(package: &str, module: &str) -> Outcome<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{package}"));
    let python = place.join("bin/python");
    let ready = || attempt(&python.to_string_lossy(), &["-c", &format!("import {module}")]).is_ok();
    if !ready() {
        run("python3", &["-m", "venv", &place.to_string_lossy()])?;
        attempt(&python.to_string_lossy(), &["-m", "pip", "install", "--quiet", package])?;
    }
    if ready() { Ok(python) } else { Err(Skip::because(format!("{module} does not import"))) }
}
