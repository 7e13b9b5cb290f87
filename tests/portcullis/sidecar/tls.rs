//! An identity service behind a private authority, which may want to know who we are.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::POST;
use crate::harness::authority::Authority;
use crate::harness::check::Ask;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::tls_front::TlsFront;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

/// A stub with TLS in front, by an authority whose certificate is in the folder.
struct Lab {
    stub: Stub,
    front: TlsFront,
    authority: Authority,
    folder: TempDir,
}

impl Lab {
    async fn new(clients: Option<&Authority>) -> Self {
        let (folder, stub, authority) = (mesh::folder(), Stub::start().await, Authority::new());
        authority.write(&folder.path().join("ca.pem"));
        let front = TlsFront::start(stub.address, &authority.for_host("localhost"), clients).await;
        Self { stub, front, authority, folder }
    }

    /// A sidecar that reaches it with this TLS.
    async fn sidecar(&self, tls: &str) -> Sidecar {
        Sidecar::start(self.folder.path(), &policy(self.folder.path(), &self.front, tls)).await
    }
}

fn policy(folder: &Path, front: &TlsFront, tls: &str) -> String {
    let policy = sidecar::policy(folder, &front.url("localhost"));
    let policy = edit(&policy, "refresh: 1h, max_stale: 24h", "refresh: 1s, max_stale: 1h");
    edit(&policy, "    typ: [at+jwt]\n", &format!("    typ: [at+jwt]\n    tls: {}\n", tls.replace('@', &folder.display().to_string())))
}

/// How often refreshes of the keys came to this.
async fn refreshes(sidecar: &Sidecar, result: &str) -> f64 {
    let series = format!("portcullis_refreshes_total{{feed=\"keys\",issuer=\"main\",result=\"{result}\"}}");
    sidecar.metrics().await.find(&series).unwrap_or_default()
}

async fn refreshed(sidecar: &Sidecar, result: &str) {
    let before = refreshes(sidecar, result).await;
    let what = format!("a refresh that comes to '{result}'");
    wait::until_true(&what, PATIENCE, async || refreshes(sidecar, result).await > before).await;
}

