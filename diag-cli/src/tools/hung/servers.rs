//! Who serves a FUSE file system, and what is below a loop device.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};

use super::place::Place;
use crate::kernel::{
    files::Files,
    procfs::{self, Reader},
};

const FUSE_DEVICE: &[u8] = b"/dev/fuse";

/// The process that serves the FUSE file system of this device number, `0:MINOR`, to the process `asking`; none where it
/// cannot be told. Where the file system is not known either, the server of the only one that there is.
///
/// A server has `/dev/fuse` open, and its `fdinfo` says for which connection, which is the minor number
/// (`fuse_dev_show_fdinfo`, fs/fuse/dev.c, 6.16). Its children may have it open, too, until they call exec.
pub(super) fn fuse(number: Option<&str>, asking: u32, servers: &[Server]) -> Option<u32> {
    let connection = number.and_then(|number| number.strip_prefix("0:"));
    let says = |server: &&Server| server.connection.is_some() && server.connection.as_deref() == connection;
    let mut candidates: Vec<&Server> = servers.iter().filter(says).collect();
    if candidates.is_empty() {
        let told = servers.iter().any(|server| server.connection.is_some());
        let one = servers.windows(2).all(|two| two[0].connection == two[1].connection);
        if (number.is_some() && told) || !one || (!told && servers.len() > 1) {
            return None;
        }
        candidates = servers.iter().collect();
    }
    let other = candidates.iter().find(|server| server.pid != asking);
    other.or(candidates.first()).map(|server| server.pid)
}

/// A process that has `/dev/fuse` open.
pub(super) struct Server {
    pid: u32,
    connection: Option<String>,
}

/// All processes that have `/dev/fuse` open.
pub(super) fn all(reader: &mut Reader) -> Vec<Server> {
    let mut servers = Vec::new();
    for pid in procfs::processes() {
        for fd in reader.descriptors(pid) {
            if reader.descriptor(pid, pid, fd).is_some_and(|path| path == FUSE_DEVICE) {
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
                let connection = info.lines().find_map(|line| line.strip_prefix("fuse_connection:"));
                let connection = connection.map(|number| number.trim().to_owned());
                servers.push(Server { pid: pid.cast_unsigned(), connection });
            }
        }
    }
    servers.dedup_by_key(|server| (server.pid, server.connection.clone()));
    servers
}

/// The file that a loop device is over, and where that is; none where it is no loop device.
pub(super) fn below_loop(device: &str, files: &mut Files) -> Option<Place> {
    let mut file = fs::read(format!("/sys/block/{device}/loop/backing_file")).ok()?;
    file.pop_if(|last| *last == b'\n');
    let mount = files.holding(Path::new(OsStr::from_bytes(&file)))?;
    Some(Place {
        file: Some(file),
        device: mount.device.clone(),
        own_point: Some(mount.point.clone()),
        mount: Some(mount),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(pid: u32, connection: Option<&str>) -> Server {
        Server { pid, connection: connection.map(str::to_owned) }
    }

    #[test]
    fn a_server_is_known_by_its_connection() {
        let servers = [server(10, Some("44")), server(20, Some("45")), server(21, Some("45"))];
        assert_eq!(fuse(Some("0:45"), 1, &servers), Some(20));
        assert_eq!(fuse(Some("0:46"), 1, &servers), None);
        assert_eq!(fuse(None, 1, &servers), None);
    }

    #[test]
    fn the_only_server_there_is_needs_no_number() {
        assert_eq!(fuse(None, 11, &[server(10, Some("44")), server(11, Some("44"))]), Some(10));
        assert_eq!(fuse(None, 10, &[server(10, Some("44"))]), Some(10));
        assert_eq!(fuse(None, 1, &[]), None);
    }

    #[test]
    fn where_the_kernel_does_not_tell_a_single_process_is_the_one() {
        assert_eq!(fuse(Some("0:45"), 1, &[server(10, None)]), Some(10));
        assert_eq!(fuse(Some("0:45"), 1, &[server(10, None), server(20, None)]), None);
    }
}
