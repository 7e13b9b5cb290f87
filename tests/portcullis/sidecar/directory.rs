//! A directory that answers, does not answer, is slow, and lies; and the roles of tenants, pulled.

use std::fs;

use serde_json::{Value, json};

use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::{Person, Stub};
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

const ROUTES: &str = "\
routes:
  - path: /people/{user}
    tenant: token
    targets: { user: { path: user } }
    methods: { GET: { manages: user } }
  - { path: /blog/feed, methods: { GET: { access: optional } } }
  - { path: /lead, tenant: token, methods: { GET: { permission: \"blog:posts.lead\" } } }
";

/// A sidecar that asks a directory, with this deadline.
async fn lab(deadline: &str) -> Lab {
    let folder = mesh::folder();
    let stub = Stub::start().await;
    let secret = folder.path().join("directory.token");
    fs::write(&secret, "of-the-sidecar\n").expect("a file");
    let directory = format!(
        "directory: {{ url: \"{}/v1/directory\", deadline: {deadline}, ttl: 1h, negative_ttl: 1h, token_file: {} }}\n",
        stub.url(),
        secret.display()
    );
    let policy = sidecar::policy(folder.path(), &stub.url());
    let (policy, _) = policy.split_once("routes:\n").expect("routes");
    let policy = format!("{policy}{directory}{ROUTES}");
    let policy = edit(&policy, "roles:\n", "roles:\n  boss: { permissions: [], manages: { roles: [viewer] } }\n");
    let policy = edit(
        &policy,
        "    typ: [at+jwt]\n",
        &format!("    typ: [at+jwt]\n    tenant_roles: {{ url: \"{}/v1/roles\", refresh: 1s, max_stale: 3s }}\n", stub.url()),
    );
    let sidecar = Sidecar::start(folder.path(), &policy).await;
    sidecar.ready().await;
    Lab { sidecar, stub, folder }
}

fn bearer(claims: Value) -> String {
    format!("Bearer {}", token::mint(claims))
}

async fn reason(lab: &Lab, path: &str, token: &str) -> String {
    lab.sidecar.ask(&Ask::get(path).header("authorization", token)).await.reason
}

fn viewer(user: &str, tenant: &str) -> Person {
    Person::Says(json!({ "user": user, "tenant": tenant, "roles": ["viewer"], "attributes": {} }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_asked_once_and_only_what_it_says_of_whom_it_was_asked_about_counts() {
    let lab = lab("10s").await;
    let boss = bearer(json!({ "roles": ["boss"] }));
    lab.stub.person("eve", viewer("eve", "acme"));
    for _ in 0..5 {
        assert_eq!(reason(&lab, "/people/eve", &boss).await, "allowed");
    }
    assert_eq!(lab.stub.people_asked(), 1, "an answer is remembered");
    for _ in 0..5 {
        assert_eq!(reason(&lab, "/people/nobody", &boss).await, "target_unknown");
    }
    assert_eq!(lab.stub.people_asked(), 2, "that there is nobody is remembered too");
    assert_eq!(lab.sidecar.dump().await["directory"]["remembered"], 2);

    // Whoever manages nobody makes no one ask.
    assert_eq!(reason(&lab, "/people/mallory", &bearer(json!({ "roles": ["viewer"] }))).await, "target_not_managed");
    assert_eq!(lab.stub.people_asked(), 2);

    lab.stub.person("liar", viewer("eve", "acme"));
    assert_eq!(reason(&lab, "/people/liar", &boss).await, "target_unavailable");
    lab.stub.person("stranger", viewer("stranger", "globex"));
    assert_eq!(reason(&lab, "/people/stranger", &boss).await, "target_unavailable");
    lab.stub.person("broken", Person::Breaks);
    let verdict = lab.sidecar.ask(&Ask::get("/people/broken").header("authorization", &boss)).await;
    assert_eq!((verdict.reason.as_str(), verdict.status), ("target_unavailable", Some(503)));
    // It is asked again as soon as it may be better.
    lab.stub.person("broken", viewer("broken", "acme"));
    wait::until_true("the directory to be asked again", PATIENCE, async || reason(&lab, "/people/broken", &boss).await == "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_for_one_answer_are_one_question() {
    let lab = lab("10s").await;
    let boss = bearer(json!({ "roles": ["boss"] }));
    lab.stub.person("eve", Person::Hangs);
    let client = lab.sidecar.connect().await;
    let ask = Ask::get("/people/eve").header("authorization", &boss).raw();
    let waiting = async { tokio::join!(client.check(&ask), client.check(&ask), client.check(&ask), client.check(&ask)) };
    let answering = async {
        wait::until_true("the question", PATIENCE, async || lab.stub.people_asked() > 0).await;
        // Others do not wait with them.
        assert_eq!(lab.sidecar.ask(&Ask::get("/blog/feed")).await.reason, "anonymous");
        lab.stub.person("eve", viewer("eve", "acme"));
    };
    let ((first, second, third, fourth), ()) = tokio::join!(waiting, answering);
    for response in [first, second, third, fourth] {
        assert_eq!(crate::harness::check::Verdict::of(&response).reason, "allowed");
    }
    assert_eq!(lab.stub.people_asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_the_deadline_and_the_answer_is_there_for_the_next_one() {
    let lab = lab("5ms").await;
    let boss = bearer(json!({ "roles": ["boss"] }));
    lab.stub.person("eve", Person::Hangs);
    assert_eq!(reason(&lab, "/people/eve", &boss).await, "target_unavailable");
    lab.stub.person("eve", viewer("eve", "acme"));
    wait::until_true("the answer", PATIENCE, async || reason(&lab, "/people/eve", &boss).await == "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_tenants_are_pulled_and_when_they_are_too_old_who_needs_them_is_told_to_wait() {
    let lab = lab("1s").await;
    let lead = bearer(json!({ "roles": ["lead"] }));
    assert_eq!(reason(&lab, "/lead", &lead).await, "permission_missing");
    lab.stub.tenant_roles(json!({ "acme": { "lead": ["blog:posts.lead"] } }));
    wait::until_true("the roles", PATIENCE, async || reason(&lab, "/lead", &lead).await == "allowed").await;
    assert_eq!(reason(&lab, "/lead", &bearer(json!({ "roles": ["lead"], "tenant_id": "globex" }))).await, "permission_missing");
    assert_eq!(lab.sidecar.dump().await["issuers"][0]["tenant_roles"]["roles"], 1);
    assert!(lab.sidecar.metrics().await.get("portcullis_tenant_roles_age_seconds{issuer=\"main\"}") < 60.0);
    lab.stub.tenant_roles(json!({ "acme": {} }));
    wait::until_true("the role to be gone", PATIENCE, async || reason(&lab, "/lead", &lead).await == "permission_missing").await;
    lab.stub.break_down(true);
    wait::until_true("the roles to be too old", PATIENCE, async || reason(&lab, "/lead", &lead).await == "roles_unavailable").await;
}
