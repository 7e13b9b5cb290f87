//! What verifiers need to know: keys and endpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::super::Identity;
use super::revocations::if_none_match;

/// How long the documents may be kept. A rotation needs no less: verifiers ask again when they meet a new `kid`.
const CACHE: &str = "max-age=60";

/// `GET /.well-known/jwks.json` (RFC 7517 section 5).
pub async fn jwks(State(identity): State<Arc<Identity>>, headers: HeaderMap) -> Response {
    let keys = identity.keys.current();
    let caching = [(header::ETAG, keys.etag().to_owned()), (header::CACHE_CONTROL, CACHE.to_owned())];
    if if_none_match(&headers).contain(keys.etag()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, "application/jwk-set+json")];
    (caching, content_type, keys.jwks()).into_response()
}

/// `GET /.well-known/openid-configuration` (RFC 8414 section 3.2; members that do not apply are left out).
pub async fn metadata(State(identity): State<Arc<Identity>>) -> ([(header::HeaderName, &'static str); 1], Json<Value>) {
    let issuer = &identity.settings.issuer;
    let document = json!({
        "issuer": issuer.as_str(),
        "jwks_uri": issuer.endpoint("/.well-known/jwks.json"),
        "token_endpoint": issuer.endpoint("/v1/token"),
        "grant_types_supported": ["refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "login_endpoint": issuer.endpoint("/v1/login"),
        "revocations_uri": issuer.endpoint("/v1/revocations"),
    });
    ([(header::CACHE_CONTROL, CACHE)], Json(document))
}
