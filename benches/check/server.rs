//! The servers under test: processes of their own, on a core of their own where that can be had.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The unit of `/proc/PID/stat`: Linux shows users 100 ticks a second, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// How the machine's cores are divided between the servers, which never run at once, and the load generator.
pub struct Machine {
    server_core: Option<usize>,
}

impl Machine {
    /// Moves this process to one core and keeps another one for servers, if there are two and `taskset` (util-linux).
    pub fn divide() -> Self {
        let cores = allowed_cores();
        let [server, ours, ..] = cores.as_slice() else { return Self { server_core: None } };
        let moved = Command::new("taskset")
            .args(["-c", "-p", &ours.to_string(), &std::process::id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Self { server_core: moved.is_ok_and(|status| status.success()).then_some(*server) }
    }

    fn command(&self, program: &Path) -> Command {
        match self.server_core {
            None => Command::new(program),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(program);
                command
            }
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server_core {
            Some(core) => write!(f, "servers on core {core}, load on another"),
            None => f.write_str("servers and load share all cores"),
        }
    }
}

/// Such as `0-3,8`.
fn allowed_cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            cores.extend(first..=last);
        }
    }
    cores
}

/// A server process. It ends with this value.
pub struct Server {
    /// Its name in the table.
    pub name: &'static str,
    /// Where it listens.
    pub socket: PathBuf,
    process: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program. Its log goes to the folder.
    pub fn start(name: &'static str, machine: &Machine, program: &Path, arguments: &[&OsStr], socket: &Path, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let process = machine
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self { name, socket: socket.into(), process, log }
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.process.id())).is_ok_and(|stat| fields(&stat).next() != Some("Z"))
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The CPU time that it has used, in user mode and in the kernel (proc(5), `utime` and `stime`).
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("a running server");
        let ticks = fields(&stat).skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("a number")).sum();
        TICK * ticks
    }
}

/// The fields of `/proc/PID/stat` from the third one on: the second one is the name, which may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ')
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
