//! Status lists: followed while they are true and fresh, kept when what comes next is a lie, and no longer than that.

use serde_json::{Value, json};

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::metrics::Metrics;
use crate::harness::sidecar::edit;
use crate::harness::status_list::{StatusListServer, lst};
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

/// In every list of these tests: a place that is VALID throughout, and one that is INVALID.
const GOOD: usize = 3;
const BAD: usize = 9;

/// A lab whose issuer has these status lists, all of them with the same settings, besides its feed.
async fn lab(server: &StatusListServer, names: &[&str], settings: &str) -> Lab {
    Lab::with_policy(|text| with_lists(&text, server, names, settings)).await
}

fn with_lists(text: &str, server: &StatusListServer, names: &[&str], settings: &str) -> String {
    let lists: String = names.iter().map(|name| format!(", {{ status_list: \"{}\", {settings} }}", server.uri(name))).collect();
    let text = edit(text, "revocations: {", "revocations: [{");
    edit(&text, "when_stale: deny }", &format!("when_stale: deny }}{lists}]"))
}

fn bearer(server: &StatusListServer, name: &str, index: usize) -> String {
    format!("Bearer {}", token::mint(json!({ "status": { "status_list": { "idx": index, "uri": server.uri(name) } } })))
}

/// How often a fetch of a status list came to this.
fn fetches(metrics: &Metrics, result: &str) -> f64 {
    metrics.find(&format!("portcullis_refreshes_total{{feed=\"status_list\",issuer=\"main\",result=\"{result}\"}}")).unwrap_or_default()
}

