//! `GET /v1/revocations`: the feed on the wire.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::super::Identity;
use super::super::error::ApiError;
use super::super::revocation::{EntityTags, FeedQuestion, entity_tag};
use super::super::store::Cursor;
use super::input::Parameters;

#[derive(Deserialize)]
pub struct FeedQuery {
    since: Option<String>,
    /// Whole seconds; more than the longest wait is cut to it.
    wait: Option<u32>,
}

/// The feed, after `since` or whole, with up to `wait` seconds of patience.
pub async fn feed(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
    Parameters(query): Parameters<FeedQuery>,
) -> Result<Response, ApiError> {
    let holds = if_none_match(&headers);
    let page = identity
        .revocations(FeedQuestion {
            // What is no cursor of ours is no position: the client starts afresh.
            since: query.since.as_deref().and_then(Cursor::parse),
            holds: holds.clone(),
            wait: Duration::from_secs(query.wait.unwrap_or(0).into()),
        })
        .await?;
    let etag = entity_tag(&page.cursor);
    let not_modified = holds.contain(&etag);
    // Revalidated each time: a list that is a minute old is a minute in which a revoked token works.
    let caching = [(header::ETAG, etag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    Ok(if not_modified { (StatusCode::NOT_MODIFIED, caching).into_response() } else { (caching, Json(page)).into_response() })
}

/// The entity tags that the client already holds.
pub fn if_none_match(headers: &HeaderMap) -> EntityTags {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    EntityTags::parse(lines.filter_map(|line| line.to_str().ok()))
}
