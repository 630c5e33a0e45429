//! Which integration tests belong to which part: the start of a test file's name says so.

use std::fs;
use std::path::Path;

/// The names of a package's integration tests, sorted.
pub(super) fn of(package: &Path) -> Vec<String> {
    let entries = fs::read_dir(package.join("tests")).into_iter().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| name(&entry.ok()?.path())).collect();
    names.sort();
    names
}

/// The name of the integration test at `path`, a file or a directory with a `main.rs`.
fn name(path: &Path) -> Option<String> {
    let is_test = path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").is_file();
    is_test.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_tests_and_helpers_are_not() {
        let package = tempfile::tempdir().unwrap();
        let tests = package.path().join("tests");
        for directory in ["cli_json", "common"] {
            fs::create_dir_all(tests.join(directory)).unwrap();
        }
        for file in ["live.rs", "cli_json/main.rs", "common/mod.rs", "notes.md"] {
            fs::write(tests.join(file), "").unwrap();
        }
        assert_eq!(of(package.path()), ["cli_json", "live"]);
    }
}
