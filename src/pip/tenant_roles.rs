//! Keeps the roles fresh that tenants defined for themselves: `{ "tenants": { "acme": { "lead": ["blog:posts.read"] } } }`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::http_client::{Fetched, GetRequest};
use super::refresh::{Context, Failure, backoff, heeded, jitter};
use super::warm_start::{Kept, Kind, News, Standby};
use crate::config::{Source, TenantRoleFeed};
use crate::pdp::attribute::is_safe_value;
use crate::pdp::json::{self, Json};
use crate::pdp::permission::{PermissionSet, PermissionSyntax};
use crate::pdp::role::TenantRoles;
use crate::pdp::tenant::TenantId;

/// The longest document.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How deep it may be nested.
const MAX_DEPTH: usize = 8;
/// The longest time that a fetch may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Waits between failed fetches.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(4);

/// The last good roles.
struct Current {
    roles: Arc<TenantRoles>,
    document: Bytes,
    etag: Option<String>,
}

/// Fetches a source's roles, again and again.
pub async fn refresh(context: &Context, source: &Source, feed: &TenantRoleFeed) -> Infallible {
    let (mut current, mut standby) = kept(context, source, feed).await.unzip();
    let standby = standby.get_or_insert_default();
    let mut failures = 0;
    loop {
        let etag = current.as_ref().and_then(|current| current.etag.as_deref());
        let pause = match standby.during(fetch(context, feed, etag)).await {
            Ok((news, confirmed)) => {
                failures = 0;
                context.metrics.refreshed(&source.issuer, "tenant_roles", if news.is_some() { "ok" } else { "unchanged" });
                let document = |current: &Option<Current>| current.as_ref().map(|current| current.document.clone());
                let is_news = news.is_some() && document(&news) != document(&current);
                if let Some(news) = news {
                    tracing::debug!(issuer = %source.issuer, roles = news.roles.len(), "the tenants' roles were fetched");
                    current = Some(news);
                }
                if let Some(Current { roles, document, etag }) = &current {
                    context.live.publish_tenant_roles(source.id, Arc::clone(roles), confirmed, feed.source.max_stale);
                    let news = News { cursor: None, etag: etag.as_deref(), confirmed, bound: feed.source.max_stale, is_news };
                    context.warm_start.keep_document(Kind::TenantRoles, source.id, document, &news);
                }
                jitter(feed.source.refresh)
            }
            Err(failure) => {
                failures += 1;
                context.metrics.refreshed(&source.issuer, "tenant_roles", failure.label);
                tracing::warn!(issuer = %source.issuer, failures, error = %failure.message, "the tenants' roles could not be refreshed; the last ones stay within their bound");
                let asked = heeded(failure.retry_after, feed.source.max_stale);
                backoff(failures, FIRST_RETRY, LAST_RETRY.min(feed.source.refresh), asked)
            }
        };
        sleep(pause).await;
    }
}

/// What was kept of the roles, and what steps in with it.
async fn kept(context: &Context, source: &Source, feed: &TenantRoleFeed) -> Option<(Current, Standby)> {
    let (syntax, bound) = (Arc::clone(&feed.syntax), feed.source.max_stale);
    let parse = move |document: &[u8]| read(document, &syntax).map(Arc::new);
    let kept = context.warm_start.document(Kind::TenantRoles, source, bound, parse).await?;
    let (id, confirmed, good_for) = (source.id, kept.confirmed, kept.good_for(bound));
    let Kept { data: (roles, document), etag, .. } = &kept;
    let current = Current { roles: Arc::clone(roles), document: document.clone(), etag: etag.clone() };
    let roles = Arc::clone(roles);
    Some((
        current,
        kept.standby(Kind::TenantRoles, source, &context.live, move |live| live.publish_tenant_roles(id, roles, confirmed, good_for)),
    ))
}

