//! anvil as a child process, for devnets and tests. It ends with its owner, also when that dies without a word.

use eyre::{WrapErr as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where npm puts it, under the folder of the contracts.
const INSTALLED: &str = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// What `cargo xtask` and the documentation say.
const REMEDY: &str =
    "install it with `npm ci --prefix contracts`, put it on PATH, or name it with --anvil FILE";

/// The named program, or the one on PATH, or the one that npm installed under `root`.
pub fn find(named: Option<&Path>, root: &Path) -> eyre::Result<PathBuf> {
    find_on(&std::env::var_os("PATH").unwrap_or_default(), named, root)
}

fn find_on(on_path: &OsStr, named: Option<&Path>, root: &Path) -> eyre::Result<PathBuf> {
    if let Some(named) = named {
        eyre::ensure!(named.is_file(), "--anvil {}: no such file; {REMEDY}", named.display());
        return Ok(named.to_owned());
    }
    let candidates = std::env::split_paths(on_path).map(|folder| folder.join("anvil"));
    match candidates.chain([root.join(INSTALLED)]).find(|file| file.is_file()) {
        Some(found) => Ok(found),
        None => bail!("there is no anvil, the local L1; {REMEDY}"),
    }
}

#[derive(Clone, Debug)]
pub struct Options<'a> {
    pub port: u16,
    pub chain_id: u64,
    /// Seconds per block; without them a block is made for each transaction.
    pub block_seconds: Option<u64>,
    /// Everything it prints.
    pub log: &'a Path,
    /// Goes on from this file, and is written to it at the end.
    pub state: Option<&'a Path>,
}

pub struct Anvil {
    child: Child,
    pub url: String,
    pub ws: String,
}

impl Anvil {
    pub async fn start(program: &Path, options: &Options<'_>) -> eyre::Result<Self> {
        let Options { port, chain_id, block_seconds, log, state } = options;
        let out = File::create(log).wrap_err_with(|| format!("cannot write {}", log.display()))?;
        // The kernel ends it with us: a killed test or devnet would leave it behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--chain-id",
            &chain_id.to_string(),
        ]);
        // Epochs of four slots: final after eight blocks.
        command.args(["--hardfork", "osaka", "--slots-in-an-epoch", "4", "--order", "fifo"]);
        if let Some(seconds) = block_seconds {
            command.args(["--block-time", &seconds.to_string(), "--mixed-mining"]);
        }
        if let Some(state) = state {
            // Calls at blocks from before the end go on too.
            command.arg("--state").arg(state).arg("--preserve-historical-states");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().wrap_err("cannot share a log file")?)
            .stderr(out)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("cannot start {} through setpriv (util-linux)", program.display()))?;
        let (url, ws) = (format!("http://127.0.0.1:{port}"), format!("ws://127.0.0.1:{port}"));
        let mut anvil = Self { child, url, ws };
        anvil.ready(log).await?;
        Ok(anvil)
    }

    async fn ready(&mut self, log: &Path) -> eyre::Result<()> {
        let started = Instant::now();
        let http = reqwest::Client::new();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
        loop {
            let request = http.post(&self.url).header("content-type", "application/json").body(body);
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let text = || std::fs::read_to_string(log).unwrap_or_default();
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("anvil ended ({status}): {}", text().trim());
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("anvil does not answer at {}: {}", self.url, text().trim());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when it ends by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }

    /// Lets it write its state.
    pub async fn stop(mut self) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // Fails only when it has just ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_named_one_then_the_path_then_what_npm_installed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let file = |name: &str| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            file
        };
        let on_path = std::env::join_paths([root.join("empty"), root.join("path")]).unwrap();
        let find = |named: Option<&Path>| find_on(&on_path, named, root);
        let refused = |named: Option<&Path>| find(named).unwrap_err().to_string();

        let error = refused(None);
        assert!(error.contains("there is no anvil") && error.contains(REMEDY), "{error}");
        let missing = root.join("elsewhere/anvil");
        let error = refused(Some(&missing));
        assert!(error.contains(&missing.display().to_string()) && error.contains(REMEDY), "{error}");

        let installed = file(INSTALLED);
        assert_eq!(find(None).unwrap(), installed);
        // A folder of that name is no program.
        fs::create_dir_all(root.join("empty/anvil")).unwrap();
        let on_path = file("path/anvil");
        assert_eq!(find(None).unwrap(), on_path);
        refused(Some(&missing));
        let named = file("elsewhere/anvil");
        assert_eq!(find(Some(&named)).unwrap(), named);
    }
}