async fn until_it_says(lab: &Lab, ask: &Ask<'_>, reason: &str) {
    wait::until_true(reason, PATIENCE, async || lab.sidecar.ask(ask).await.reason == reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_list_says_is_in_force_after_its_next_fetch() {
    let server = StatusListServer::start().await;
    server.publish("1", server.list("1", &[(BAD, 1)]).sign());
    let lab = lab(&server, &["1"], "refresh: 1s").await;
    let (good, bad, beyond) = (bearer(&server, "1", GOOD), bearer(&server, "1", BAD), bearer(&server, "1", 16));
    let [good, bad, beyond] = [&good, &bad, &beyond].map(|token| Ask::get(POST).header("authorization", token));
    assert!(lab.sidecar.ask(&good).await.passes);
    let refused = lab.sidecar.ask(&bad).await;
    assert_eq!((refused.status, &*refused.reason), (Some(401), "token_revoked"));
    let refused = lab.sidecar.ask(&beyond).await;
    assert_eq!((refused.status, &*refused.reason), (Some(401), "status_index_unknown"));
    let elsewhere = format!("Bearer {}", token::mint(json!({ "status": { "status_list": { "idx": 3, "uri": "http://127.0.0.1:1/" } } })));
    let refused = lab.sidecar.ask(&Ask::get(POST).header("authorization", &elsewhere)).await;
    assert_eq!((refused.status, &*refused.reason), (Some(401), "status_list_unknown"));

    // The list itself, signed by the key that signs access tokens, lets nobody in: not even with all that such a token needs.
    let list = server.list("1", &[]);
    let as_token = |list: String| format!("Bearer {list}");
    let claims = json!({
        "iss": token::ISSUER, "aud": ["demo"], "iat": token::now(), "exp": token::now() + 900, "jti": "t", "sid": "s",
        "tenant_id": "acme", "scope": "tenant", "roles": ["viewer"], "services": { "blog": { "enabled": true } },
    });
    let dressed = claims.as_object().unwrap().iter().fold(list.clone(), |list, (name, value)| list.with(name, value.clone()));
    let mut disguised = dressed.clone();
    disguised.header["typ"] = "at+jwt".into();
    for text in [list.sign(), dressed.sign(), disguised.sign()] {
        let token = as_token(text);
        let refused = lab.sidecar.ask(&Ask::get(POST).header("authorization", &token)).await;
        assert!(!refused.passes && refused.status == Some(401), "{refused:?}");
    }

    wait::until_true("an unchanged list", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "unchanged") > 0.0).await;
    server.publish("1", server.list("1", &[(GOOD, 2), (BAD, 1)]).sign());
    until_it_says(&lab, &good, "token_revoked").await;
    server.publish("1", server.list("1", &[(BAD, 1)]).sign());
    until_it_says(&lab, &good, "allowed").await;
    let metrics = lab.sidecar.metrics().await;
    assert!((metrics.get("portcullis_revocation_entries{issuer=\"main\",source=\"status_list\"}") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_lies_does_not_take_the_place_of_the_one_before() {
    const LIES: [(&str, &str); 14] = [
        ("unsigned", "signature"),
        ("forged", "signature"),
        ("other-key", "key_unknown"),
        ("other-sub", "claims"),
        ("other-issuer", "claims"),
        ("older", "rolled_back"),
        ("from-the-future", "not_yet_valid"),
        ("expired", "expired"),
        ("bomb", "too_large"),
        ("three-bits", "claims"),
        ("cut-off-array", "encoding"),
        ("cut-off-token", "malformed"),
        ("access-token", "type"),
        ("html", "content_type"),
    ];
    let server = StatusListServer::start().await;
    let names: Vec<&str> = LIES.iter().map(|(name, _)| *name).collect();
    for name in &names {
        server.publish(name, server.list(name, &[(BAD, 1)]).with("iat", json!(token::now() - 5)).sign());
    }
    let lab = lab(&server, &names, "refresh: 1s, max_staleness: 10m").await;

    let bomb = lst(&vec![0; 64 * 1024 * 1024]);
    let whole = lst(&[0; 64]);
    for name in &names {
        // But for the lie, everybody would be good now.
        let list = server.list(name, &[]);
        let signed = list.sign();
        let array = |bits: u8, lst: &str| list.clone().with("status_list", json!({ "bits": bits, "lst": lst })).sign();
        let text = match *name {
            "unsigned" => format!("{}.", signed.rsplit_once('.').unwrap().0),
            "forged" => {
                let mut forged = list.clone();
                forged.key = "rsa-b";
                forged.sign()
            }
            "other-key" => list.by("rsa-b").sign(),
            "other-sub" => list.with("sub", json!(server.uri("another"))).sign(),
            "other-issuer" => list.with("iss", json!(token::SECOND_ISSUER)).sign(),
            "older" => list.with("iat", json!(token::now() - 3600)).sign(),
            "from-the-future" => list.with("iat", json!(token::now() + 3600)).sign(),
            "expired" => list.with("exp", json!(token::now() - 1)).sign(),
            "bomb" => array(1, &bomb),
            "three-bits" => array(3, &whole),
            "cut-off-array" => array(1, &whole[..whole.len() - 4]),
            "cut-off-token" => signed[..signed.rfind('.').unwrap() - 10].to_string(),
            "access-token" => {
                let mut other = list.clone();
                other.header["typ"] = "at+jwt".into();
                other.sign()
            }
            "html" => {
                server.answer(name, 200, "text/html", signed);
                continue;
            }
            other => panic!("{other} is no lie"),
        };
        server.publish(name, text);
    }
    let before: Vec<u64> = names.iter().map(|name| server.fetched(name)).collect();
    wait::until_true("each lie to be told twice and so to have been heard once", PATIENCE, async || {
        names.iter().zip(&before).all(|(name, before)| server.fetched(name) >= before + 2)
    })
    .await;
    let metrics = lab.sidecar.metrics().await;
    for (name, label) in LIES {
        assert!(fetches(&metrics, label) >= 1.0, "{name} is counted as {label}");
        let (good, bad) = (bearer(&server, name, GOOD), bearer(&server, name, BAD));
        let verdict = lab.sidecar.ask(&Ask::get(POST).header("authorization", &good)).await;
        assert!(verdict.passes, "{name}: {verdict:?}");
        let verdict = lab.sidecar.ask(&Ask::get(POST).header("authorization", &bad)).await;
        assert_eq!(verdict.reason, "token_revoked", "{name}");
    }
    assert_eq!(lab.sidecar.get("/readyz").await.status, 200);
}

/// Serves a list and waits until it has been taken in: what was served to one fetch is known before the next.
async fn serve(server: &StatusListServer, text: String) {
    server.publish("1", text);
    let before = server.fetched("1");
    wait::until_true("the list to be fetched", PATIENCE, async || server.fetched("1") >= before + 2).await;
}

/// The issuer stops serving its list, whose `exp` is so many seconds away; when it is good no longer, good tokens are refused.
async fn closes(settings: &str, exp: i64) {
    let server = StatusListServer::start().await;
    let list = |exp: i64| server.list("1", &[]).with("exp", json!(token::now() + exp)).sign();
    server.publish("1", list(900));
    let lab = lab(&server, &["1"], settings).await;
    let good = bearer(&server, "1", GOOD);
    let good = Ask::get(POST).header("authorization", &good);
    assert!(lab.sidecar.ask(&good).await.passes);
    serve(&server, list(exp)).await;
    server.answer("1", 503, "text/plain", String::new());
    until_it_says(&lab, &good, "revocations_stale").await;
    assert_eq!(lab.sidecar.ask(&good).await.status, Some(503));
    assert_eq!(lab.sidecar.get("/readyz").await.status, 503);
    assert!(lab.sidecar.ask(&Ask::get("/blog/health")).await.passes, "a public route needs no list");
    let other = format!("Bearer {}", token::mint_second(json!({})));
    assert!(lab.sidecar.ask(&Ask::get(POST).header("authorization", &other)).await.passes, "another issuer's tokens need none either");
    server.publish("1", list(900));
    until_it_says(&lab, &good, "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_confirms_is_good_until_its_bound() {
    closes("refresh: 1s, max_staleness: 3s", 900).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_confirms_is_good_until_it_expires() {
    closes("refresh: 1s, max_staleness: 10m", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_expires_is_no_better_for_not_having_changed() {
    let server = StatusListServer::start().await;
    server.publish("1", server.list("1", &[]).sign());
    let lab = lab(&server, &["1"], "refresh: 1s, max_staleness: 10m").await;
    let good = bearer(&server, "1", GOOD);
    let good = Ask::get(POST).header("authorization", &good);
    serve(&server, server.list("1", &[]).with("exp", json!(token::now() + 5)).sign()).await;
    // The second fetch, and those after it, heard that nothing had changed.
    until_it_says(&lab, &good, "revocations_stale").await;
    assert!(fetches(&lab.sidecar.metrics().await, "unchanged") >= 1.0);
    wait::until_true("it to be called expired", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "expired") > 0.0).await;
    server.publish("1", server.list("1", &[]).with("exp", json!(token::now() + 900)).sign());
    until_it_says(&lab, &good, "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_asks_to_be_fetched_more_often_and_never_less() {
    let server = StatusListServer::start().await;
    let with_ttl = |name: &str, ttl: Value| server.list(name, &[]).with("ttl", ttl).sign();
    server.publish("often", with_ttl("often", json!(1)));
    server.publish("seldom", with_ttl("seldom", json!(86_400)));
    let policy = |text: String| {
        let text = with_lists(&text, &server, &["often", "seldom"], "refresh: 1h, max_staleness: 2h");
        edit(&text, &format!("\"{}\", refresh: 1h", server.uri("seldom")), &format!("\"{}\", refresh: 1s", server.uri("seldom")))
    };
    let _lab = Lab::with_policy(policy).await;
    for name in ["often", "seldom"] {
        wait::until_true(&format!("{name} to be fetched again"), PATIENCE, async || server.fetched(name) >= 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_ends_with_its_key_and_finds_a_new_one_by_itself() {
    let server = StatusListServer::start().await;
    let lab = Lab::unready(|text| with_lists(&text, &server, &["1"], "refresh: 1h, max_staleness: 2h")).await;
    lab.stub.publish_keys(&["rsa-a", "rsa-c"]);
    server.publish("1", server.list("1", &[]).by("rsa-c").sign());
    lab.sidecar.ready().await;
    let good = bearer(&server, "1", GOOD);
    let good = Ask::get(POST).header("authorization", &good);
    assert!(lab.sidecar.ask(&good).await.passes);

    // The key leaves, and a token with a key that nobody knows makes the sidecar look.
    lab.stub.publish_keys(&["rsa-a"]);
    let stranger = format!("Bearer {}", token::mint_with_key("rsa-b", json!({})));
    assert_eq!(lab.sidecar.ask(&Ask::get(POST).header("authorization", &stranger)).await.reason, "key_unknown");
    until_it_says(&lab, &good, "revocations_stale").await;
    wait::until_true("it to say so", PATIENCE, async || lab.sidecar.get("/readyz").await.status == 503).await;
    // At once, although the next fetch is an hour away.
    wait::until_true("the list to be fetched again", PATIENCE, async || server.fetched("1") >= 2).await;
    server.publish("1", server.list("1", &[]).sign());
    until_it_says(&lab, &good, "allowed").await;

    // A list by a key that is new makes the sidecar look as well.
    let other = StatusListServer::start().await;
    other.publish("1", other.list("1", &[]).by("rsa-c").sign());
    lab.sidecar.replace_config(&with_lists(&lab.policy(), &other, &["1"], "refresh: 1h, max_staleness: 2h"));
    wait::until_true("it to be refused", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "key_unknown") > 1.0).await;
    lab.stub.publish_keys(&["rsa-a", "rsa-c"]);
    let elsewhere = bearer(&other, "1", GOOD);
    until_it_says(&lab, &Ask::get(POST).header("authorization", &elsewhere), "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_list_is_not_believed_after_the_settings_changed_either() {
    let server = StatusListServer::start().await;
    let issued = token::now() - 60;
    server.publish("1", server.list("1", &[(BAD, 1)]).with("iat", json!(issued)).sign());
    let lab = lab(&server, &["1"], "refresh: 1h, max_staleness: 2h").await;
    let bad = bearer(&server, "1", BAD);
    let bad = Ask::get(POST).header("authorization", &bad);
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");

    server.publish("1", server.list("1", &[]).with("iat", json!(issued - 1)).sign());
    lab.sidecar.replace_config(&with_lists(&lab.policy(), &server, &["1"], "refresh: 1s, max_staleness: 2h"));
    wait::until_true("the old list", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "rolled_back") > 0.0).await;
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");
    // One of the same second is as new as can be told.
    server.publish("1", server.list("1", &[]).with("iat", json!(issued)).sign());
    until_it_says(&lab, &bad, "allowed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_kept_steps_in_after_a_restart_and_no_older_one_takes_its_place() {
    let server = StatusListServer::start().await;
    server.publish("1", server.list("1", &[(BAD, 1)]).sign());
    let kept = tempfile::tempdir().expect("a folder");
    let directory = kept.path().join("kept");
    let mut lab = Lab::with_policy(|text| {
        let text = with_lists(&text, &server, &["1"], "refresh: 1s, max_staleness: 10m");
        format!("warm_start: {{ directory: \"{}\" }}\n{text}", directory.display())
    })
    .await;
    wait::until_true("the list on disk", PATIENCE, async || is_kept(&directory)).await;
    server.answer("1", 503, "text/plain", String::new());
    lab.sidecar.restart().await;
    let (good, bad) = (bearer(&server, "1", GOOD), bearer(&server, "1", BAD));
    let [good, bad] = [&good, &bad].map(|token| Ask::get(POST).header("authorization", token));
    assert!(lab.sidecar.ask(&good).await.passes);
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");

    server.publish("1", server.list("1", &[]).with("iat", json!(token::now() - 3600)).sign());
    wait::until_true("the old list", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "rolled_back") > 0.0).await;
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_kept_and_has_expired_counts_as_one_that_is_too_old() {
    let server = StatusListServer::start().await;
    let issued = token::now();
    server.publish("1", server.list("1", &[(BAD, 1)]).with("iat", json!(issued)).with("exp", json!(issued + 4)).sign());
    let kept = tempfile::tempdir().expect("a folder");
    let directory = kept.path().join("kept");
    let mut lab = Lab::with_policy(|text| {
        let text = with_lists(&text, &server, &["1"], "refresh: 1s, max_staleness: 10m, when_stale: fail_open");
        format!("warm_start: {{ directory: \"{}\" }}\n{text}", directory.display())
    })
    .await;
    wait::until_true("the list on disk", PATIENCE, async || is_kept(&directory)).await;
    server.answer("1", 503, "text/plain", String::new());
    wait::until_true("the list to expire", PATIENCE, async || token::now() > issued + 4).await;
    lab.sidecar.restart().await;
    let (good, bad) = (bearer(&server, "1", GOOD), bearer(&server, "1", BAD));
    let [good, bad] = [&good, &bad].map(|token| Ask::get(POST).header("authorization", token));
    assert!(lab.sidecar.ask(&good).await.passes);
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");

    server.publish("1", server.list("1", &[]).with("iat", json!(issued - 1)).sign());
    wait::until_true("the old list", PATIENCE, async || fetches(&lab.sidecar.metrics().await, "rolled_back") > 0.0).await;
    assert_eq!(lab.sidecar.ask(&bad).await.reason, "token_revoked");
    server.publish("1", server.list("1", &[]).sign());
    until_it_says(&lab, &bad, "allowed").await;
}

/// Whether a status list was kept there.
fn is_kept(directory: &std::path::Path) -> bool {
    let names = std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("a file").file_name());
    names.filter_map(|name| name.into_string().ok()).any(|name| name.starts_with("status_list-") && name.ends_with(".head"))
}
