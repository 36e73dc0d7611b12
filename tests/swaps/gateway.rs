//! The gateway: a process of its own, seen through its admin interface and through the kernel.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::client::{Connection, Response, request};

/// The admin interface's token.
pub(crate) const TOKEN: &str = "admin-token";
/// How long the gateway may take until it listens: the first start compiles all plugins.
const START: Duration = Duration::from_secs(120);
/// How long a swap may take; only one that was refused is so slow.
const SWAP: Duration = Duration::from_secs(30);
/// How often the gateway is asked whether it has swapped.
const LOOK: Duration = Duration::from_millis(20);

/// A running gateway, which ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
}

/// What the kernel and `/metrics` say of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// KiB.
    pub(crate) resident: usize,
    pub(crate) mappings: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) metric_lines: usize,
}

/// Two ports that were free a moment ago: for clients, and for the admin interface.
pub(crate) fn free_addresses() -> anyhow::Result<[SocketAddr; 2]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([listeners[0].local_addr()?, listeners[1].local_addr()?])
}

impl Gateway {
    /// Starts it with the configuration in this file, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start; the message names the file with its output.
    pub(crate) async fn start(
        program: &Path,
        configuration: &Path,
        [address, admin]: [SocketAddr; 2],
    ) -> anyhow::Result<Self> {
        let log = configuration.with_extension("log");
        let output = File::create(&log)?;
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(configuration)
            .env_remove("OLLAMA_HOST")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut gateway = Self {
            child,
            address,
            admin,
            log,
        };
        let began = Instant::now();
        while gateway.get("/readyz").await.is_err() {
            if let Some(status) = gateway.child.try_wait()? {
                bail!("the gateway ended with {status}: {}", gateway.last_lines());
            }
            ensure!(
                began.elapsed() < START,
                "it is not ready: {}",
                gateway.last_lines()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(gateway)
    }

    /// What the admin interface says at this path.
    ///
    /// # Errors
    /// If it does not respond with a success.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let response = self.ask("GET", path).await?;
        ensure!(response.status == 200, "{path}: {}", response.body);
        Ok(response.body)
    }

    async fn ask(&self, method: &str, path: &str) -> anyhow::Result<Response> {
        let mut connection = Connection::new(self.admin).await?;
        connection.send(&request(method, path, TOKEN, "")).await
    }

    /// Reads the configuration again and waits until it is in force.
    ///
    /// # Errors
    /// If it is refused.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        let response = self.ask("POST", "/reload").await?;
        ensure!(response.status == 200, "refused: {}", response.body);
        Ok(())
    }

    /// The number of the configuration in force.
    ///
    /// # Errors
    /// If the gateway does not say.
    pub(crate) async fn generation(&self) -> anyhow::Result<u64> {
        let config: Value = serde_json::from_str(&self.get("/config").await?)?;
        ensure!(config["refused"].is_null(), "refused: {config}");
        config["generation"].as_u64().context("a generation")
    }

    /// Waits for a later configuration than that one, which the gateway reads by itself; gives its number.
    ///
    /// # Errors
    /// If it is refused, or none comes in time.
    pub(crate) async fn after(&self, generation: u64) -> anyhow::Result<u64> {
        let began = Instant::now();
        loop {
            let now = self.generation().await?;
            if now > generation {
                return Ok(now);
            }
            ensure!(began.elapsed() < SWAP, "no swap: {}", self.last_lines());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Versions of each plugin that are alive.
    ///
    /// # Errors
    /// If the gateway does not say.
    pub(crate) async fn versions(&self) -> anyhow::Result<Vec<(String, usize)>> {
        const SERIES: &str = "sluicegate_plugin_live_versions{plugin=\"";
        let metrics = self.get("/metrics").await?;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(SERIES));
        let versions = lines.filter_map(|line| {
            let (name, count) = line.split_once("\"} ")?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Ok(versions.collect())
    }

    /// Waits until one version of each plugin is alive; tells those that have more in the end.
    ///
    /// # Errors
    /// If the gateway does not say.
    pub(crate) async fn until_one_each(
        &self,
        time: Duration,
    ) -> anyhow::Result<Vec<(String, usize)>> {
        let began = Instant::now();
        loop {
            let mut more = self.versions().await?;
            more.retain(|(_, count)| *count != 1);
            if more.is_empty() || began.elapsed() > time {
                return Ok(more);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// CPU time of the gateway and of this process, which is its clients and its model server.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(cpu(&self.child.id().to_string())? + cpu("self")?)
    }

    /// What it holds.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) async fn facts(&self) -> anyhow::Result<Facts> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(process.join("status"))?;
        let number = |name: &str| -> anyhow::Result<usize> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.context("a line of the status")?.split_whitespace();
            Ok(words.take(1).collect::<String>().parse()?)
        };
        let metrics = self.get("/metrics").await?;
        Ok(Facts {
            resident: number("VmRSS:")?,
            mappings: fs::read_to_string(process.join("maps"))?.lines().count(),
            descriptors: fs::read_dir(process.join("fd"))?.count(),
            threads: number("Threads:")?,
            metric_lines: metrics.lines().count(),
        })
    }

    fn last_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel's ticks in `/proc` are: USER_HZ, which is 100 on all architectures that count.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process, with that of its children that have ended.
///
/// # Source
/// proc(5), `/proc/pid/stat`: fields 14 to 17, behind a name in parentheses that may hold blanks.
fn cpu(process: &str) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let fields = fields.split_ascii_whitespace().skip(11).take(4);
    let ticks: Result<Vec<u32>, _> = fields.map(str::parse).collect();
    Ok(TICK * ticks?.iter().sum())
}
