//! Processes under test: pinned to a core, with their CPU time read from the kernel, and always ended.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// What the kernel's ticks in `/proc` are: USER_HZ, which is 100 on all architectures that count.
const TICK: Duration = Duration::from_millis(10);

/// Which core is whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    clients: u32,
    gateway: u32,
}

impl Cores {
    /// The first and the last core that this process may use.
    ///
    /// # Errors
    /// If the kernel does not say which cores there are: this is for Linux.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .context("no list of cores in /proc/self/status")?;
        let mut cores = list
            .trim()
            .split([',', '-'])
            .filter_map(|core| core.parse().ok());
        let clients = cores.next().context("an empty list of cores")?;
        let gateway = cores.next_back().unwrap_or(clients);
        Ok(Self { clients, gateway })
    }

    /// Whether gateways and clients have a core each.
    pub(crate) fn are_two(self) -> bool {
        self.clients != self.gateway
    }

    /// Keeps this process, which is the clients and the model server, away from the gateways' core.
    ///
    /// # Errors
    /// If `taskset` (package util-linux) is not there.
    pub(crate) fn keep_clients(self) -> anyhow::Result<()> {
        let status = Command::new("taskset")
            .args(["-acp", &self.clients.to_string()])
            .arg(std::process::id().to_string())
            .stdout(Stdio::null())
            .status()
            .context("taskset (package util-linux)")?;
        if !status.success() {
            bail!("taskset does not pin this process: {status}");
        }
        Ok(())
    }

    /// A command that will run on the gateways' core.
    pub(crate) fn gateway(self, program: &std::path::Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.gateway.to_string()]).arg(program);
        command.stdin(Stdio::null());
        command
    }
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self(child))
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// Its exit status.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("it ended with {status}"),
            None => Ok(()),
        }
    }

    /// User and system time of all its threads, those included that have ended.
    ///
    /// # Errors
    /// If it is gone.
    ///
    /// # Source
    /// proc(5), `/proc/pid/stat`: fields 14 and 15, behind a name in parentheses that may hold blanks.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = fs::read_to_string(&path).context(path)?;
        let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let mut ticks = || -> anyhow::Result<u32> {
            Ok(fields.next().context("a process has times")?.parse()?)
        };
        Ok(TICK * (ticks()? + ticks()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
