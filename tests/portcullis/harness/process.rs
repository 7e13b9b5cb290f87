//! A child process that ends with the test, and whose log explains why the test failed.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait::{self, PATIENCE};

/// How much of a log a failed test shows.
const TAIL_LINES: usize = 40;

/// A running (or ended) program. Its standard output and error go to one file.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this run begins in the file: a restarted program goes on in the same one.
    begins: usize,
}

impl Process {
    /// Starts a program. Its environment is the test's, without what would configure our own programs.
    pub fn start<A: AsRef<OsStr>>(name: &str, program: &Path, arguments: impl IntoIterator<Item = A>, folder: &Path) -> Self {
        Self::start_with(name, program, arguments, &[], folder)
    }

    /// The same with variables for its environment.
    pub fn start_with<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let begins = usize::try_from(file.metadata().expect("a log file").len()).unwrap();
        let child = command(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self { name: name.into(), child, log, begins }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that this run has written.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begins..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line with these words, and gives it.
    pub async fn log_line(&mut self, words: &str) -> String {
        self.log_line_after(0, words).await
    }

    /// The same, but only looks at what comes after the first `offset` bytes of this run's log.
    pub async fn log_line_after(&mut self, offset: usize, words: &str) -> String {
        let what = format!("'{words}' in the log of {}", self.name);
        wait::until(&what, PATIENCE, async || {
            let log = self.log();
            // What has no end yet is still being written.
            let complete = log.rfind('\n').and_then(|end| log.get(offset..=end)).unwrap_or_default();
            let line = complete.lines().find(|line| line.contains(words)).map(str::to_string);
            assert!(line.is_some() || self.is_running(), "{} ended before it said '{words}'", self.name);
            line
        })
        .await
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Sends a signal, by its short name (`TERM`, `HUP`).
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{signal} could not be sent to {}", self.name);
    }

    /// Stops it until it is told to continue. The signal reaches one thread after the other, so this waits for all of them.
    pub async fn stop(&self) {
        self.signal("STOP");
        let what = format!("all threads of {} to stop", self.name);
        wait::until_true(&what, PATIENCE, async || self.thread_states().iter().all(|state| *state == 'T')).await;
    }

    /// The state of each thread, as `/proc/PID/task/TID/stat` tells it: behind the name in parentheses.
    fn thread_states(&self) -> Vec<char> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("the threads of a process that is there");
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, within, async || self.child.try_wait().expect("the state of a child")).await
    }

    /// Ends it as a crash would, and waits for that.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The memory that it holds now, in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let state = ended.map_or("running".to_string(), |status| status.to_string());
            eprintln!("--- the end of the log of {} ({state}) ---", self.name);
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
                eprintln!("{line}");
            }
        }
    }
}

/// A command without what the tester's environment may say to our own programs.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in ["PORTCULLIS_CONFIG", "PORTCULLIS_LOG", "PORTCULLIS_LOG_FORMAT", "PORTCULLIS_ADMIN", "PORTCULLIS_SOCKET_MODE"] {
        command.env_remove(variable);
    }
    for variable in ["PORTCULLIS_IDENTITY_ADMIN_TOKEN", "RUST_LOG"] {
        command.env_remove(variable);
    }
    // Nor what it says of proxies.
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(variable).env_remove(variable.to_lowercase());
    }
    command.env("NO_COLOR", "1");
    command
}

/// The programs of this package, as cargo built them for the tests.
pub mod programs {
    use std::path::Path;

    pub fn portcullis() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_portcullis"))
    }

    pub fn identity() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_portcullis-identity"))
    }
}
