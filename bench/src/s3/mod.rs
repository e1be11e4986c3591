//! Measures the cost of S3, and how much of a slow server's bandwidth Septet uses.
//!
//! CPU: the same volume to a directory and to a server on loopback, with and without a CRC. Bandwidth: eight `curl`
//! processes and then Septet, in each round, with a server that delays each answer and limits each connection.

mod request;
mod server;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::data::Volume;
use crate::{process, workspace};
use server::{Moved, Pace, Server};

/// The number of connections, the same as Septet's.
const CONNECTIONS: usize = 8;

/// The pace of the slow server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) latency_ms: u64,
    pub(crate) mb_per_second: f64,
}

impl Link {
    fn pace(self) -> Pace {
        Pace { latency: Duration::from_millis(self.latency_ms), bytes_per_second: Some(self.mb_per_second * 1e6) }
    }
}

/// One way to move a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Directory,
    NoCheck,
    Crc,
}

/// The cost of a round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CpuRow {
    way: Way,
    backup_ms_per_gb: f64,
    restore_ms_per_gb: f64,
}

/// A round's transfer rates, MB a second.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SpeedRow {
    curl_up: f64,
    septet_up: f64,
    curl_down: f64,
    septet_down: f64,
}

/// All figures.
#[derive(Debug, Serialize)]
pub(crate) struct S3Report {
    link: Link,
    volume_bytes: u64,
    cpu: Vec<CpuRow>,
    speed: Vec<SpeedRow>,
}

/// Measures `rounds` rounds with an incompressible volume.
pub(crate) fn measure(septet: &Path, volume: &Volume, dir: &Path, link: Link, rounds: u32) -> anyhow::Result<S3Report> {
    let work = dir.join("work-s3");
    let bench =
        Bench { septet: septet.to_owned(), volume: volume.original.clone(), work, server: Server::start(false)? };
    let volume_bytes = std::fs::metadata(&bench.volume)?.len();
    let mut report = S3Report { link, volume_bytes, cpu: Vec::new(), speed: Vec::new() };
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        // The order rotates, because the first run costs more while the server's memory grows.
        let mut ways = [Way::Directory, Way::NoCheck, Way::Crc];
        ways.rotate_left(round as usize % 3);
        for way in ways {
            report.cpu.push(bench.cpu(way, volume_bytes)?);
        }
        report.speed.push(bench.speed(link, volume_bytes)?);
    }
    workspace::remove(&bench.work)?;
    Ok(report)
}

/// Runs the slow server until the process is ended. It accepts any bucket and any key and prints each request.
pub(crate) fn serve(link: Link) -> anyhow::Result<()> {
    let server = Server::start(true)?;
    server.set_pace(link.pace());
    println!("AWS_ENDPOINT_URL={}", server.endpoint);
    loop {
        std::thread::park();
    }
}

struct Bench {
    septet: PathBuf,
    volume: PathBuf,
    work: PathBuf,
    server: Server,
}

impl Bench {
    fn cpu(&self, way: Way, volume_bytes: u64) -> anyhow::Result<CpuRow> {
        self.begin()?;
        let repo = match way {
            Way::Directory => self.work.join("repository").display().to_string(),
            Way::NoCheck => "s3://bench/r?upload-check=none".to_owned(),
            Way::Crc => "s3://bench/r?upload-check=crc".to_owned(),
        };
        let gb = volume_bytes as f64 / 1e9;
        let backup = self.septet(&["backup", "--volume", "v"], &self.volume, &repo)?;
        let restore = self.septet(&["restore", "v@latest"], &self.work.join("restored"), &repo)?;
        let row = CpuRow { way, backup_ms_per_gb: backup * 1e3 / gb, restore_ms_per_gb: restore * 1e3 / gb };
        eprintln!("  {row:?}");
        Ok(row)
    }

    fn speed(&self, link: Link, volume_bytes: u64) -> anyhow::Result<SpeedRow> {
        self.begin()?;
        let part_bytes = volume_bytes / CONNECTIONS as u64;
        for number in 0..CONNECTIONS {
            self.cut(number, part_bytes)?;
        }
        self.server.set_pace(link.pace());
        self.server.moved();
        let curl_up = self.curls(|number, url| vec!["-T".to_owned(), self.piece(number), url])?;
        let repo = "s3://bench/r";
        self.septet(&["backup", "--volume", "v", "--compression", "none"], &self.volume, repo)?;
        let septet_up = rate(self.server.moved());
        let curl_down = self.curls(|number, url| vec!["-o".to_owned(), self.piece(number), url])?;
        self.septet(&["restore", "v@latest"], &self.work.join("restored"), repo)?;
        let septet_down = rate(self.server.moved());
        let row = SpeedRow { curl_up, septet_up, curl_down, septet_down };
        eprintln!("  {row:?}");
        Ok(row)
    }

