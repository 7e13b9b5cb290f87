//! The real identity service, and what its users and its operator do with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::http::{self, Answer, Request};
use super::ports;
use super::process::{Process, programs};
use super::token::ISSUER;

const ADMIN_TOKEN: &str = "the-operator-of-the-tests-0123456789";

/// The service with its database, on a port that it keeps.
pub struct Identity {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Option<Process>,
}

/// A log-in.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    pub token: String,
}

impl Identity {
    /// Chooses a port and starts nothing yet.
    pub fn prepare(folder: &Path) -> Self {
        fs::write(folder.join("seed.json"), seed().to_string()).expect("the seed file");
        Self { address: (Ipv4Addr::LOCALHOST, ports::pick()).into(), folder: folder.into(), process: None }
    }

    /// Starts it, for the first time or again with the same database, and waits until it listens.
    pub async fn start(&mut self) {
        self.start_as(ISSUER).await;
    }

    /// The same as another issuer than the usual one.
    pub async fn start_as(&mut self, issuer: &str) {
        let (listen, database, seed) = (self.address.to_string(), self.folder.join("identity.db"), self.folder.join("seed.json"));
        let (database, seed) = (database.display().to_string(), seed.display().to_string());
        let arguments = ["serve", "--listen", &listen, "--database", &database, "--issuer", issuer, "--audience", "demo", "--seed", &seed];
        let environment = [("PORTCULLIS_IDENTITY_ADMIN_TOKEN", ADMIN_TOKEN)];
        let mut process = Process::start_with("identity", programs::identity(), arguments, &environment, &self.folder);
        process.log_line("listening").await;
        self.process = Some(process);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("the identity service runs").kill();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A log-in of one of the users of the seed. Their passwords are their names and `-password`.
    pub async fn log_in(&self, user: &str, tenant: Option<&str>) -> Session {
        self.try_log_in(user, tenant).await.unwrap_or_else(|answer| panic!("{user} cannot log in: {}", answer.text()))
    }

    /// The same where it may be refused.
    pub async fn try_log_in(&self, user: &str, tenant: Option<&str>) -> Result<Session, Answer> {
        let (email, password) = (format!("{user}@example.test"), format!("{user}-password"));
        let body = json!({ "email": email, "password": password, "tenant": tenant, "device": "test" });
        let answer = http::send(self.address, &Request::new("POST", "/v1/login").json(&body)).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let session = answer.json();
        let text = |name: &str| session[name].as_str().expect("a text").to_string();
        Ok(Session { id: text("session_id"), token: text("access_token") })
    }

    /// The operator's request for something.
    pub async fn operate(&self, request: Request) -> Answer {
        http::send(self.address, &request.token(ADMIN_TOKEN)).await
    }

    /// Puts something on the revocation list.
    pub async fn revoke(&self, entry: &Value) {
        let answer = self.operate(Request::new("POST", "/v1/admin/revocations").json(entry)).await;
        assert_eq!(answer.status, 201, "{entry} was not revoked: {}", answer.text());
    }

    /// Makes a new signing key.
    pub async fn rotate_key(&self) {
        let answer = self.operate(Request::new("POST", "/v1/admin/keys/rotate")).await;
        assert_eq!(answer.status, 200, "no rotation: {}", answer.text());
    }

    /// Takes a key away.
    pub async fn delete_key(&self, kid: &str) {
        let answer = self.operate(Request::new("DELETE", &format!("/v1/admin/keys/{kid}"))).await;
        assert_eq!(answer.status, 204, "the key stays: {}", answer.text());
    }
}

/// alice is admin of acme and viewer of globex, bob viewer and carol editor of acme, eve editor of globex; root runs the platform.
/// Only globex has paid for the chatbot.
fn seed() -> Value {
    let user = |id: &str, memberships: Value| json!({ "id": id, "email": format!("{id}@example.test"), "password": format!("{id}-password"), "memberships": memberships });
    let member = |tenant: &str, role: &str| json!({ "tenant": tenant, "realm": "tenant", "roles": [role], "permissions": [] });
    json!({
        "tenants": [
            { "id": "acme", "name": "Acme", "services": { "blog": { "enabled": true }, "chatbot": { "enabled": false } } },
            { "id": "globex", "name": "Globex", "services": { "blog": { "enabled": true }, "chatbot": { "enabled": true } } },
        ],
        "users": [
            user("alice", json!([member("acme", "admin"), member("globex", "viewer")])),
            user("bob", json!([member("acme", "viewer")])),
            user("carol", json!([member("acme", "editor")])),
            user("eve", json!([member("globex", "editor")])),
            user("root", json!([{ "tenant": null, "realm": "system", "roles": ["operator"], "permissions": [] }])),
        ],
    })
}

/// The members of a token's header or payload.
pub fn part(token: &str, index: usize) -> Value {
    use base64::Engine;
    let segment = token.split('.').nth(index).expect("a segment");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(segment).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
