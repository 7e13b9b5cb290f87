use envoy_types::ext_authz::v3::pb::{CheckResponse, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap as RawHeaders, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use http::HeaderMap;
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::config::{AuditSettings, Configuration, SourceFeed, SourceFile, WhenUnwritable};
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::key::KeySet;
use crate::policy_test::keys::key_set;
use crate::policy_test::token::TokenSpec;
use crate::state::targets::Question;

const CONFIGURATION: &str = r#"
audit: { file: /nowhere/audit.jsonl }
issuers:
  manager: { issuer: https://id.example.com, audiences: [blog], jwks: { url: http://127.0.0.1:1/jwks }, claims: { roles: roles } }
permissions: { syntax: name }
roles: { boss: { permissions: [], manages: { roles: ["*"] } } }
directory: { url: http://127.0.0.1:1/people }
routes:
  - { path: /public, methods: { GET: { access: public } } }
  - { path: /private, methods: { GET: { access: authenticated } } }
  - { path: "/people/{user}", targets: { user: { path: user } }, methods: { GET: { manages: user } } }
  - { path: /audited, audit: true, methods: { GET: { access: public } } }
  - { path: "/audited/{user}", audit: true, targets: { user: { path: user } }, methods: { GET: { manages: user } } }
"#;

fn configuration() -> Configuration {
    Configuration::compile(&[SourceFile { name: "test.yaml".into(), text: CONFIGURATION.into() }]).unwrap()
}

fn server() -> AuthorizationServer {
    serving(configuration().snapshot, None)
}

fn bounds() -> Bounds {
    Bounds { checks: 4, message_bytes: 64 * 1024, request_timeout: Duration::from_secs(60) }
}

fn serving(snapshot: Snapshot, trail: Option<Trail>) -> AuthorizationServer {
    let metrics = Arc::new(Metrics::new().unwrap());
    let counters = metrics.route_counters(&snapshot.route_names);
    AuthorizationServer::new(Arc::new(Live::new(snapshot, counters)), metrics, Arc::new(Signer::generate().unwrap()), trail, bounds())
}

fn http(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        path: path.into(),
        host: "blog.example.com".into(),
        headers: headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect(),
        ..HttpRequest::default()
    }
}

fn message(http: HttpRequest) -> Vec<u8> {
    let request = Some(Request { http: Some(http), ..Request::default() });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }.encode_to_vec()
}

/// The status code that Envoy looks at, the HTTP status of a denied response, and the reason in the metadata.
fn answer(message: &[u8]) -> (i32, Option<i32>, String) {
    told(server().check(message))
}

fn told(response: Bytes) -> (i32, Option<i32>, String) {
    let response = CheckResponse::decode(response).unwrap();
    let reason = format!("{:?}", response.dynamic_metadata.unwrap().fields["reason"].kind);
    let status = match response.http_response.unwrap() {
        HttpResponse::DeniedResponse(denied) => Some(denied.status.unwrap().code),
        HttpResponse::OkResponse(_) => None,
        HttpResponse::ErrorResponse(_) => panic!("an error response leaves the choice to Envoy"),
    };
    (response.status.unwrap().code, status, reason)
}

/// What a call is answered whose message comes whole.
async fn called(call: Call, message: &[u8]) -> (i32, Option<i32>, String) {
    told(message::unframed(&call.answer(Full::new(in_frame(message))).await))
}

fn in_frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

/// Panics where a message asks for it.
pub(super) fn stumble(place: &str, message: &[u8]) {
    let asked = format!("panic-at-{place}");
    assert!(!message.windows(asked.len()).any(|window| window == asked.as_bytes()), "as the message asked");
}

#[test]
fn a_permit_has_code_zero_and_takes_away_what_a_client_could_have_forged() {
    let response =
        CheckResponse::decode(server().check(&message(http("/public", &[("x-user-id", "root"), ("x_tenant_id", "acme")])))).unwrap();
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("not passed") };
    assert!(ok.headers.is_empty());
    for name in ["x-user-id", "x-tenant-id", "x_tenant_id", "x-original-url", "x-http-method-override"] {
        assert_eq!(ok.headers_to_remove.iter().filter(|removed| *removed == name).count(), 1, "{name}");
    }
}