fn good() -> String {
    format!("Bearer {}", token::mint(json!({})))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_revocations_come_from_a_server_of_a_private_authority_that_knows_us_by_our_certificate() {
    let clients = Authority::new();
    let lab = Lab::new(Some(&clients)).await;
    clients.for_host("sidecar").write(&lab.folder.path().join("tls.crt"), &lab.folder.path().join("tls.key"));
    let sidecar = lab.sidecar("{ ca: @/ca.pem, certificate: @/tls.crt, key: @/tls.key }").await;
    sidecar.ready().await;
    let (session, bearer) = ("stolen", format!("Bearer {}", token::mint(json!({ "sid": "stolen" }))));
    let ask = Ask::get(POST).header("authorization", &bearer);
    assert!(sidecar.ask(&ask).await.passes);
    lab.stub.revoke("sid", session);
    wait::until_true("the revocation", PATIENCE, async || sidecar.ask(&ask).await.reason == "token_revoked").await;
    // One for the held request, one for the rest.
    assert!(lab.front.handshakes() <= 2, "{} connections", lab.front.handshakes());
    drop(sidecar);

    // Without the certificate it is let in nowhere, and says so.
    let mut nobody = lab.sidecar("{ ca: @/ca.pem }").await;
    nobody.process.log_line("the keys could not be refreshed").await;
    let verdict = nobody.ask(&Ask::get(POST).header("authorization", &good())).await;
    assert_eq!((verdict.status, &*verdict.reason), (Some(503), "keys_unavailable"));
    assert_eq!(nobody.get("/readyz").await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_believed_of_a_server_of_another_authority_until_the_file_names_it() {
    let lab = Lab::new(None).await;
    let ca = lab.folder.path().join("ca.pem");
    Authority::new().write(&ca);
    let sidecar = lab.sidecar("{ ca: @/ca.pem }").await;
    refreshed(&sidecar, "tls").await;
    let bearer = good();
    let ask = Ask::get(POST).header("authorization", &bearer);
    assert_eq!(sidecar.ask(&ask).await.status, Some(503));
    assert_eq!(sidecar.get("/readyz").await.status, 503);
    assert_eq!((lab.stub.keys_fetched(), lab.front.handshakes()), (0, 0));

    fs::remove_file(&ca).expect("removed");
    refreshed(&sidecar, "tls_files").await;
    assert_eq!(sidecar.ask(&ask).await.status, Some(503));

    lab.authority.write(&ca);
    sidecar.ready().await;
    assert!(sidecar.ask(&ask).await.passes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_rotated_on_disk_is_followed_without_a_wrong_decision() {
    let lab = Lab::new(None).await;
    let sidecar = lab.sidecar("{ ca: @/ca.pem }").await;
    sidecar.ready().await;
    let (old, new) = (good(), format!("Bearer {}", token::mint_with_key("rsa-c", json!({}))));
    let (old, new) = (Ask::get(POST).header("authorization", &old), Ask::get(POST).header("authorization", &new));
    assert!(sidecar.ask(&old).await.passes);

    // The server is first, so for a while nothing can be fetched. What is known stays good.
    let next = Authority::new();
    lab.front.show(&next.for_host("localhost"), None);
    lab.stub.publish_keys(&["rsa-a", "rsa-c"]);
    refreshed(&sidecar, "tls").await;
    assert!(sidecar.ask(&old).await.passes);
    assert_eq!(sidecar.ask(&new).await.reason, "key_unknown");

    next.write(&lab.folder.path().join("ca.pem"));
    refreshed(&sidecar, "ok").await;
    wait::until_true("the new key", PATIENCE, async || sidecar.ask(&new).await.passes).await;
    assert!(sidecar.ask(&old).await.passes);
    // What the old one certifies is worth nothing any more.
    lab.front.show(&lab.authority.for_host("localhost"), None);
    refreshed(&sidecar, "tls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_its_own_authority() {
    let lab = Lab::new(None).await;
    let policy = sidecar::policy(lab.folder.path(), &lab.stub.url());
    let directory = |tls: &str| {
        let (url, ca) = (lab.front.url("localhost"), lab.folder.path().join("ca.pem"));
        let tls = tls.replace('@', &ca.display().to_string());
        format!("directory: {{ url: \"{url}/v1/directory\", deadline: 5s, {tls} token_file: {} }}\n", lab.folder.path().join("t").display())
    };
    fs::write(lab.folder.path().join("t"), "of-the-sidecar").expect("a file");
    let (head, _) = policy.split_once("routes:\n").expect("routes");
    let head = edit(head, "roles:\n", "roles:\n  boss: { permissions: [], manages: { roles: [viewer] } }\n");
    let routes =
        "routes: [{ path: '/people/{user}', tenant: token, targets: { user: { path: user } }, methods: { GET: { manages: user } } }]";
    let bearer = format!("Bearer {}", token::mint(json!({ "roles": ["boss"] })));
    let ask = Ask::get("/people/bob").header("authorization", &bearer);
    let bob = json!({ "user": "bob", "tenant": "acme", "roles": ["viewer"], "attributes": {} });
    lab.stub.person("bob", crate::harness::stub::Person::Says(bob));

    let sidecar = Sidecar::start(lab.folder.path(), &format!("{head}{}{routes}\n", directory(""))).await;
    sidecar.ready().await;
    assert_eq!(sidecar.ask(&ask).await.reason, "target_unavailable", "the public authorities do not know it");
    sidecar.replace_config(&format!("{head}{}{routes}\n", directory("tls: { ca: @ },")));
    sidecar.generation_is(2).await;
    wait::until_true("the directory to be believed", PATIENCE, async || sidecar.ask(&ask).await.reason == "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_refused() {
    let lab = Lab::new(None).await;
    lab.front.show(&lab.authority.for_host("elsewhere.test"), None);
    let sidecar = lab.sidecar("{ ca: @/ca.pem }").await;
    refreshed(&sidecar, "tls").await;
    assert_eq!(lab.front.handshakes(), 0);
    lab.front.show(&lab.authority.for_host("localhost"), None);
    sidecar.ready().await;
}
