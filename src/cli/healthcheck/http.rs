//! Asking the admin listener, over HTTP/1.1.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Question, shown};
use crate::pip::http_client::root_message;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The longest body of an answer, in bytes. There is a reason for each issuer and source at most.
const MAX_BODY: usize = 1024 * 1024;
/// How many reasons are told one by one.
const MAX_REASONS: usize = 10;

/// What `/readyz` says.
#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

pub(super) async fn ask(address: SocketAddr, question: Question) -> Result<(), String> {
    let path = match question {
        Question::Ready => "/readyz",
        Question::Live => "/livez",
    };
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => format!("nothing listens on {address}: is the sidecar running, and is this its 'listen.admin'?"),
        _ => format!("cannot connect to {address}: {error}"),
    })?;
    let (status, body) = get(stream, address, path)
        .await
        .map_err(|error| format!("what listens on {address} gives no answer that can be read: {}", shown(&root_message(&*error))))?;
    judge(question, status, &body).unwrap_or_else(|| {
        Err(format!(
            "what listens on {address} does not answer {path} as a sidecar does (status {}): is this its 'listen.admin'?",
            status.as_u16()
        ))
    })
}

async fn get(stream: TcpStream, address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
    // Why it ends is told to whoever waits for the answer.
    tokio::spawn(connection);
    let request =
        Request::get(path).header(header::HOST, address.to_string()).header(header::CONNECTION, "close").body(Empty::<Bytes>::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((head.status, Limited::new(body, MAX_BODY).collect().await?.to_bytes()))
}

/// What an answer means; `None`: no sidecar answers so.
fn judge(question: Question, status: StatusCode, body: &[u8]) -> Option<Result<(), String>> {
    if question == Question::Live {
        return (status == StatusCode::OK && body == b"ok\n").then_some(Ok(()));
    }
    let Readiness { ready, reasons } = serde_json::from_slice(body).ok()?;
    match (status, ready) {
        (StatusCode::OK, true) if reasons.is_empty() => Some(Ok(())),
        (StatusCode::SERVICE_UNAVAILABLE, false) if !reasons.is_empty() => {
            let mut told: Vec<String> = reasons.iter().take(MAX_REASONS).map(|reason| shown(reason)).collect();
            match reasons.len().saturating_sub(MAX_REASONS) {
                0 => {}
                more => told.push(format!("and {more} more")),
            }
            Some(Err(format!("not ready: {}", told.join("; "))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readyz(status: u16, body: &str) -> Option<Result<(), String>> {
        judge(Question::Ready, StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn only_what_a_sidecar_says_counts() {
        assert_eq!(readyz(200, r#"{"ready":true,"reasons":[]}"#), Some(Ok(())));
        assert_eq!(readyz(503, r#"{"ready":false,"reasons":["a","b\nc"]}"#), Some(Err("not ready: a; b\u{fffd}c".into())));
        for (status, body) in [
            (200, ""),
            (200, "ok\n"),
            (200, "{}"),
            (200, r#"{"ready":true}"#),
            (200, r#"{"ready":"true","reasons":[]}"#),
            (200, r#"{"ready":false,"reasons":["a"]}"#),
            (200, r#"{"ready":true,"reasons":["a"]}"#),
            (200, r#"{"ready":true,"ready":true,"reasons":[]}"#),
            (204, r#"{"ready":true,"reasons":[]}"#),
            (404, r#"{"ready":true,"reasons":[]}"#),
            (503, r#"{"ready":true,"reasons":[]}"#),
            (503, r#"{"ready":false,"reasons":[]}"#),
            (503, "<html>"),
        ] {
            assert_eq!(readyz(status, body), None, "{status} {body}");
        }
        let livez = |status: StatusCode, body: &str| judge(Question::Live, status, body.as_bytes());
        assert_eq!(livez(StatusCode::OK, "ok\n"), Some(Ok(())));
        for (status, body) in [(StatusCode::OK, "<html>"), (StatusCode::OK, ""), (StatusCode::NOT_FOUND, "ok\n")] {
            assert_eq!(livez(status, body), None, "{status} {body}");
        }
    }

    #[test]
    fn of_many_reasons_some_are_told() {
        let reasons: Vec<String> = (0..5000).map(|n| format!("reason {n}")).collect();
        let body = serde_json::json!({ "ready": false, "reasons": reasons }).to_string();
        let said = readyz(503, &body).unwrap().unwrap_err();
        assert!(said.starts_with("not ready: reason 0; reason 1; ") && said.ends_with("reason 9; and 4990 more"), "{said}");
    }
}