#[test]
fn a_refusal_has_another_code_and_a_denied_response() {
    let (code, status, reason) = answer(&message(http("/private", &[])));
    assert_ne!(code, 0);
    assert_eq!(status, Some(401));
    assert!(reason.contains("credential_missing"), "{reason}");
}

#[test]
fn what_is_no_http_request_is_refused() {
    let both = HttpRequest {
        header_map: Some(RawHeaders { headers: vec![HeaderValue { key: "a".into(), value: "b".into(), ..HeaderValue::default() }] }),
        ..http("/public", &[("a", "b")])
    };
    let without_http = CheckRequest { attributes: Some(AttributeContext::default()) }.encode_to_vec();
    for garbage in [vec![], vec![0xff; 64], without_http, message(HttpRequest::default()), message(both)] {
        let (code, status, reason) = answer(&garbage);
        assert_ne!(code, 0);
        assert_eq!(status, Some(400));
        assert!(reason.contains("request_malformed"), "{reason}");
    }
}

/// A server whose directory lets wait this long and never answers, and what it is asked.
fn with_directory(deadline: Duration) -> (AuthorizationServer, Receiver<Question>) {
    with_directory_and_trail(deadline, None)
}

fn with_directory_and_trail(deadline: Duration, trail: Option<Trail>) -> (AuthorizationServer, Receiver<Question>) {
    let Configuration { snapshot, sources, .. } = configuration();
    let server = serving(snapshot, trail);
    let live = &server.inner.live;
    let keys = Arc::new(KeySet::parse(key_set(&["rsa-a"]).unwrap().to_string().as_bytes(), &[Algorithm::Rs256]).unwrap());
    let mut questions = None;
    for source in &sources {
        match &source.feed {
            SourceFeed::Keys(_) => live.publish_keys(source.id, Arc::clone(&keys), Instant::now(), Duration::from_secs(60)),
            SourceFeed::Directory(_) => questions = Some(live.targets().serve(source.id, deadline)),
            SourceFeed::Revocations(_) | SourceFeed::StatusList(_) | SourceFeed::TenantRoles(_) => {}
        }
    }
    (server, questions.unwrap())
}

/// A request that the directory has to be asked for.
fn about_bob(headers: &[(&str, &str)]) -> Vec<u8> {
    from_boss("/people/bob", headers)
}

fn from_boss(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let now = clock::now().as_seconds();
    let claims = json!({ "iss": "https://id.example.com", "aud": "blog", "roles": ["boss"], "iat": now, "exp": now + 60 });
    let token = format!("Bearer {}", String::from_utf8(TokenSpec::with_claims(claims).mint().unwrap()).unwrap());
    message(http(path, &[headers, &[("authorization", &token)]].concat()))
}

#[tokio::test]
async fn a_directory_that_does_not_answer_is_waited_for_once() {
    let (server, mut questions) = with_directory(Duration::from_millis(1));
    let ask = about_bob(&[]);
    let (_, status, reason) = called(server.begin(&HeaderMap::new()), &ask).await;
    assert_eq!(status, Some(503));
    assert!(reason.contains("target_unavailable"), "{reason}");
    assert!(questions.try_recv().is_ok());
    assert!(questions.try_recv().is_err(), "it was asked, and waited for, more than once");
}

fn with_timeout(timeout: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-timeout"), http::HeaderValue::from_static(timeout))])
}

/// How often a reason was given.
fn counted(server: &AuthorizationServer, reason: Reason) -> usize {
    let metrics = String::from_utf8(server.inner.metrics.encode().unwrap()).unwrap();
    let label = format!("reason=\"{}\"}} ", reason.code());
    metrics.lines().find_map(|line| line.split_once(&label)).unwrap().1.parse().unwrap()
}