    fn begin(&self) -> anyhow::Result<()> {
        self.server.set_pace(Pace { latency: Duration::ZERO, bytes_per_second: None });
        self.server.clear();
        workspace::remove(&self.work)?;
        std::fs::create_dir_all(&self.work)?;
        Ok(())
    }

    /// Runs septet. Returns its CPU time, seconds.
    fn septet(&self, words: &[&str], path: &Path, repo: &str) -> anyhow::Result<f64> {
        let mut command = Command::new(&self.septet);
        command.args(words).arg(path).args(["--json", "--repo", repo]);
        command.env("AWS_ENDPOINT_URL", &self.server.endpoint).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench");
        Ok(process::run(&mut command, false)?.cpu_seconds)
    }

    /// Runs one `curl` for each connection in parallel. Returns their rate, MB a second.
    fn curls(&self, args: impl Fn(usize, String) -> Vec<String>) -> anyhow::Result<f64> {
        let mut running = Vec::new();
        for number in 0..CONNECTIONS {
            let url = format!("{}/bench/curl{number}", self.server.endpoint);
            let mut command = Command::new("curl");
            command.args(["-sS", "--fail"]).args(args(number, url)).stdout(Stdio::null());
            running.push(command.spawn().context("curl can't be started")?);
        }
        for mut curl in running {
            ensure!(curl.wait()?.success(), "curl failed");
        }
        Ok(rate(self.server.moved()))
    }

    fn piece(&self, number: usize) -> String {
        self.work.join(format!("piece{number}")).display().to_string()
    }

    fn cut(&self, number: usize, bytes: u64) -> anyhow::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(&self.volume)?;
        file.seek(SeekFrom::Start(number as u64 * bytes))?;
        std::io::copy(&mut file.take(bytes), &mut std::fs::File::create(self.piece(number))?)?;
        Ok(())
    }
}

fn rate(moved: Moved) -> f64 {
    moved.bytes as f64 / 1e6 / moved.seconds()
}

impl fmt::Display for S3Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |way: Way, what: fn(&CpuRow) -> f64| {
            median(self.cpu.iter().filter(|row| row.way == way).map(what).collect())
        };
        writeln!(f, "CPU, ms a GB of a volume that nothing shortens, median of {} rounds:", self.speed.len())?;
        let directory =
            (of(Way::Directory, |row| row.backup_ms_per_gb), of(Way::Directory, |row| row.restore_ms_per_gb));
        writeln!(f, "  directory                 backup {:6.0}          restore {:6.0}", directory.0, directory.1)?;
        for (way, name, goal) in [(Way::NoCheck, "S3, no check", 350), (Way::Crc, "S3, CRC-32", 500)] {
            let (up, down) = (of(way, |row| row.backup_ms_per_gb), of(way, |row| row.restore_ms_per_gb));
            writeln!(
                f,
                "  {name:<25} backup {up:6.0} ({:+5.0})  restore {down:6.0} ({:+5.0})  at most +{goal} beyond the pipeline",
                up - directory.0,
                down - directory.1
            )?;
        }
        let Link { latency_ms, mb_per_second } = self.link;
        writeln!(
            f,
            "Speed, MB a second, with {latency_ms} ms an answer and {mb_per_second} MB/s on each of {CONNECTIONS} connections:"
        )?;
        for (name, curl, septet) in [
            (
                "up",
                (|row: &SpeedRow| row.curl_up) as fn(&SpeedRow) -> f64,
                (|row: &SpeedRow| row.septet_up) as fn(&SpeedRow) -> f64,
            ),
            ("down", |row| row.curl_down, |row| row.septet_down),
        ] {
            let all = |what: fn(&SpeedRow) -> f64| median(self.speed.iter().map(what).collect());
            let ratio = median(self.speed.iter().map(|row| septet(row) / curl(row)).collect());
            writeln!(
                f,
                "  {name:<5} curl {:6.0}  septet {:6.0}  {:3.0} % (goal: 85)",
                all(curl),
                all(septet),
                ratio * 100.0
            )?;
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
