//! gRPC services: calls and streams, and refusals as a gRPC client reads them.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::walk::{DORA, dora, spoofed, walked};
use crate::harness::door::Door;
use crate::harness::grpc::frame;
use crate::harness::grpc_service::GrpcService;
use crate::harness::http::{Answer, Request};
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::upstream::Seen;
use crate::harness::wait::{self, PATIENCE};

const FILE: &str = "envoy/grpc.yaml";

const ROUTES: &str = "\
routes:
  - { path: /blog.v1.Posts/Get, tenant: { header: x-tenant }, methods: { POST: { permission: \"blog:posts.read\" } } }
  - { path: /blog.v1.Posts/Update, tenant: { header: x-tenant }, methods: { POST: { permission: \"blog:posts.update\" } } }
  - { path: /blog.v1.Posts/Watch, tenant: token, methods: { POST: { permission: \"blog:posts.read\" } } }
  - { path: /blog.v1.Posts/Chat, methods: { POST: { access: authenticated } } }
  - { path: /blog.v1.Posts/Sleep, methods: { POST: { access: authenticated } } }
  - { path: /blog.v1.Posts/Import, methods: { POST: { access: authenticated } } }
  - { path: /blog.v1.Elsewhere/Get, methods: { POST: { access: public } } }
  - { path: /chatbot.v1.Slots/List, methods: { POST: { access: authenticated } } }
  - { path: /grpc.health.v1.Health/Check, methods: { POST: { access: public } } }
";

/// gRPC's numbers for how a call ends.
const OK: &str = "0";
const DEADLINE_EXCEEDED: &str = "4";
const PERMISSION_DENIED: &str = "7";
const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";
const UNAVAILABLE: &str = "14";
const UNAUTHENTICATED: &str = "16";

/// A call with one empty message.
fn call(method: &str) -> Request {
    Request::new("POST", method).header("content-type", "application/grpc").header("te", "trailers").body(frame(0, b""))
}

/// How a call ended. Refusals have no body, so gRPC has it in the headers.
fn status(answer: &Answer) -> &str {
    let status = answer.trailers.get("grpc-status").or_else(|| answer.headers.get("grpc-status"));
    status.map_or("-", |status| status.to_str().expect("a number"))
}

/// What the service told of the call that reached it.
fn told(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body.get(5..).expect("a message")).expect("JSON")
}

/// A row: its name, the call, how it ends, and the reason in the access log; `-` where Envoy answers alone.
type Row = (&'static str, Request, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let token = dora();
    let get = |tenant: &str| call("/blog.v1.Posts/Get").token(&token).header("x-tenant", tenant);
    let expired = token::mint_second(json!({ "exp": token::now() - 60 }));
    let open = |path: &str| call(path).token(&token);
    vec![
        ("a call that may", get("acme"), OK, "allowed"),
        ("with forged metadata", spoofed(get("acme")), OK, "allowed"),
        ("at another service", open("/chatbot.v1.Slots/List"), OK, "allowed"),
        ("health", call("/grpc.health.v1.Health/Check"), OK, "public"),
        ("a whole stream of the client's", open("/blog.v1.Posts/Import").body(vec![0; 300_000]), OK, "allowed"),
        ("no token", call("/blog.v1.Posts/Get").header("x-tenant", "acme"), UNAUTHENTICATED, "credential_missing"),
        ("a stream without a token", call("/blog.v1.Posts/Watch"), UNAUTHENTICATED, "credential_missing"),
        ("an expired token", call("/blog.v1.Posts/Chat").token(&expired), UNAUTHENTICATED, "token_expired"),
        ("two tokens", get("acme").token(&token), UNAUTHENTICATED, "credential_repeated"),
        ("a right that is missing", open("/blog.v1.Posts/Update").header("x-tenant", "acme"), PERMISSION_DENIED, "permission_missing"),
        ("another tenant", get("globex"), PERMISSION_DENIED, "tenant_mismatch"),
        ("two tenants", get("acme").header("x-tenant", "globex"), PERMISSION_DENIED, "tenant_unbound"),
        ("no tenant", open("/blog.v1.Posts/Get"), PERMISSION_DENIED, "tenant_unbound"),
        ("a method that nobody lists", open("/blog.v1.Posts/Drop"), PERMISSION_DENIED, "route_not_found"),
        ("a service that nobody lists", open("/blog.v1.Admin/Get"), PERMISSION_DENIED, "route_not_found"),
        ("reflection", open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), PERMISSION_DENIED, "route_not_found"),
        ("another case", open("/blog.v1.posts/get").header("x-tenant", "acme"), PERMISSION_DENIED, "route_not_found"),
        ("dots", open("/blog.v1.Admin/../blog.v1.Posts/Update").header("x-tenant", "acme"), PERMISSION_DENIED, "permission_missing"),
        ("a semicolon", open("/blog.v1.Posts/Get;x"), INTERNAL, "path_not_canonical"),
        ("an escaped slash", open("/blog.v1.Posts%2fGet"), INTERNAL, "-"),
        ("permitted, and no service of this Envoy", call("/blog.v1.Elsewhere/Get"), UNIMPLEMENTED, "public"),
        ("an unknown host", get("acme").header("host", "evil.test"), UNIMPLEMENTED, "-"),
    ]
}

async fn walk(mesh: &Mesh, service: &GrpcService, rows: &[Row]) -> usize {
    for (name, request, expected, reason) in rows {
        let served = service.served();
        let answer = mesh.send(request).await;
        let entry = if answer.headers.contains_key("x-request-id") { mesh.envoy.log_entry(&answer).await } else { Value::Null };
        let got = (status(&answer), entry["reason"].as_str().unwrap_or("-"));
        assert_eq!(got, (*expected, *reason), "{name}: {answer:?}");
        assert_eq!(answer.headers.get("content-type").map(|kind| kind.as_bytes()), Some(&b"application/grpc"[..]), "{name}: {answer:?}");
        assert_eq!(service.served(), served + u64::from(*expected == OK), "{name}");
        if *reason == "allowed" && told(&answer)["headers"].is_array() {
            assert_eq!(Seen::told(&told(&answer)).identity(), DORA, "{name}");
        }
    }
    rows.len()
}

/// An open call: what is sent goes out at once, and what comes back is read piece by piece.
struct Stream {
    sender: Option<mpsc::UnboundedSender<Bytes>>,
    answer: hyper::Response<hyper::body::Incoming>,
}

impl Stream {
    async fn open(mesh: &Mesh, method: &str) -> Self {
        let tcp = TcpStream::connect(mesh.envoy.address).await.expect("a connection");
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let (sender, pieces) = mpsc::unbounded_channel::<Bytes>();
        let pieces = UnboundedReceiverStream::new(pieces).map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece)));
        let request = hyper::Request::post(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", dora()))
            .body(StreamBody::new(pieces))
            .expect("a request");
        // Envoy sends nothing on before the check; the service answers before the request ends.
        let answer = timeout(PATIENCE, client.send_request(request)).await.expect("an answer in time").expect("an answer");
        Self { sender: Some(sender), answer }
    }

    fn send(&self, text: &str) {
        self.sender.as_ref().expect("an open stream").send(frame(0, text.as_bytes())).expect("sent");
    }

    /// The next piece, or how the call ended; `None` where it was cut.
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        let frame = timeout(PATIENCE, self.answer.body_mut().frame()).await.expect("something in time")?.ok()?;
        Some(match frame.into_data() {
            Ok(data) => Ok(data),
            Err(frame) => {
                let status = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status"));
                Err(status.map_or("-".into(), |status| status.to_str().expect("a number").to_string()))
            }
        })
    }
}

/// Streams in both directions, and one that would outlive its bound. Gives how many rows that was.
async fn streams(mesh: &Mesh) -> usize {
    let mut chat = Stream::open(mesh, "/blog.v1.Posts/Chat").await;
    for text in ["hello", "how are you?"] {
        chat.send(text);
        assert_eq!(chat.next().await, Some(Ok(frame(0, text.as_bytes()))));
    }
    chat.sender = None;
    assert_eq!(chat.next().await, Some(Err(OK.into())));

    let mut watch = Stream::open(mesh, "/blog.v1.Posts/Watch").await;
    let mut messages = 0;
    let ended = loop {
        match watch.next().await {
            Some(Ok(_)) => messages += 1,
            ended => break ended,
        }
    };
    // It has had answers, and so cannot be told a status any more: it is cut, or it ends with one.
    assert!(ended.is_none() || ended == Some(Err(DEADLINE_EXCEEDED.into())), "{ended:?}");
    assert!(messages > 3, "{messages} messages before the stream's bound");

    // The client's own deadline is shorter than the route's.
    let sleep = mesh.send(&call("/blog.v1.Posts/Sleep").token(&dora()).header("grpc-timeout", "100m")).await;
    assert_eq!(status(&sleep), DEADLINE_EXCEEDED, "{sleep:?}");
    3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_services() {
    let service = GrpcService::start().await;
    let bound = "max_stream_duration: 600s";
    let builder = Mesh::builder()
        .file(FILE, Door::plain("localhost").http2())
        .opened_by(call("/grpc.health.v1.Health/Check"))
        .behind(service.address)
        .policy(|text| edit(&text, "routes:\n", ROUTES));
    let mut mesh = builder.envoy(move |text| edit(&text, bound, "max_stream_duration: 0.5s")).start().await;
    let health = call("/grpc.health.v1.Health/Check");
    wait::until_true("a call to pass", PATIENCE, async || status(&mesh.send(&health).await) == OK).await;

    let rows = rows();
    let mut count = walk(&mesh, &service, &rows).await;
    count += streams(&mesh).await;

    // What is no gRPC call does not get to the services; what is no HTTP/2 does not get in.
    let served = service.served();
    let browser = Request::new("POST", "/grpc.health.v1.Health/Check").header("content-type", "application/json").body("{}");
    let (answer, reason) = mesh.send_for_reason(&browser).await;
    assert_eq!((answer.status, reason.as_str()), (404, "public"));
    let old = Door::plain("localhost").try_send(mesh.envoy.address, &health).await;
    assert!(old.is_err(), "{old:?}");
    assert_eq!(service.served(), served);
    count += 2;

    mesh.sidecar.process.kill();
    for (name, request, _, reason) in rows.iter().filter(|(.., reason)| *reason != "-") {
        let answer = mesh.send(request).await;
        assert_eq!((answer.status, status(&answer)), (200, UNAVAILABLE), "{name} ({reason}), without a sidecar: {answer:?}");
        count += 1;
    }
    assert_eq!(service.served(), served, "something passed without a sidecar");
    walked(FILE, count);
}
