use envoy_types::ext_authz::v3::pb::{CheckResponse, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

use super::*;
use crate::config::{AuditSettings, Configuration, SourceFeed, SourceFile, WhenUnwritable};
use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::key::KeySet;
use crate::policy_test::keys::key_set;
use crate::policy_test::token::TokenSpec;

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
"#;

fn configuration() -> Configuration {
    Configuration::compile(&[SourceFile { name: "test.yaml".into(), text: CONFIGURATION.into() }]).unwrap()
}

fn server() -> AuthorizationServer {
    serving(configuration().snapshot, None)
}

fn serving(snapshot: Snapshot, trail: Option<Trail>) -> AuthorizationServer {
    let metrics = Arc::new(Metrics::new().unwrap());
    let counters = metrics.route_counters(&snapshot.route_names);
    AuthorizationServer::new(Arc::new(Live::new(snapshot, counters)), metrics, Arc::new(Signer::generate().unwrap()), trail)
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
        header_map: Some(HeaderMap { headers: vec![HeaderValue { key: "a".into(), value: "b".into(), ..HeaderValue::default() }] }),
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

#[tokio::test]
async fn a_directory_that_does_not_answer_is_waited_for_once() {
    let Configuration { snapshot, sources, .. } = configuration();
    let server = serving(snapshot, None);
    let live = &server.inner.live;
    let keys = Arc::new(KeySet::parse(key_set(&["rsa-a"]).unwrap().to_string().as_bytes(), &[Algorithm::Rs256]).unwrap());
    let mut questions = None;
    for source in &sources {
        match &source.feed {
            SourceFeed::Keys(_) => live.publish_keys(source.id, Arc::clone(&keys), Instant::now(), Duration::from_secs(60)),
            SourceFeed::Directory(_) => questions = Some(live.targets().serve(source.id, Duration::from_millis(1))),
            SourceFeed::Revocations(_) | SourceFeed::StatusList(_) | SourceFeed::TenantRoles(_) => {}
        }
    }
    let now = clock::now().as_seconds();
    let claims = json!({ "iss": "https://id.example.com", "aud": "blog", "roles": ["boss"], "iat": now, "exp": now + 60 });
    let token = String::from_utf8(TokenSpec::with_claims(claims).mint().unwrap()).unwrap();
    let ask = message(http("/people/bob", &[("authorization", &format!("Bearer {token}"))]));

    let response = Check(server.clone()).call(tonic::Request::new(ask.into())).await.unwrap();
    let (_, status, reason) = told(response.into_inner());
    assert_eq!(status, Some(503));
    assert!(reason.contains("target_unavailable"), "{reason}");
    let mut questions = questions.unwrap();
    assert!(questions.try_recv().is_ok());
    assert!(questions.try_recv().is_err(), "it was asked, and waited for, more than once");
}

#[test]
fn what_has_to_be_recorded_first_and_cannot_be_is_refused() {
    let (code, status, reason) = answer(&message(http("/audited", &[])));
    assert_ne!(code, 0);
    assert_eq!(status, Some(503));
    assert!(reason.contains("audit_unavailable"), "{reason}");
}

#[test]
fn what_need_not_be_recorded_first_passes_and_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let settings = AuditSettings {
        file: file.clone(),
        when_unwritable: WhenUnwritable::Continue,
        key_file: None,
        max_queue: 4,
        deadline: Duration::from_secs(1),
        sync: false,
    };
    let trail = Trail::open(&settings, "r").unwrap();
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
