//! The limit of open files: each map, program and probe is one.

use anyhow::{Error, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one; returns the limit as it was, which a command is to begin with.
pub(crate) fn raise_open_files() -> Rlimit {
    let original = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: original.maximum, maximum: original.maximum };
    // A process may raise its soft limit up to the hard one; if that fails, the limit stays what it was.
    setrlimit(Resource::Nofile, raised).ok();
    original
}

/// Whether an error comes from the limit of open files.
pub(crate) fn is_exhausted(error: &Error) -> bool {
    let errno = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let rustix = cause.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error());
        io.or(rustix)
    };
    error.chain().any(|cause| errno(cause) == Some(libc::EMFILE))
}

/// Names the limit where an error comes from it.
pub(crate) fn explain(error: Error) -> Error {
    if !is_exhausted(&error) {
        return error;
    }
    let limit = getrlimit(Resource::Nofile).current.map_or("unlimited".to_owned(), |limit| limit.to_string());
    anyhow!(
        "too many open files: the hard limit (RLIMIT_NOFILE, 'ulimit -Hn') is {limit}; expected 1024 or so, raise it with 'ulimit -n'"
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_limit_is_named_below_other_words() {
        let error = |errno| {
            Err::<(), _>(io::Error::from_raw_os_error(errno)).context("cannot create a map").unwrap_err()
        };
        let said = explain(error(libc::EMFILE)).to_string();
        assert!(said.contains("RLIMIT_NOFILE") && said.contains("ulimit -n"), "{said}");
        assert_eq!(explain(error(libc::EPERM)).to_string(), "cannot create a map");
    }
}
