//! `portcullis healthcheck`: what a probe learns of a sidecar from its start to its end, and of what is none.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{err, out};
use crate::harness::grpc::frame;
use crate::harness::hostile::{Behaviour, Document, Hostile};
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::process::{command, programs};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::wait::{self, PATIENCE};

/// Runs a probe with these variables, while those whom it asks go on.
async fn probe_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(programs::portcullis());
    command.arg("healthcheck").args(arguments).envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || command.output().expect("portcullis runs")).await.expect("an end")
}

/// Whether all is well, and the one line that is said.
async fn probe(arguments: &[&str]) -> (bool, String) {
    let output = probe_with(&[], arguments).await;
    let (said, silent) = if output.status.success() { (out(&output), err(&output)) } else { (err(&output), out(&output)) };
    assert_eq!(silent, "", "{arguments:?}");
    assert!(output.status.success() || output.status.code() == Some(1), "{arguments:?}: {output:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    (output.status.success(), said.trim_end().to_string())
}

/// How a running sidecar is asked.
struct Asked {
    admin: String,
    socket: String,
}

impl Asked {
    fn of(sidecar: &Sidecar) -> Self {
        Self { admin: sidecar.admin.to_string(), socket: sidecar.socket.display().to_string() }
    }

    /// Whether it is ready and whether it is alive, as both ways tell.
    async fn says(&self) -> [(bool, String); 4] {
        let (admin, socket) = (["--timeout", "30s", "--address", &self.admin], ["--timeout", "30s", "--socket", &self.socket]);
        [
            probe(&admin).await,
            probe(&socket).await,
            probe(&[&admin[..], &["--live"]].concat()).await,
            probe(&[&socket[..], &["--live"]].concat()).await,
        ]
    }

    /// Waits until all is as it should be; gives what the admin listener's answer about being ready came to.
    async fn becomes(&self, ready: bool, alive: bool) -> String {
        wait::until(&format!("ready {ready}, alive {alive}"), PATIENCE, async || {
            let says = self.says().await;
            let found = says.each_ref().map(|(good, _)| *good);
            let [(_, why), ..] = says;
            (found == [ready, ready, alive, alive]).then_some(why)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_follows_a_sidecar_from_its_start_to_its_end() {
    let folder = mesh::folder();
    let stub = Stub::start().await;
    stub.break_down(true);
    let policy = sidecar::policy(folder.path(), &stub.url());
    let policy = edit(&policy, "wait: 30s, max_staleness: 60s", "wait: 0s, max_staleness: 1s");
    let policy = edit(&policy, "delay: 0s", "delay: 60s");
    let mut sidecar = Sidecar::start(folder.path(), &policy).await;
    let asked = Asked::of(&sidecar);

    let why = asked.becomes(false, true).await;
    for what in ["not ready: the keys of issuer 'main' ", "; the revocations of issuer 'main' (feed) "] {
        assert!(why.contains(what), "{why}");
    }
    stub.break_down(false);
    assert_eq!(asked.becomes(true, true).await, "ready");
    stub.break_down(true);
    let why = asked.becomes(false, true).await;
    assert!(why.starts_with("not ready: the revocations of issuer 'main' (feed) "), "{why}");
    stub.break_down(false);
    assert_eq!(asked.becomes(true, true).await, "ready");

    // As long as somebody is connected it goes on, and says that it will not for long.
    let _connected = sidecar.connect().await;
    sidecar.process.signal("TERM");
    assert_eq!(asked.becomes(false, true).await, "not ready: the sidecar is shutting down");
    sidecar.process.signal("TERM");
    assert!(sidecar.process.ended(PATIENCE).await.success());
    let why = asked.becomes(false, false).await;
    assert_eq!(why, format!("nothing listens on {}: is the sidecar running, and is this its 'listen.admin'?", asked.admin));
    let (_, why) = probe(&["--socket", &asked.socket]).await;
    assert_eq!(why, format!("there is no {}: is the sidecar running, and is this among its 'listen.grpc'?", asked.socket));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_hangs_or_was_killed_fails_its_probes_in_time() {
    let mut lab = Lab::start().await;
    let asked = Asked::of(&lab.sidecar);
    lab.sidecar.process.stop().await;
    for (way, place) in [("--address", &asked.admin), ("--socket", &asked.socket)] {
        for live in [&[][..], &["--live"]] {
            let began = Instant::now();
            let (good, why) = probe(&[&[way, place, "--timeout", "100ms"][..], live].concat()).await;
            assert!(!good && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            assert_eq!(why, format!("no answer from {place} within 100ms"));
        }
    }
    lab.sidecar.process.kill();
    let (good, why) = probe(&["--socket", &asked.socket]).await;
    assert_eq!((good, why), (false, format!("nothing listens on {}: is the sidecar running?", asked.socket)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_to_ask_is_an_option_or_a_variable_over_either_version_of_ip() {
    for loopback in [Ipv4Addr::LOCALHOST.to_string(), format!("[{}]", Ipv6Addr::LOCALHOST)] {
        let lab = Lab::with_policy(|text| edit(&text, "admin: 127.0.0.1:0", &format!("admin: '{loopback}:0'"))).await;
        let asked = Asked::of(&lab.sidecar);
        assert!(asked.admin.starts_with(&loopback), "{}", asked.admin);
        assert_eq!(asked.becomes(true, true).await, "ready");
        let (admin, elsewhere) = (("PORTCULLIS_ADMIN", asked.admin.as_str()), ("PORTCULLIS_ADMIN", "127.0.0.1:1"));
        let url = format!("unix://{}", asked.socket);
        for (variable, arguments, good) in [
            (admin, &["--timeout", "30s"][..], true),
            (elsewhere, &[], false),
            (elsewhere, &["--timeout", "30s", "--address", &asked.admin], true),
            (admin, &["--address", "127.0.0.1:1"], false),
            // It says nothing about the socket.
            (elsewhere, &["--timeout", "30s", "--socket", &url], true),
            (("PORTCULLIS_ADMIN", "nonsense"), &["--timeout", "30s", "--socket", &url], true),
        ] {
            let output = probe_with(&[variable], arguments).await;
            assert_eq!(output.status.code(), Some(i32::from(!good)), "{variable:?} {arguments:?}: {}", err(&output));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_makes_no_sense_is_told_from_a_sidecar_that_is_not_ready() {
    for (variables, arguments, said) in [
        (&[][..], &["--address", "localhost:9193"][..], "'localhost:9193' is no IP address with a port"),
        (&[], &["--address", "9193"], "such as 127.0.0.1:9193 or [::1]:9193"),
        (&[], &["--address", "127.0.0.1:0"], "nothing listens at port 0"),
        (&[], &["--socket", ""], "there is no path"),
        (&[], &["--socket", &format!("/{}", "x".repeat(107))], "the path has 108 bytes, and the system allows 107"),
        (&[], &["--socket", "/a", "--address", "127.0.0.1:1"], "cannot be used with"),
        (&[], &["--timeout", "0s"], "from 1ms to 60s"),
        (&[], &["--timeout", "5"], "from 1ms to 60s"),
        (&[], &["--ready"], "unexpected argument"),
        (&[("PORTCULLIS_ADMIN", "localhost:9193")], &[], "PORTCULLIS_ADMIN: 'localhost:9193' is no IP address"),
        (&[("PORTCULLIS_ADMIN", "")], &[], "PORTCULLIS_ADMIN: '' is no IP address"),
    ] {
        let output = probe_with(variables, arguments).await;
        assert_eq!(output.status.code(), Some(2), "{variables:?} {arguments:?}: {}", err(&output));
        assert!(err(&output).contains(said), "{variables:?} {arguments:?}: {}", err(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_but_that_of_a_sidecar_makes_it_ready() {
    let ready = br#"{"ready":true,"reasons":[]}"#;
    let hostile = Hostile::start().await;
    hostile.serve("/readyz", Document::Text(Bytes::from_static(ready)));
    hostile.serve("/livez", Document::Text(Bytes::from_static(b"ok\n")));
    let address = hostile.address.to_string();
    for live in [&[][..], &["--live"]] {
        assert!(probe(&[&["--timeout", "30s", "--address", &address][..], live].concat()).await.0);
    }
    for behaviour in [
        Behaviour::Hung,
        Behaviour::Slow(Duration::from_secs(60)),
        Behaviour::Trickling,
        Behaviour::Status(200),
        Behaviour::Status(404),
        Behaviour::Status(500),
        Behaviour::Garbage,
        Behaviour::GarbageBody,
        Behaviour::Truncated,
        Behaviour::CutChunks,
        Behaviour::Html,
        Behaviour::GzipBomb,
        Behaviour::Large(50),
        Behaviour::Endless,
        Behaviour::EndlessHead,
        Behaviour::Redirect,
        Behaviour::RedirectLoop,
        Behaviour::Reset,
        Behaviour::NotModified,
        Behaviour::WrongJson,
        Behaviour::DeepJson,
        Behaviour::HalfJson,
    ] {
        for (path, live) in [("/readyz", &[][..]), ("/livez", &["--live"])] {
            hostile.behave(path, behaviour);
            let (before, began) = (hostile.sent(path), Instant::now());
            let (good, why) = probe(&[&["--timeout", "300ms", "--address", &address][..], live].concat()).await;
            assert!(!good && why.contains(&address), "{behaviour:?}: {why}");
            assert!(began.elapsed() < Duration::from_secs(10), "{behaviour:?}: {:?}", began.elapsed());
            // What lies in the buffers of two sockets comes on top of what was read.
            assert!(hostile.sent(path) - before < 16 << 20, "{behaviour:?}: {} bytes", hostile.sent(path) - before);
        }
    }
    assert_eq!(hostile.reached_elsewhere(), 0);
}

/// Something that listens on a Unix socket until it is dropped.
struct Listens {
    path: PathBuf,
    task: tokio::task::AbortHandle,
}

impl Drop for Listens {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

impl Listens {
    fn on<F: Future<Output = ()> + Send + 'static>(path: &Path, serve: impl Fn(UnixStream) -> F + Send + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { path: path.into(), task: task.abort_handle() }
    }

    /// Answers whatever is asked with this, over HTTP/2.
    fn answering(path: &Path, answer: &http::Response<Bytes>) -> Self {
        let answer = answer.clone();
        Self::on(path, move |stream| {
            let answer = answer.clone().map(Full::new);
            let service = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(answer.clone())));
            async move {
                let _ =
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_but_that_of_a_health_service_makes_a_socket_ready() {
    let folder = mesh::folder();
    let path = folder.path().join("a.sock");
    let refused = async |what: &str, said: &str| {
        for live in [&[][..], &["--live"]] {
            let socket = path.display().to_string();
            let (good, why) = probe(&[&["--timeout", "300ms", "--socket", &socket][..], live].concat()).await;
            assert!(!good && why.contains(said), "{what}: {why}");
        }
    };
    refused("nothing", "there is no ").await;
    fs::write(&path, "precious").expect("a file");
    refused("a file", "is no socket").await;
    fs::remove_file(&path).expect("removed");

    {
        let _listens = Listens::on(&path, |mut stream| async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        refused("silence", "no answer from ").await;
    }
    {
        let _listens = Listens::on(&path, |stream| async move { drop(stream) });
        refused("a closed door", "gives no answer that can be read").await;
    }
    for bytes in [&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"[..], &b"\x16\x03\x00SSH-2.0-nothing\r\n\x00\xff".repeat(5000)] {
        let bytes = Bytes::copy_from_slice(bytes);
        let _listens = Listens::on(&path, move |mut stream| {
            let bytes = bytes.clone();
            async move {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        refused("garbage", "gives no answer that can be read").await;
    }

    let answer = |status: u16, grpc_status: &str, body: Bytes| {
        let answer = http::Response::builder().status(status).header("content-type", "application/grpc");
        answer.header("grpc-status", grpc_status).body(body).expect("an answer")
    };
    let does_not = "does not answer as a sidecar does";
    for (what, answer, said) in [
        ("another service", answer(200, "12", Bytes::new()), does_not),
        ("a service that does not know", answer(200, "5", Bytes::new()), "knows of no service "),
        ("no message", answer(200, "0", Bytes::new()), does_not),
        ("an error", answer(503, "x", Bytes::new()), does_not),
        ("no status that there is", answer(200, "999999", Bytes::new()), does_not),
        ("a long answer", http::Response::new(frame(0, &[b' '; 1_000_000])), does_not),
        ("a page", http::Response::new(Bytes::from_static(b"<html>")), does_not),
        ("something that is neither", answer(200, "0", frame(0, &[8, 3])), "not "),
        ("nothing but Serving in another field", answer(200, "0", frame(0, &[16, 1])), "not "),
    ] {
        let _listens = Listens::answering(&path, &answer);
        refused(what, said).await;
    }
}

#[test]
fn what_is_said_is_for_people_and_programs() {
    let output = super::portcullis([OsString::from("healthcheck"), "--help".into()]);
    for word in ["PORTCULLIS_ADMIN", "127.0.0.1:9193", "--live", "--socket", "--timeout", "Exit status", "Examples:"] {
        assert!(out(&output).contains(word), "{word}:\n{}", out(&output));
    }
}
