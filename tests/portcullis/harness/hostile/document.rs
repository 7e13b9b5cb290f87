//! What a path serves as long as it behaves.

use std::time::Duration;

use bytes::Bytes;
use portcullis::policy_test::keys;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Behaviour;
use super::wire::Request;

/// A key set or a feed.
pub enum Document {
    /// A JWK set.
    Keys(Value),
    /// A feed of revocations; the cursor is the number of entries.
    Feed(watch::Sender<Vec<Value>>),
    /// Any JSON, whoever asks.
    Text(Bytes),
}

impl Document {
    /// The set of these keys of the tests.
    pub fn keys(names: &[&str]) -> Self {
        Self::Keys(keys::key_set(names).expect("keys"))
    }

    /// A feed that names these sessions.
    pub fn feed(sessions: &[&str]) -> Self {
        Self::Feed(watch::Sender::new(sessions.iter().map(|session| json!({ "type": "sid", "id": session })).collect()))
    }

    /// The whole of it.
    pub fn body(&self) -> Bytes {
        match self {
            Self::Keys(keys) => keys.to_string().into(),
            Self::Feed(entries) => feed(&entries.borrow(), None).into(),
            Self::Text(text) => text.clone(),
        }
    }

    /// Something with the right names and the wrong types.
    pub fn of_wrong_types(&self) -> &'static [u8] {
        match self {
            Self::Keys(_) => br#"{"keys":{"kty":"RSA"}}"#,
            Self::Feed(_) => br#"{"cursor":["1"],"full":"yes","entries":[{"type":"sid","id":7}]}"#,
            Self::Text(_) => b"null",
        }
    }

    /// Waits as long as a good feed holds a request, or until the path is told to behave in another way. Gives that.
    pub async fn hold(&self, request: &Request, behaviour: &watch::Sender<Behaviour>) -> Behaviour {
        let mut told = behaviour.subscribe();
        if let (Self::Feed(entries), Some(since)) = (self, request.number("since")) {
            let wait = Duration::from_secs(request.number("wait").unwrap_or_default());
            let mut entries = entries.subscribe();
            tokio::select! {
                _ = entries.wait_for(|entries| entries.len() as u64 > since) => {}
                _ = told.wait_for(|told| *told != Behaviour::Good) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        *told.borrow_and_update()
    }

    /// The body that is right for this request, and its tag; none if the client has it.
    pub fn answer(&self, request: &Request) -> Option<(Bytes, Option<String>)> {
        match self {
            Self::Keys(_) => Some((self.body(), None)),
            Self::Feed(entries) => Some((feed(&entries.borrow(), request.number("since")).into(), None)),
            Self::Text(text) => {
                let tag = format!("\"{}\"", text.len());
                (request.header("if-none-match") != Some(&*tag)).then(|| (text.clone(), Some(tag)))
            }
        }
    }
}

/// An answer of the feed to whoever has read up to there.
fn feed(entries: &[Value], since: Option<u64>) -> String {
    let since = since.and_then(|since| usize::try_from(since).ok()).filter(|since| *since <= entries.len());
    let new = entries.get(since.unwrap_or_default()..).unwrap_or_default();
    json!({ "cursor": entries.len().to_string(), "full": since.is_none(), "entries": new }).to_string()
}
