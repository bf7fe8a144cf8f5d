//! One node process.

use super::layout::Layout;
use crate::process;
use baton_node::config::table::KEYS;
use eyre::WrapErr as _;
use std::{
    fs,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    time::timeout,
};

pub struct Node {
    pub index: u16,
    child: Child,
    /// The node ends when this closes, so it also ends when this program dies.
    stdin: Option<ChildStdin>,
}

impl Node {
    /// `under` is a program, with its arguments, that becomes the node.
    pub fn spawn(layout: &Layout, index: u16, flags: &[&str], under: &[String]) -> eyre::Result<Self> {
        let log = layout.log(index);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .wrap_err_with(|| format!("cannot open {}", log.display()))?;
        let program = std::env::current_exe().wrap_err("cannot find this program's own file")?;
        let mut command = match under {
            [] => Command::new(&program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        command
            .args(["node", "--exit-with-parent", "--config"])
            .arg(layout.config(index))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().wrap_err("cannot share a log file")?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        // Settings for one node in the environment would reach all of them.
        for key in KEYS.iter().filter(|key| !key.name.starts_with("log.")) {
            command.env_remove(key.env());
        }
        let mut child =
            command.spawn().wrap_err_with(|| format!("cannot start node {index}: {}", program.display()))?;
        // Waiting for a child would close an input that it still holds.
        let stdin = child.stdin.take();
        Ok(Self { index, child, stdin })
    }

    /// None once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub async fn wait(&mut self) -> (u16, ExitStatus) {
        let status = self.child.wait().await.expect("a child can be waited for");
        (self.index, status)
    }

    pub async fn kill(&mut self) -> eyre::Result<()> {
        self.child.kill().await.wrap_err_with(|| format!("cannot kill node {}", self.index))
    }

    pub async fn stop(&mut self, patience: Duration) {
        let Some(pid) = self.pid() else { return };
        process::terminate(pid);
        // One that stands still would not hear it.
        process::pause(pid, false);
        self.stdin = None;
        if timeout(patience, self.child.wait()).await.is_err() {
            crate::output::note(format!("node {} did not stop within {patience:?}; ending it", self.index));
            // Fails only when it has just ended.
            let _ = self.child.kill().await;
        }
    }
}
