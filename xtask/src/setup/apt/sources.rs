//! The system's own apt sources, rewritten for another suite of the same mirrors.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Where apt keeps its configuration.
const ETC: &str = "/etc/apt";

/// Ubuntu's archive.
const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu";

/// Writes the system's sources into `directory`, each for `suite`; the answer is how many there are.
pub(super) fn write(suite: &str, directory: &Path) -> Result<usize> {
    let mut written = 0;
    for (number, file) in system_files().iter().enumerate() {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let deb822 = file.extension().is_some_and(|it| it == "sources");
        let sources = if deb822 { stanzas(&text, suite) } else { lines(&text, suite) };
        if sources.is_empty() {
            continue;
        }
        let (extension, separator) = if deb822 { ("sources", "\n\n") } else { ("list", "\n") };
        fs::write(directory.join(format!("{number}.{extension}")), sources.join(separator) + "\n")?;
        written += sources.len();
    }
    Ok(written)
}

/// Writes a source for a suite of Ubuntu's archive into `directory`.
pub(super) fn write_ubuntu(suite: &str, keyring: &Path, directory: &Path) -> Result<()> {
    let line = format!("deb [signed-by={}] {UBUNTU} {suite} main\n", keyring.display());
    Ok(fs::write(directory.join("ubuntu.list"), line)?)
}

/// The files that apt itself would read.
fn system_files() -> Vec<PathBuf> {
    let etc = Path::new(ETC);
    let parts = fs::read_dir(etc.join("sources.list.d")).into_iter().flatten();
    let parts = parts.filter_map(|entry| Some(entry.ok()?.path()));
    let known = parts.filter(|path| path.extension().is_some_and(|it| it == "sources" || it == "list"));
    std::iter::once(etc.join("sources.list")).chain(known).collect()
}

/// The binary-package stanzas of a deb822 file, pointed at `suite`; other fields such as `Signed-By` stay as they are.
fn stanzas(text: &str, suite: &str) -> Vec<String> {
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty()).filter_map(|stanza| retarget_stanza(stanza, suite)).collect()
}

fn retarget_stanza(stanza: &[&str], suite: &str) -> Option<String> {
    let mut kept = Vec::new();
    let mut field = String::new();
    let mut binary = false;
    for line in stanza {
        if !line.starts_with([' ', '\t']) {
            let (name, value) = line.split_once(':')?;
            field = name.trim().to_ascii_lowercase();
            match field.as_str() {
                "types" => binary = value.split_whitespace().any(|kind| kind == "deb"),
                "enabled" if value.trim().eq_ignore_ascii_case("no") => return None,
                _ => {}
            }
        }
        if !matches!(field.as_str(), "types" | "suites" | "components") {
            kept.push((*line).to_owned());
        }
    }
    kept.extend(["Types: deb".to_owned(), format!("Suites: {suite}"), "Components: main".to_owned()]);
    binary.then(|| kept.join("\n"))
}

/// The binary-package lines of a one-line file, pointed at `suite`; their options stay as they are.
fn lines(text: &str, suite: &str) -> Vec<String> {
    text.lines().filter_map(|line| retarget_line(line, suite)).collect()
}

fn retarget_line(line: &str, suite: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb")?;
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (options, rest) = bracketed.split_once(']')?;
            (format!("[{options}] "), rest)
        }
        None => (String::new(), rest),
    };
    let uri = rest.split_whitespace().next()?;
    Some(format!("deb {options}{uri} {suite} main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_keep_their_key_and_change_their_suite() {
        let text = "# ours\nTypes: deb deb-src\nURIs: http://mirror.invalid/debian\nSuites: bookworm\n \
                    bookworm-updates\nComponents: main\nSigned-By:\n -----BEGIN\n .\n -----END\n\n\
                    Types: deb-src\nURIs: http://mirror.invalid/src\nSuites: bookworm\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://mirror.invalid/off\n";
        assert_eq!(
            stanzas(text, "testing"),
            ["URIs: http://mirror.invalid/debian\nSigned-By:\n -----BEGIN\n .\n -----END\n\
              Types: deb\nSuites: testing\nComponents: main"]
        );
    }

    #[test]
    fn lines_keep_their_options_and_change_their_suite() {
        let text = "# deb http://mirror.invalid/off bookworm main\n\
                    deb-src http://mirror.invalid/src bookworm main\n\
                    deb [arch=amd64 signed-by=/key.gpg] http://mirror.invalid/debian bookworm main contrib\n\
                    deb http://mirror.invalid/plain/ bookworm main # near\n";
        assert_eq!(
            lines(text, "testing"),
            [
                "deb [arch=amd64 signed-by=/key.gpg] http://mirror.invalid/debian testing main",
                "deb http://mirror.invalid/plain/ testing main"
            ]
        );
    }
}
