use envoy_types::ext_authz::v3::pb::{CheckResponse, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use proptest::prelude::*;

use super::*;
use crate::config::{Configuration, SourceFile};

const CONFIGURATION: &str = r#"
issuers:
  manager: { issuer: https://id.example.com, audiences: [blog], jwks: { url: http://127.0.0.1:1/jwks } }
routes:
  - { path: /public, methods: { GET: { access: public } } }
  - { path: /private, methods: { GET: { access: authenticated } } }
"#;

fn server() -> AuthorizationServer {
    let file = SourceFile { name: "test.yaml".into(), text: CONFIGURATION.into() };
    let snapshot = Configuration::compile(&[file]).unwrap().snapshot;
    let metrics = Arc::new(Metrics::new().unwrap());
    let counters = metrics.route_counters(&snapshot.route_names);
    AuthorizationServer::new(Arc::new(Live::new(snapshot, counters)), metrics, Arc::new(Signer::generate().unwrap()))
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
    let response = CheckResponse::decode(server().check(message)).unwrap();
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