/// A body that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

async fn told_later(answer: impl Future<Output = Bytes>) -> String {
    told(message::unframed(&answer.await)).2
}

#[tokio::test]
async fn what_cannot_be_answered_in_time_is_refused_before_the_caller_gives_up() {
    let (server, mut questions) = with_directory(Duration::from_secs(60));
    let public = message(http("/public", &[]));
    let (_, status, reason) = called(server.begin(&with_timeout("0m")), &public).await;
    assert_eq!(status, Some(503));
    assert!(reason.contains("deadline_exceeded"), "{reason}");
    assert!(called(server.begin(&with_timeout("10S")), &public).await.2.contains("public"));
    assert!(called(server.begin(&with_timeout("10 S")), &public).await.2.contains("request_malformed"));

    let began = Instant::now();
    let (_, status, reason) = called(server.begin(&with_timeout("300m")), &about_bob(&[])).await;
    assert_eq!(status, Some(503));
    assert!(reason.contains("deadline_exceeded"), "{reason}");
    assert!(questions.try_recv().is_ok(), "there was time to ask");
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());

    assert!(told_later(server.begin(&with_timeout("300m")).answer(Never)).await.contains("deadline_exceeded"));
    assert_eq!(counted(&server, Reason::DeadlineExceeded), 3);
    assert_eq!(server.inner.metrics.checks_in_flight.get(), 0);
    assert_eq!(server.inner.metrics.checks_waiting.get(), 0);
}

#[tokio::test]
async fn more_checks_than_there_are_places_for_are_refused_at_once() {
    let server = server();
    let public = message(http("/public", &[]));
    let places: Vec<Call> = (0..bounds().checks).map(|_| server.begin(&HeaderMap::new())).collect();
    let mut frames = Vec::new();
    for _ in 0..3 {
        let answer = server.begin(&HeaderMap::new()).answer(Full::new(in_frame(&public))).await;
        let (code, status, reason) = told(message::unframed(&answer));
        assert_ne!(code, 0);
        assert_eq!(status, Some(503));
        assert!(reason.contains("overloaded"), "{reason}");
        frames.push(answer);
    }
    assert_eq!(frames[0].as_ptr(), frames[2].as_ptr(), "the answer is not made anew");
    assert_eq!(counted(&server, Reason::Overloaded), 3);
    drop(places);
    assert!(called(server.begin(&HeaderMap::new()), &public).await.2.contains("public"), "there is place again");
}

#[tokio::test]
async fn those_who_wait_leave_place_for_those_who_need_not() {
    let (server, _questions) = with_directory(Duration::from_secs(60));
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(server.begin(&HeaderMap::new()).answer(Never))).collect();
    let (first, second) = waiting.split_at_mut(1);
    tokio::select! {
        _ = &mut first[0] => panic!("there is no message"),
        _ = &mut second[0] => panic!("there is no message"),
        () = async { while server.inner.metrics.checks_waiting.get() < 2 { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
    }
    assert!(told_later(server.begin(&HeaderMap::new()).answer(Never)).await.contains("overloaded"));
    assert!(called(server.begin(&HeaderMap::new()), &about_bob(&[])).await.2.contains("overloaded"));
    assert!(called(server.begin(&HeaderMap::new()), &message(http("/public", &[]))).await.2.contains("public"));
}

/// Looks at a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_check_whose_caller_goes_away_is_recorded() {
    let (server, _questions) = with_directory(Duration::from_secs(60));
    let mut waiting = Box::pin(server.begin(&HeaderMap::new()).answer(Full::new(in_frame(&about_bob(&[])))));
    assert!(futures_poll(&mut waiting).await.is_none());
    drop(waiting);
    assert!(server.is_idle());
    assert_eq!(counted(&server, Reason::Cancelled), 1);
    let mut unfinished = Box::pin(server.begin(&HeaderMap::new()).answer(Never));
    assert!(futures_poll(&mut unfinished).await.is_none());
    drop(unfinished);
    assert_eq!(counted(&server, Reason::Cancelled), 2);
    assert_eq!((server.inner.metrics.checks_in_flight.get(), server.inner.metrics.checks_waiting.get()), (0, 0));
}

