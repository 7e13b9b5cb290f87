//! Asks a directory who somebody is: `GET <url>/<user>?tenant=<tenant>`.
//!
//! One request is under way for each person at most, however many wait for it, and it goes on when they no longer do: the next one
//! finds the answer.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::disk::Disk;
use super::http_client::{FetchError, Fetched, GetRequest, HttpClient};
use super::refresh::Context;
use crate::config::{DirectorySource, Source};
use crate::pdp::attribute::{Attributes, is_safe_value};
use crate::pdp::json::{self, Json, Object};
use crate::pdp::target::{Target, TargetKey};
use crate::state::targets::TargetAnswer;

/// The longest answer.
const MAX_BYTES: usize = 64 * 1024;
/// The most roles and the most attributes of a person.
const MAX_ITEMS: usize = 1024;
/// How deep it may be nested.
const MAX_DEPTH: usize = 8;
/// How many requests to one directory are under way at most.
const MAX_REQUESTS: usize = 64;
/// For how long it is remembered that an answer did not come.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// How long a request may take at least, although nobody waits that long: the answer is for the next one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers the questions to a directory.
pub async fn serve(context: &Context, source: &Source, directory: &DirectorySource) -> Infallible {
    let targets = context.live.targets();
    let mut questions = targets.serve(source.id, directory.deadline);
    let mut waiting: HashMap<TargetKey, Vec<oneshot::Sender<()>>, RandomState> = HashMap::default();
    let mut requests: JoinSet<(TargetKey, Result<TargetAnswer, Failure>)> = JoinSet::new();
    loop {
        tokio::select! {
            question = questions.recv(), if requests.len() < MAX_REQUESTS => {
                // The sender is in the state, and is only replaced when this task ends.
                let Some(question) = question else { return pending().await };
                let waiters = waiting.entry(question.key.clone()).or_default();
                if waiters.is_empty() {
                    let (client, disk, directory) = (context.client.clone(), context.disk.clone(), directory.clone());
                    requests.spawn(async move {
                        let answer = ask(&client, &disk, &directory, &question.key).await;
                        (question.key, answer)
                    });
                }
                waiters.push(question.answered);
            }
            Some(Ok((key, result))) = requests.join_next() => {
                let (label, good_for, answer) = match result {
                    Ok(answer @ TargetAnswer::Known(_)) => ("ok", directory.ttl, answer),
                    Ok(answer) => ("unknown", directory.negative_ttl, answer),
                    Err(failure) => {
                        tracing::warn!(error = %failure.message, "the directory did not answer; what depends on it cannot be decided");
                        (failure.label, FAILED_FOR, TargetAnswer::Failed)
                    }
                };
                context.metrics.refreshed(&source.issuer, "target", label);
                let waiters = waiting.remove(&key);
                targets.publish(key, answer, good_for);
                for waiter in waiters.into_iter().flatten() {
                    // Who no longer waits need not be told.
                    let _ = waiter.send(());
                }
            }
        }
    }
}

/// Why there is no answer: a label for metrics, and a text for people.
struct Failure {
    label: &'static str,
    message: String,
}

async fn ask(client: &HttpClient, disk: &Disk, directory: &DirectorySource, key: &TargetKey) -> Result<TargetAnswer, Failure> {
    let failed = |label, message: String| Failure { label, message };
    let url = url_of(directory, key).ok_or_else(|| failed("invalid", "the user's id does not fit into a URL".into()))?;
    let authorization = super::bearer(disk, directory.token_file.as_deref()).await.map_err(|message| failed("token_file", message))?;
    let request = GetRequest {
        url: &url,
        if_none_match: None,
        authorization: authorization.as_deref(),
        no_cache: false,
        accept: "application/json",
        deadline: directory.deadline.max(PATIENCE),
        max_body_bytes: MAX_BYTES,
    };
    match client.get(request).await {
        Ok(Fetched::Body { bytes, .. }) => {
            let target = read(&bytes, key).map_err(|message| failed("invalid", message))?;
            Ok(TargetAnswer::Known(Arc::new(target)))
        }
        Ok(Fetched::NotModified { .. }) => Err(failed("invalid", "304 to a request without a condition".into())),
        Err(FetchError::Status { status: 404, .. }) => Ok(TargetAnswer::Unknown),
        Err(error) => Err(failed(error.label(), error.to_string())),
    }
}

fn url_of(directory: &DirectorySource, key: &TargetKey) -> Option<http::Uri> {
    let mut text = directory.url.to_string();
    if !text.ends_with('/') {
        text.push('/');
    }
    push_escaped(&mut text, &key.user);
    if let Some(tenant) = &key.tenant {
        text.push_str("?tenant=");
        push_escaped(&mut text, tenant.as_str());
    }
    text.parse().ok()
}

