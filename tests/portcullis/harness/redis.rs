//! A real Redis that keeps nothing on disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redis::{Client, Connection, FromRedisValue};

use super::process::Process;
use super::wait::{self, PATIENCE};

/// A running Redis, on a Unix socket in its folder.
pub struct Redis {
    pub process: Process,
    socket: PathBuf,
    folder: PathBuf,
    options: Vec<String>,
    connection: Mutex<Option<Connection>>,
}

impl Redis {
    /// Starts one.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, "redis", &[]).await
    }

    /// Starts one of this name with further options, as they are written on its command line.
    pub async fn start_with(folder: &Path, name: &str, options: &[&str]) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let mut all: Vec<String> = ["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"].map(String::from).into();
        // A folder of its own: a replica writes down there what it gets from its master.
        let data = folder.join(name);
        std::fs::create_dir(&data).expect("a folder for Redis");
        all.extend(["--unixsocket".into(), socket.display().to_string(), "--dir".into(), data.display().to_string()]);
        all.extend(options.iter().map(|option| (*option).to_string()));
        let process = launch(folder, name, &all);
        let redis = Self { process, socket, folder: folder.into(), options: all, connection: Mutex::default() };
        redis.answers().await;
        redis
    }

    /// What a configuration says of where it is.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }

    /// Ends it as a crash would. What it held is gone.
    pub fn kill(&mut self) {
        self.process.kill();
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Starts it again with nothing in it.
    pub async fn restart(&mut self) {
        self.kill();
        let name = self.socket.file_stem().unwrap().to_string_lossy().into_owned();
        self.process = launch(&self.folder, &name, &self.options);
        self.answers().await;
    }

    /// Runs a command, such as `SADD revoked sid:a`, whose words have no spaces in them.
    pub fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let words: Vec<&str> = command.split(' ').collect();
        self.run_words(&words)
    }

    /// The same with the words one by one.
    pub fn run_words<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connection.get_or_insert_with(|| self.connect().expect("a connection to Redis"));
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(connection).unwrap_or_else(|error| panic!("{:.200}: {error}", words.join(" ")))
    }

    fn connect(&self) -> redis::RedisResult<Connection> {
        let mut url = self.url();
        if let Some(at) = self.options.iter().position(|option| option == "--requirepass") {
            url = format!("{url}?pass={}", self.options[at + 1]);
        }
        Client::open(url)?.get_connection()
    }

    async fn answers(&self) {
        let ping = || redis::cmd("PING").query::<String>(&mut self.connect().ok()?).ok();
        wait::until("Redis to answer", PATIENCE, async || ping()).await;
    }
}

fn launch(folder: &Path, name: &str, options: &[String]) -> Process {
    let program = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("redis-server"))
        .find(|program| program.is_file())
        .expect("there is no redis-server, which tests need; install it: apt-get install -y redis-server");
    Process::start(name, &program, options, folder)
}
