//! Requests that are no reviews, and what else may come over the wire.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{pod, response, review};
use crate::harness::process::{command, programs};
use crate::harness::wait::{self, PATIENCE};
use crate::harness::webhook::{NAME, Webhook, tls};

/// The longest review that is read.
const MOST: usize = 3 * 1024 * 1024;

#[tokio::test]
async fn whatever_is_no_review_gets_its_error_and_nothing_breaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let good = review("u", &pod()).to_string();
    let json = [("content-type", "application/json")];
    let deep = "[".repeat(100_000);
    for protocol in ["h2", "http/1.1"] {
        let mut connection = webhook.connect(protocol).await;
        for (method, target, headers, body, status, says) in [
            ("POST", "/inject", &json[..], "{", 400, "the body is no JSON"),
            ("POST", "/inject", &json, "", 400, "the body is no JSON"),
            ("POST", "/inject", &json, "\u{0}\u{1}", 400, "the body is no JSON"),
            ("POST", "/inject", &json, &*deep, 400, "recursion limit"),
            ("POST", "/inject", &json, "{}", 400, "has kind ''"),
            ("POST", "/inject", &json, &*review("", &pod()).to_string(), 400, "'request.uid'"),
            ("POST", "/inject", &[], &*good, 415, "content-type: application/json"),
            ("POST", "/inject", &[("content-type", "application/yaml")], &*good, 415, "content-type: application/json"),
            ("POST", "/inject", &[json[0], ("content-encoding", "gzip")], &*good, 415, "content-encoding"),
            ("GET", "/inject", &[], "", 405, "takes POST"),
            ("PUT", "/inject", &json, &*good, 405, "takes POST"),
            ("POST", "/livez", &json, "", 405, "takes GET"),
            ("POST", "/", &json, &*good, 404, "path: /inject"),
            ("POST", "/inject/", &json, &*good, 404, "path: /inject"),
            ("POST", "/mutate", &json, &*good, 404, "path: /inject"),
            ("GET", "/metrics", &[], "", 404, "path: /inject"),
            ("GET", "/livez", &[], "", 200, "ok"),
            ("GET", "/readyz", &[], "", 200, "\"ready\":true"),
        ] {
            let answer = connection.send(method, target, headers, body.to_string()).await.expect("an answer");
            assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
            assert!(answer.text().contains(says), "{method} {target}: {}", answer.text());
            // A connection of HTTP/1.1 whose body was not read ends; an API server opens another.
            if !connection.is_http2() && status >= 400 {
                connection = webhook.connect(protocol).await;
            }
        }
        let spelled = [("content-type", "Application/JSON; charset=utf-8")];
        let answer = connection.send("POST", "/inject?timeout=5s", &spelled, good.clone()).await.expect("an answer");
        assert_eq!(response(&answer, "u")["allowed"], true);
    }
    assert_eq!((webhook.reviews("injected").await, webhook.reviews("invalid").await), (2.0, 30.0));
}

#[tokio::test]
async fn a_review_may_have_three_mebibytes_and_not_one_byte_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let of_length = |length: usize| {
        let text = |filling: &str| {
            let mut pod = pod();
            pod["metadata"]["annotations"] = json!({ "filling": filling });
            review("u", &pod).to_string()
        };
        let body = text(&"x".repeat(length - text("").len()));
        assert_eq!(body.len(), length);
        body
    };
    for protocol in ["h2", "http/1.1"] {
        let answer = webhook.connect(protocol).await.post("/inject", of_length(MOST)).await.expect("an answer");
        assert_eq!(response(&answer, "u")["allowed"], true);
        let answer = webhook.connect(protocol).await.post("/inject", of_length(MOST + 1)).await.expect("an answer");
        assert_eq!((answer.status, &*answer.text()), (413, "the review is longer than 3 MiB, the most that an API server takes\n"));
    }
}