/// Everything but what never needs it (RFC 3986 section 2.3) is escaped, `.` too: a user called `..` is not a path.
fn push_escaped(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// Reads an answer. One about somebody else, or somewhere else, than was asked is none.
fn read(bytes: &[u8], key: &TargetKey) -> Result<Target, String> {
    let answer = json::parse_object(bytes, MAX_DEPTH).map_err(|_| "the answer is not one well-formed JSON object")?;
    if text(&answer, "user") != Some(&*key.user) {
        return Err("the answer is about another user than the question".into());
    }
    let same_tenant = match (&key.tenant, answer.get("tenant")) {
        (Some(asked), Some(Json::String(tenant))) => asked.as_str() == &**tenant,
        (None, None | Some(Json::Null)) => true,
        _ => false,
    };
    if !same_tenant {
        return Err("the answer is about another tenant than the question".into());
    }
    let roles = match answer.get("roles") {
        Some(Json::Array(roles)) if roles.len() <= MAX_ITEMS => roles.iter().map(|role| match role {
            Json::String(role) if is_safe_value(role) => Some(role.clone()),
            _ => None,
        }),
        _ => return Err("the answer has no list of 'roles'".into()),
    };
    let roles = roles.collect::<Option<Vec<_>>>().ok_or("one of the roles in the answer is no name")?;
    let mut attributes = Attributes::default();
    match answer.get("attributes") {
        None | Some(Json::Null) => {}
        Some(Json::Object(members)) if members.iter().count() <= MAX_ITEMS => {
            for (name, value) in members.iter() {
                match value {
                    Json::String(value) if is_safe_value(value) => attributes.push(name, value),
                    Json::Null => {}
                    _ => return Err("one of the 'attributes' in the answer is no short text".into()),
                }
            }
        }
        Some(_) => return Err("the 'attributes' in the answer are no object".into()),
    }
    Ok(Target { roles, attributes })
}

fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    match object.get(name) {
        Some(Json::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdp::tenant::TenantId;
    use crate::pdp::token::profile::SourceId;

    fn key(user: &str, tenant: Option<&str>) -> TargetKey {
        TargetKey { directory: SourceId(1), tenant: tenant.map(|tenant| TenantId::parse(tenant).unwrap()), user: user.into() }
    }

    #[test]
    fn an_answer_counts_only_for_who_was_asked_about() {
        let asked = key("bob", Some("acme"));
        let answer = br#"{"user":"bob","tenant":"acme","roles":["EMPLOYEE"],"attributes":{"department":"d1","branch":null}}"#;
        let target = read(answer, &asked).unwrap();
        assert_eq!(
            (&*target.roles, target.attributes.get("department"), target.attributes.get("branch")),
            (&["EMPLOYEE".into()][..], Some("d1"), None)
        );
        assert!(read(br#"{"user":"bob","tenant":null,"roles":[]}"#, &key("bob", None)).is_ok());
        for (answer, asked) in [
            (&br#"{"user":"eve","tenant":"acme","roles":[]}"#[..], key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"globex","roles":[]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":null,"roles":[]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","roles":[]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":[]}"#, key("bob", None)),
            (br#"{"user":"bob","tenant":"acme"}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":"EMPLOYEE"}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":[1]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":["a,b"]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":[],"attributes":[]}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","tenant":"acme","roles":[],"attributes":{"department":1}}"#, key("bob", Some("acme"))),
            (br#"{"user":"bob","user":"eve","tenant":"acme","roles":[]}"#, key("bob", Some("acme"))),
            (b"[]", key("bob", Some("acme"))),
            (b"", key("bob", Some("acme"))),
        ] {
            assert!(read(answer, &asked).is_err(), "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn a_user_is_one_escaped_segment() {
        let directory = DirectorySource {
            url: "http://id.example.com/v1/directory".parse().unwrap(),
            token_file: None,
            ttl: Duration::ZERO,
            negative_ttl: Duration::ZERO,
            deadline: Duration::ZERO,
        };
        for (user, tenant, url) in [
            ("bob", Some("acme"), "http://id.example.com/v1/directory/bob?tenant=acme"),
            ("..", None, "http://id.example.com/v1/directory/%2E%2E"),
            ("a/b?c#d&e", Some("x&y=z"), "http://id.example.com/v1/directory/a%2Fb%3Fc%23d%26e?tenant=x%26y%3Dz"),
        ] {
            assert_eq!(url_of(&directory, &key(user, tenant)).unwrap().to_string(), url);
        }
    }
}