#[tokio::test]
async fn a_panic_refuses_the_request_that_it_is_in_and_no_other() {
    let (server, _questions) = with_directory(Duration::from_millis(1));
    let public = |place: &str| message(http("/public", &[("x", place)]));
    for message in [public("panic-at-decide"), public("panic-at-answer"), about_bob(&[("x", "panic-at-wait")])] {
        let (code, status, reason) = called(server.begin(&HeaderMap::new()), &message).await;
        assert_ne!(code, 0);
        assert_eq!(status, Some(503));
        assert!(reason.contains("internal_error"), "{reason}");
        assert!(called(server.begin(&HeaderMap::new()), &public("")).await.2.contains("public"));
    }
    assert_eq!(counted(&server, Reason::InternalError), 3);
    assert_eq!((server.inner.metrics.checks_in_flight.get(), server.inner.metrics.checks_waiting.get()), (0, 0));
}

#[test]
fn what_has_to_be_recorded_first_and_cannot_be_is_refused() {
    let (code, status, reason) = answer(&message(http("/audited", &[])));
    assert_ne!(code, 0);
    assert_eq!(status, Some(503));
    assert!(reason.contains("audit_unavailable"), "{reason}");
}

/// A new trail in this file.
fn trail(file: &std::path::Path, when_unwritable: WhenUnwritable) -> Trail {
    let (file, deadline) = (file.to_path_buf(), Duration::from_secs(1));
    Trail::open(&AuditSettings { file, when_unwritable, key_file: None, max_queue: 4, deadline, sync: false }, "r").unwrap()
}

#[tokio::test]
async fn a_check_that_panics_while_it_waits_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    for (number, when_unwritable) in [WhenUnwritable::Continue, WhenUnwritable::Deny].into_iter().enumerate() {
        let file = folder.path().join(format!("{number}.jsonl"));
        let trail = trail(&file, when_unwritable);
        let (server, _questions) = with_directory_and_trail(Duration::from_millis(1), Some(trail.clone()));
        let (_, status, reason) = called(server.begin(&HeaderMap::new()), &from_boss("/audited/bob", &[("x", "panic-at-wait")])).await;
        assert_eq!(status, Some(503));
        assert!(reason.contains("internal_error"), "{reason}");
        assert_eq!((counted(&server, Reason::InternalError), counted(&server, Reason::Cancelled)), (1, 0));
        trail.close().await;
        let text = std::fs::read_to_string(file).unwrap();
        let records: Vec<_> = text.lines().filter(|line| line.contains("/audited/{user}")).collect();
        assert!(matches!(*records, [record] if record.contains("\"reason\":\"") && record.contains("503")), "{text}");
    }
}

#[test]
fn what_need_not_be_recorded_first_passes_and_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let trail = trail(&file, WhenUnwritable::Continue);
    let response =
        CheckResponse::decode(serving(configuration().snapshot, Some(trail.clone())).check(&message(http("/audited", &[])))).unwrap();
    assert_eq!(response.status.unwrap().code, 0);
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(trail.close());
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.lines().nth(1).unwrap().contains(r#""what":{"method":"GET","route":"/audited"}"#), "{text}");
}

proptest! {
    #[test]
    fn no_bytes_panic_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert_ne!(answer(&bytes).0, 0);
    }

    #[test]
    fn a_damaged_request_for_something_private_never_passes(at in 0usize..200, byte in any::<u8>()) {
        let mut bytes = message(http("/private", &[("authorization", "Bearer a.b.c")]));
        let at = at % bytes.len();
        bytes[at] = byte;
        // The damage may happen to name the public route, which is then rightly public.
        prop_assume!(!bytes.windows(7).any(|window| window == b"/public"));
        prop_assert_ne!(answer(&bytes).0, 0);
    }
}