/// A request by hand, on a stream of its own; gives all that comes back.
async fn by_hand(webhook: &Webhook, parts: &[&[u8]]) -> String {
    let mut stream = tls(webhook.address, &webhook.authority.certificate, NAME, &["http/1.1"]).await.expect("TLS");
    for part in parts {
        // It may be refused before all of it is there.
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_and_what_does_not_come_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let head = |rest: &str| format!("POST /inject HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\n{rest}\r\n\r\n");
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    let chunked = head("transfer-encoding: chunked");
    let parts = [chunked.as_bytes(), &chunk, &chunk, &chunk, &chunk];
    assert!(by_hand(&webhook, &parts).await.starts_with("HTTP/1.1 413 "));

    // Many that stop in the middle or say nothing at all; and somebody else is answered meanwhile.
    let slow = head("content-length: 1000000");
    let began = Instant::now();
    let (some, none) = ([slow.as_bytes(), b"{"], [slow.as_bytes()]);
    let endless = [chunked.as_bytes(), b"1\r\n{\r\n"];
    let crowd = futures_join((0..20).map(|_| by_hand(&webhook, &endless)).collect());
    let slowly = async { tokio::join!(by_hand(&webhook, &some), by_hand(&webhook, &none), crowd) };
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        for _ in 0..20 {
            let answer = webhook.connect("h2").await.post("/inject", review("u", &pod()).to_string()).await.expect("an answer");
            assert_eq!(response(&answer, "u")["allowed"], true);
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    };
    let silent = async {
        let mut stream = TcpStream::connect(webhook.address).await.expect("a connection");
        stream.read_to_end(&mut Vec::new()).await
    };
    let silence = async { tokio::join!(by_hand(&webhook, &[]), tokio::time::timeout(PATIENCE, silent)) };
    let ((first, second, crowd), (nothing, closed), ()) = tokio::join!(slowly, silence, meanwhile);
    assert_eq!((&*nothing, closed.is_ok()), ("", true));
    for answer in [first, second].into_iter().chain(crowd) {
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not come within 5 s"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_sent_away_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    for bytes in [b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n".as_slice(), b"\x16\x03\x01\xff\xff", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(webhook.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("written");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
        assert!(!answer.starts_with(b"HTTP"), "an answer without TLS");
    }
    let answer = webhook.connect("h2").await.post("/inject", review("u", &pod()).to_string()).await.expect("an answer");
    assert_eq!(response(&answer, "u")["allowed"], true);
}

#[tokio::test]
async fn the_longest_reviews_take_a_bounded_amount_of_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    // As many values as there can be in so many bytes.
    let mut greedy = pod();
    greedy["spec"]["containers"][0]["args"] = json!(vec![""; (MOST - 4096) / 3]);
    let body = review("u", &greedy).to_string();
    assert!(body.len() <= MOST);
    let asks = (0..3).map(|_| {
        let body = body.clone();
        async {
            let mut connection = webhook.connect("h2").await;
            response(&connection.post("/inject", body).await.expect("an answer"), "u")["allowed"].clone()
        }
    });
    let asks: Vec<_> = asks.collect();
    for allowed in futures_join(asks).await {
        assert_eq!(allowed, true);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", webhook.process.id())).expect("a process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM").trim().trim_end_matches(" kB");
    let peak = peak.parse::<u64>().expect("a number") / 1024;
    println!("the longest reviews took {peak} MiB at most");
    assert!(peak < 320, "{peak} MiB");
}

/// Waits for all of them, at once.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_review_in_flight_is_finished_at_the_end_and_readiness_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut webhook = Webhook::start(folder.path(), &["--shutdown-delay", "2s"]).await;
    let body = review("u", &pod()).to_string();
    let head = format!("POST /inject HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = tls(webhook.address, &webhook.authority.certificate, NAME, &["http/1.1"]).await.expect("TLS");
    let (first, rest) = body.split_at(10);
    stream.write_all(format!("{head}{first}").as_bytes()).await.expect("written");
    wait::until_true("the connection to be there", PATIENCE, async || {
        webhook.metrics().await.find("portcullis_connections{listener=\"webhook\"}") == Some(1.0)
    })
    .await;
    webhook.process.signal("TERM");
    wait::until_true("readiness to be gone", PATIENCE, async || webhook.get("/readyz").await.status == 503).await;
    // Somebody who does not know yet is still answered.
    let answer = webhook.connect("h2").await.post("/inject", body.clone()).await.expect("an answer");
    assert_eq!(response(&answer, "u")["allowed"], true);
    webhook.process.log_line("ending: not ready any more").await;
    wait::until_true("the listener to be closed", PATIENCE, async || TcpStream::connect(webhook.address).await.is_err()).await;
    stream.write_all(rest.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"allowed\":true"), "{answer}");
    assert!(webhook.process.ended(PATIENCE).await.success());
}

#[test]
fn what_is_wrong_at_the_start_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let authority = crate::harness::authority::Authority::new();
    let identity = |name: &str| {
        let (certificate, key) = (folder.path().join(format!("{name}.crt")), folder.path().join(format!("{name}.key")));
        authority.for_host(NAME).write(&certificate, &key);
        (certificate.display().to_string(), key.display().to_string())
    };
    let ((certificate, key), (_, other_key)) = (identity("a"), identity("b"));
    let (empty, garbage) = (write("empty", ""), write("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut rows: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["--certificate", "/nowhere/tls.crt", "--key", &key], 1, "/nowhere/tls.crt: No such file"),
        (vec!["--certificate", &certificate, "--key", "/nowhere/tls.key"], 1, "/nowhere/tls.key: No such file"),
        (vec!["--certificate", &empty, "--key", &key], 1, "there is no certificate in PEM in it"),
        (vec!["--certificate", &garbage, "--key", &key], 1, "its first certificate cannot be read"),
        (vec!["--certificate", &certificate, "--key", &empty], 1, "there is no private key in PEM in it"),
        (vec!["--certificate", &certificate, "--key", &certificate], 1, "there is no private key in PEM in it"),
        (vec!["--certificate", &certificate, "--key", &other_key], 1, "the key does not belong to the certificate in"),
        (vec!["--certificate", &certificate], 2, "--key <FILE>"),
        (vec!["--certificate", &certificate, "--key", &key, "--shutdown-delay", "5"], 2, "a whole number and a unit"),
        (vec!["--certificate", &certificate, "--key", &key, "--memory-limit", "lots"], 2, "no quantity of memory"),
        (vec!["--certificate", &certificate, "--key", &key, "--webhook-log", "=,="], 2, "is no log filter"),
        (vec!["--certificate", &certificate, "--key", &key, "--cpu-request", "2", "--cpu-limit", "1"], 2, "cpu-request"),
    ];
    for (arguments, _, _) in &mut rows {
        arguments.extend(free);
    }
    rows.push((vec!["--certificate", &certificate, "--key", &key, "--listen", &taken, "--admin", "127.0.0.1:0"], 1, "(--listen)"));
    rows.push((vec!["--certificate", &certificate, "--key", &key, "--listen", "127.0.0.1:0", "--admin", &taken], 1, "(--admin)"));
    for (arguments, code, says) in rows {
        let output = command(programs::portcullis()).arg("webhook").args(&arguments).output().expect("portcullis runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {told}");
    }
}
