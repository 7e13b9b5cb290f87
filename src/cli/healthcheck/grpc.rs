//! Asking the standard gRPC health service (`grpc.health.v1.Health`), over the Unix socket on which checks are answered.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_service::Service;

use super::{Question, shown};
use crate::ext_authz::SERVICE;
use crate::pip::http_client::root_message;

/// The longest headers of an answer, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;
/// The longest answer, in bytes: it is a number.
const MAX_ANSWER: usize = 1024;

pub(super) async fn ask(path: &Path, question: Question) -> Result<(), String> {
    let shown_path = path.display();
    let stream = UnixStream::connect(path).await.map_err(|error| not_connected(path, &error))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreadable(path, &error))?;
    // Why it ends is told to whoever waits for the answer.
    tokio::spawn(connection);
    let mut client = HealthClient::with_origin(Channel(sender), Uri::from_static("http://localhost")).max_decoding_message_size(MAX_ANSWER);
    let service = match question {
        Question::Ready => SERVICE,
        Question::Live => "",
    };
    match client.check(HealthCheckRequest { service: service.into() }).await {
        Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => Ok(()),
        Ok(_) => Err(match question {
            Question::Ready => "not ready: /readyz on the admin listener says why".into(),
            Question::Live => "not serving any more".into(),
        }),
        // It begins to tell a moment after it listens.
        Err(status) if status.code() == Code::NotFound => {
            Err(format!("what listens on {shown_path} knows of no service '{service}' (yet)"))
        }
        Err(status) => Err(match status.source() {
            Some(error) => unreadable(path, error),
            None => {
                let (code, message) = (status.code(), shown(status.message()));
                format!("what listens on {shown_path} does not answer as a sidecar does: {code} ({message})")
            }
        }),
    }
}

fn unreadable(path: &Path, error: &(dyn Error + 'static)) -> String {
    format!("what listens on {} gives no answer that can be read: {}", path.display(), shown(&root_message(error)))
}

fn not_connected(path: &Path, error: &io::Error) -> String {
    let shown_path = path.display();
    let is_socket = || std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match error.kind() {
        ErrorKind::NotFound => format!("there is no {shown_path}: is the sidecar running, and is this among its 'listen.grpc'?"),
        ErrorKind::ConnectionRefused if is_socket() => format!("nothing listens on {shown_path}: is the sidecar running?"),
        ErrorKind::ConnectionRefused => format!("{shown_path} is no socket"),
        ErrorKind::PermissionDenied => {
            format!("cannot connect to {shown_path}: {error}; its owner and group may ('run --socket-mode' says who else)")
        }
        // On a Unix socket nobody waits for a place among those who wait.
        ErrorKind::WouldBlock => format!("what listens on {shown_path} does not take connections any more"),
        _ => format!("cannot connect to {shown_path}: {error}"),
    }
}

/// One connection, for the client that is generated for the service.
struct Channel(http2::SendRequest<tonic::body::Body>);

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