/// The roles, if they are others than before, and when the source said so.
async fn fetch(context: &Context, feed: &TenantRoleFeed, etag: Option<&str>) -> Result<(Option<Current>, Instant), Failure> {
    let failed = |label, message| Failure { label, message, retry_after: None };
    let authorization = super::bearer(&context.disk, feed.source.token_file.as_deref()).await;
    let authorization = authorization.map_err(|message| failed("token_file", message))?;
    let request = GetRequest {
        url: &feed.source.url,
        if_none_match: etag,
        authorization: authorization.as_deref(),
        no_cache: false,
        accept: "application/json",
        deadline: DEADLINE,
        max_body_bytes: MAX_BYTES,
    };
    match context.client.get(request).await? {
        Fetched::NotModified { answered, .. } => Ok((None, answered)),
        Fetched::Body { bytes, etag, answered, .. } => {
            let (document, syntax) = (bytes.clone(), Arc::clone(&feed.syntax));
            // A long document takes a moment, which is nothing for a thread that answers checks.
            let read = spawn_blocking(move || read(&document, &syntax)).await.unwrap_or_else(|error| Err(error.to_string()));
            let roles = read.map_err(|message| failed("invalid", message))?;
            Ok((Some(Current { roles: Arc::new(roles), document: bytes, etag }), answered))
        }
    }
}

/// Reads a document. One wrong shape fails all of it; a permission that does not fit the syntax grants nothing.
fn read(bytes: &[u8], syntax: &PermissionSyntax) -> Result<TenantRoles, String> {
    let document = json::parse_object(bytes, MAX_DEPTH).map_err(|_| "it is not one well-formed JSON object")?;
    let Some(Json::Object(tenants)) = document.get("tenants") else { return Err("it has no object 'tenants'".into()) };
    let mut all = TenantRoles::default();
    for (tenant, roles) in tenants.iter() {
        let id = TenantId::parse(tenant).ok_or_else(|| format!("{tenant:?} is no tenant id"))?;
        let Json::Object(roles) = roles else { return Err(format!("the roles of {tenant:?} are no object")) };
        for (role, permissions) in roles.iter() {
            let Json::Array(permissions) = permissions else { return Err(format!("the role {role:?} of {tenant:?} is no list")) };
            if !is_safe_value(role) {
                return Err(format!("{role:?} of {tenant:?} is no name of a role"));
            }
            let mut set = PermissionSet::default();
            for permission in permissions {
                let Json::String(permission) = permission else {
                    return Err(format!("the role {role:?} of {tenant:?} has a permission that is no text"));
                };
                if let Ok(grant) = syntax.grant(permission, true) {
                    set.insert(grant);
                }
            }
            all.insert(id.clone(), role, set);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_whole_or_not_at_all() {
        let syntax = PermissionSyntax::parse("service:resource.action").unwrap();
        let roles = read(br#"{"tenants":{"acme":{"lead":["blog:posts.*","odd permission"],"none":[]},"globex":{}}}"#, &syntax).unwrap();
        let acme = TenantId::parse("acme").unwrap();
        assert!(roles.get(&acme, "lead").unwrap().allows(&syntax.required("blog:posts.read").unwrap()));
        assert!(roles.get(&acme, "none").unwrap().is_empty());
        assert!(roles.get(&TenantId::parse("globex").unwrap(), "lead").is_none());
        for document in [
            "",
            "[]",
            "{}",
            r#"{"tenants":[]}"#,
            r#"{"tenants":{"a,b":{}}}"#,
            r#"{"tenants":{"acme":[]}}"#,
            r#"{"tenants":{"acme":{"lead":"blog:posts.read"}}}"#,
            r#"{"tenants":{"acme":{"lead":[1]}}}"#,
            r#"{"tenants":{"acme":{"a b":[]}}}"#,
            r#"{"tenants":{"acme":{"lead":[],"lead":[]}}}"#,
        ] {
            assert!(read(document.as_bytes(), &syntax).is_err(), "{document}");
        }
    }
}
