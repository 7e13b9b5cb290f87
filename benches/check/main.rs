//! What a check costs over gRPC, beside a server that always answers OK.
//!
//! `cargo bench --bench check` starts the release binary and, as a process of its own, a stock tonic server that decodes each
//! message and says OK. Both listen on Unix sockets, are given the same messages by the same generator, and take turns, so
//! whatever else the machine does hits both. Every answer is checked. The figure to look at is the ratio of the CPU times per
//! check: it is the one that other load on the machine disturbs least.
//!
//! `-- --quick` is short and rough. The environment can set `ROUNDS` (5) and `SECS` (2) per server, concurrency and round.
//! Without `--bench`, which is how `cargo test` runs it, nothing is measured: a few answers are checked, and that is all.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark that cannot go on should stop")]

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use portcullis::clock;

mod always_ok;
mod load;
mod message;
mod report;
mod server;
#[path = "../support/mod.rs"]
mod support;

use load::{Client, Until};
use message::{Check, Expected};
use report::Report;
use server::{Machine, Server};
use support::{Signer, Workload};

/// The allocator of the binary, for the other server and the generator too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUTES: usize = 1_000;
const CONCURRENCY: [usize; 2] = [1, 64];
/// How long a server may take until it answers as it should.
const START: Duration = Duration::from_secs(30);

const USAGE: &str = "\
usage: cargo bench --bench check [-- --quick]
environment: ROUNDS (5), SECS (2)";

/// How much is measured.
struct Plan {
    rounds: usize,
    each: Duration,
    tokens: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, socket] = arguments.as_slice()
        && mode == always_ok::MODE
    {
        always_ok::serve(Path::new(socket));
        return ExitCode::SUCCESS;
    }
    let mut plan = Plan { rounds: 0, each: Duration::ZERO, tokens: 20 };
    for argument in &arguments {
        match argument.as_str() {
            "--bench" if plan.rounds == 0 => plan = Plan { rounds: 5, each: Duration::from_secs(2), tokens: 1_000 },
            "--quick" => plan = Plan { rounds: 3, each: Duration::from_millis(500), tokens: 1_000 },
            "--bench" | "--test" => {}
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if plan.rounds > 0 {
        plan.rounds = setting("ROUNDS").map_or(plan.rounds, |rounds| rounds as usize).max(1);
        plan.each = setting("SECS").map_or(plan.each, Duration::from_secs_f64);
    }
    run(&plan);
    ExitCode::SUCCESS
}

/// A number from the environment.
fn setting(name: &str) -> Option<f64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok().filter(|number| (0.0..=3600.0).contains(number));
    Some(number.unwrap_or_else(|| panic!("{name} is '{text}' and should be a number up to 3600")))
}

fn run(plan: &Plan) {
    let machine = Machine::divide();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workload = Workload { routes: ROUTES, now: clock::now() };
    let (signer, forger) = (Signer::generate(), Signer::generate());
    let tokens: Vec<String> = (0..plan.tokens).map(|holder| signer.sign(&workload.claims(holder))).collect();
    let good: Rc<[Check]> =
        tokens.iter().enumerate().map(|(holder, token)| Check::new(&workload.request(holder, token), Expected::Allowed)).collect();

    let configuration = folder.path().join("portcullis.yaml");
    let [ours, theirs] = ["portcullis.sock", "always-ok.sock"].map(|name| folder.path().join(name));
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, signer.jwks()).expect("a file");
    let listen = format!("listen: {{ grpc: [\"unix:{}\"], admin: 127.0.0.1:0 }}\n", ours.display());
    let policy = workload.configuration(&format!("{{ file: {} }}", jwks.display()), None);
    std::fs::write(&configuration, listen + &policy).expect("a file");

    let executable = std::env::current_exe().expect("this executable");
    let servers = [
        Server::start("always-ok", &machine, &executable, &[always_ok::MODE.as_ref(), theirs.as_ref()], &theirs, folder.path()),
        Server::start(
            "portcullis",
            &machine,
            env!("CARGO_BIN_EXE_portcullis").as_ref(),
            &["run".as_ref(), "--config".as_ref(), configuration.as_ref()],
            &ours,
            folder.path(),
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut clients = Vec::new();
        for server in &servers {
            clients.push(ready(server, &good[0]).await);
        }
        // Whoever does not refuse what must be refused is not worth measuring. `always-ok` would not pass.
        let bad = refusals(&workload, &forger, &signer, &tokens);
        clients[1].drive(&bad, 8, Until::Count(2 * bad.len())).await;
        // Every token is seen once before anything is measured.
        for client in &clients {
            client.drive(&good, 8, Until::Count(good.len())).await;
        }
        println!("portcullis answers as it should: {} checks to allow, {} to refuse", good.len(), bad.len());
        if plan.rounds > 0 {
            let report = measure(plan, &servers, &clients, &good).await;
            println!(
                "{} rounds of {:?}; {} tokens of {} bytes, {ROUTES} routes, messages of {} bytes; {machine}\n\n{report}",
                plan.rounds,
                plan.each,
                tokens.len(),
                tokens[0].len(),
                good[0].frame.len(),
            );
        }
    });
}

/// A client of a server that has begun to answer as it should: it listens and has read its keys.
async fn ready(server: &Server, good: &Check) -> Client {
    let deadline = Instant::now() + START;
    loop {
        if let Ok(client) = Client::connect(&server.socket).await
            && client.call(&good.frame).await.is_ok_and(|answer| good.expected.agrees_with(&answer))
        {
            return client;
        }
        assert!(server.is_running() && Instant::now() < deadline, "{} does not answer:\n{}", server.name, server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Checks that have to be refused, one kind after the other for some holders.
fn refusals(workload: &Workload, forger: &Signer, signer: &Signer, tokens: &[String]) -> Rc<[Check]> {
    let mut checks = Vec::new();
    for (holder, token) in tokens.iter().enumerate().take(10) {
        let mut expired = workload.claims(holder);
        expired["exp"] = expired["iat"].clone();
        let (expired, forged) = (signer.sign(&expired), forger.sign(&workload.claims(holder)));
        let mut none = workload.request(holder, token);
        none.headers.retain(|(name, _)| *name != "authorization");
        let mut nowhere = workload.request(holder, token);
        nowhere.path += "/nowhere";
        checks.extend([
            Check::new(&workload.request(holder, &expired), Expected::Denied(401)),
            Check::new(&workload.request(holder, &forged), Expected::Denied(401)),
            Check::new(&workload.request_across_tenants(holder, token), Expected::Denied(403)),
            Check::new(&workload.request_without_permission(holder, token), Expected::Denied(403)),
            Check::new(&none, Expected::Denied(401)),
            Check::new(&nowhere, Expected::Denied(403)),
        ]);
    }
    checks.into()
}

async fn measure(plan: &Plan, servers: &[Server; 2], clients: &[Client], good: &Rc<[Check]>) -> Report {
    let mut report = Report::new(servers.each_ref().map(|server| server.name));
    for round in 0..plan.rounds {
        for concurrency in CONCURRENCY {
            for turn in 0..servers.len() {
                let which = (round + turn) % servers.len();
                clients[which].drive(good, concurrency, Until::Time(plan.each / 10)).await;
                let before = servers[which].cpu_time();
                let run = clients[which].drive(good, concurrency, Until::Time(plan.each)).await;
                report.add(which, concurrency, run, servers[which].cpu_time() - before);
            }
        }
        eprint!(".");
    }
    eprintln!();
    report
}
