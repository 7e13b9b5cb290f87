//! Status lists that the tests sign themselves, true ones and others, and the server that they are fetched from.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use portcullis::policy_test::keys;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::token::now;

/// The media type of a status list.
pub const TYPE: &str = "application/statuslist+jwt";

/// A running server. It ends when it is dropped.
pub struct StatusListServer {
    address: SocketAddr,
    lists: Lists,
    task: AbortHandle,
}

type Lists = Arc<Mutex<HashMap<String, Served>>>;

/// What is served under a name, and how often it was asked for.
#[derive(Clone, Default)]
struct Served {
    status: u16,
    content_type: &'static str,
    body: String,
    /// Counts the bodies, and so tells them apart.
    version: u64,
    fetched: u64,
}

impl StatusListServer {
    /// With no list at all.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let lists = Lists::default();
        let router = Router::new().route("/statuslists/{name}", get(serve)).with_state(Arc::clone(&lists));
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, lists, task }
    }

    /// What tokens have to call a list.
    pub fn uri(&self, name: &str) -> String {
        format!("http://{}/statuslists/{name}", self.address)
    }

    /// A true list with this name: 16 statuses of two bits, those at these places as given.
    pub fn list(&self, name: &str, statuses: &[(usize, u8)]) -> List {
        let mut bytes = [0; 4];
        for (index, status) in statuses {
            bytes[index / 4] |= status << (2 * (index % 4));
        }
        List {
            key: "rsa-a",
            header: json!({ "alg": "RS256", "kid": "rsa-a", "typ": "statuslist+jwt" }),
            claims: json!({ "sub": self.uri(name), "iat": now(), "status_list": { "bits": 2, "lst": lst(&bytes) } }),
        }
    }

    /// Serves a text from now on.
    pub fn publish(&self, name: &str, text: String) {
        self.answer(name, 200, TYPE, text);
    }

    /// Answers like this from now on.
    pub fn answer(&self, name: &str, status: u16, content_type: &'static str, body: String) {
        let mut lists = self.lists.lock().expect("the lists");
        let served = lists.entry(name.into()).or_default();
        *served = Served { status, content_type, body, version: served.version + 1, fetched: served.fetched };
    }

    /// How often a list was asked for.
    pub fn fetched(&self, name: &str) -> u64 {
        self.lists.lock().expect("the lists").get(name).map_or(0, |served| served.fetched)
    }
}

impl Drop for StatusListServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(lists): State<Lists>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let served = {
        let mut lists = lists.lock().expect("the lists");
        let Some(served) = lists.get_mut(&name) else { return StatusCode::NOT_FOUND.into_response() };
        served.fetched += 1;
        served.clone()
    };
    if headers.get(header::ACCEPT).is_none_or(|accept| accept != TYPE) {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let etag = format!("\"{}\"", served.version);
    if served.status == 200 && headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let status = StatusCode::from_u16(served.status).expect("a status");
    (status, [(header::CONTENT_TYPE, served.content_type.to_string()), (header::ETAG, etag)], served.body).into_response()
}

/// A list before it is signed.
#[derive(Clone)]
pub struct List {
    /// The name of the key that signs it.
    pub key: &'static str,
    pub header: Value,
    pub claims: Value,
}

impl List {
    /// Signed by this key, by its name.
    pub fn by(mut self, key: &'static str) -> Self {
        self.key = key;
        self.header["kid"] = key.into();
        self
    }

    /// With another claim.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// As it is served.
    pub fn sign(&self) -> String {
        let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", segment(&self.header), segment(&self.claims));
        let signature = keys::named(self.key).and_then(|key| key.sign("RS256", input.as_bytes())).expect("a signature");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The member `lst` for an array.
pub fn lst(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("an array");
    URL_SAFE_NO_PAD.encode(encoder.finish().expect("an array"))
}
