//! Another tool that watches the same kernel.

use std::process::{Child, Command, Output};

/// One that watches until it is told to stop, as Ctrl-C does; at the latest when this is dropped.
pub(crate) struct Peer(Option<Child>);

impl Peer {
    /// Starts one, where it is installed.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Peer> {
        command.spawn().map(|child| Peer(Some(child)))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().expect("it is taken only when it ends").id()
    }

    /// Ends it, and gives back what it wrote to its pipes.
    pub(crate) fn end(mut self) -> Output {
        let child = self.0.take().expect("it is taken only when it ends");
        interrupt(&child);
        child.wait_with_output().expect("a peer ends")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            interrupt(child);
            child.wait().ok();
        }
    }
}

fn interrupt(child: &Child) {
    // SAFETY: kill takes two numbers; the process is a child that has not been waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
}
