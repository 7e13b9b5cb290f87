//! The certificate: renewed under load, broken, not to be had, expired.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::task::JoinSet;

use super::{pod, response, review};
use crate::harness::authority::Identity;
use crate::harness::process::{command, programs};
use crate::harness::wait::{self, PATIENCE};
use crate::harness::webhook::{Https, NAME, Webhook};

/// Puts something into the folder of a Secret.
type Write<'w> = Box<dyn Fn(&Path) + 'w>;

/// How often the certificate is renewed under load.
const RENEWALS: usize = 5;
/// Who asks meanwhile: half of them with a connection for each request, half of them with one for all.
const CLIENTS: usize = 4;

async fn is_shown(webhook: &Webhook, identity: &Identity) {
    wait::until_true("the new certificate to be shown", PATIENCE, async || webhook.connect("h2").await.shown == identity.certificate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_up_under_load_without_a_failed_review() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
        let (address, root) = (webhook.address, webhook.authority.certificate.clone());
        clients.spawn(async move {
            let body = review("u", &pod()).to_string();
            let protocol = if client % 2 == 0 { "h2" } else { "http/1.1" };
            let open = async || Https::open(address, &root, NAME, &[protocol]).await.expect("a connection");
            let mut connection = open().await;
            while !stop.load(Ordering::Relaxed) {
                if client < CLIENTS / 2 {
                    connection = open().await;
                }
                let answer = connection.post("/inject", body.clone()).await.expect("an answer");
                assert_eq!(response(&answer, "u")["allowed"], true);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let before = webhook.connect("h2").await;
    for _ in 0..RENEWALS {
        let renewed = webhook.authority.for_host(NAME);
        assert_ne!(before.shown, renewed.certificate);
        webhook.secret.renew(&renewed);
        is_shown(&webhook, &renewed).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no review fails");
    }
    let asked = asked.load(Ordering::Relaxed);
    println!("{RENEWALS} renewals, {asked} reviews meanwhile, none failed");
    assert!(asked > 50, "{asked} reviews");
    let metrics = webhook.metrics().await;
    assert_eq!(metrics.get("portcullis_webhook_certificate_loads_total{result=\"success\"}"), 1.0 + RENEWALS as f64);
    assert_eq!(metrics.get("portcullis_webhook_certificate_loads_total{result=\"failure\"}"), 0.0);
}

#[tokio::test]
async fn a_pair_that_is_no_good_keeps_the_last_good_one_and_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut webhook = Webhook::start(folder.path(), &[]).await;
    let first = webhook.connect("h2").await.shown.clone();
    let (one, other) = (webhook.authority.for_host(NAME), webhook.authority.for_host(NAME));
    let mut failures = 0.0;
    let bad: [(&str, Write<'_>); 4] = [
        (
            "the key does not belong to the certificate",
            Box::new(|folder| {
                one.write(&folder.join("tls.crt"), &folder.join("tls.key"));
                other.write(&folder.join("other.crt"), &folder.join("tls.key"));
            }),
        ),
        ("No such file", Box::new(|folder| one.write(&folder.join("tls.crt"), &folder.join("elsewhere.key")))),
        (
            "there is no certificate in PEM in it",
            Box::new(|folder| {
                one.write(&folder.join("tls.crt"), &folder.join("tls.key"));
                std::fs::write(folder.join("tls.crt"), "").expect("a file");
            }),
        ),
        ("the certificate has expired", Box::new(|folder| expired().write(&folder.join("tls.crt"), &folder.join("tls.key")))),
    ];
    for (says, write) in bad {
        let offset = webhook.process.log().len();
        webhook.secret.swap(|folder| write(folder));
        let line = webhook.process.log_line_after(offset, "the last good one is still shown").await;
        assert!(line.contains(says), "{line}");
        assert!(!webhook.process.log().contains("PRIVATE"), "of a key, nothing is told");
        failures += 1.0;
        let metrics = webhook.metrics().await;
        assert_eq!(metrics.get("portcullis_webhook_certificate_loads_total{result=\"failure\"}"), failures);
        assert_eq!(metrics.get("portcullis_webhook_certificate_last_load_successful"), 0.0);
        let mut connection = webhook.connect("http/1.1").await;
        assert_eq!(connection.shown, first);
        let answer = connection.post("/inject", review("u", &pod()).to_string()).await.expect("an answer");
        assert_eq!(response(&answer, "u")["allowed"], true);
        assert_eq!(webhook.get("/readyz").await.status, 200);
    }
    webhook.secret.renew(&other);
    is_shown(&webhook, &other).await;
    let metrics = webhook.metrics().await;
    assert_eq!(metrics.get("portcullis_webhook_certificate_last_load_successful"), 1.0);
    assert_eq!(metrics.get("portcullis_webhook_certificate_loads_total{result=\"failure\"}"), failures);
}

/// A certificate of yesteryear. Nobody trusts it, which is not what matters here.
fn expired() -> Identity {
    let mut params = CertificateParams::new(vec![NAME.into()]).expect("parameters");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().expect("a key");
    Identity { certificate: params.self_signed(&key).expect("a certificate").der().clone(), key }
}

#[tokio::test]
async fn with_an_expired_certificate_it_runs_and_is_not_ready_until_there_is_a_good_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut webhook = Webhook::start(folder.path(), &[]).await;
    webhook.process.kill();
    webhook.secret.renew(&expired());
    webhook.restart().await;
    let answer = webhook.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reasons"][0], "the certificate has expired at 2021-01-01T00:00:00Z");
    assert_eq!(webhook.get("/livez").await.status, 200);
    let probe = |webhook: &Webhook| {
        let probe = command(programs::portcullis()).args(["healthcheck", "--address", &webhook.admin.to_string()]).output();
        let output = probe.expect("portcullis runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, told) = probe(&webhook);
    assert!(code == Some(1) && told.contains("the certificate has expired at"), "{told}");
    webhook.process.log_line("API servers refuse this webhook").await;
    let series = "portcullis_webhook_certificate_not_after_timestamp_seconds";
    assert_eq!(webhook.metrics().await.get(series), 1_609_459_200.0);
    let good = webhook.authority.for_host(NAME);
    webhook.secret.renew(&good);
    is_shown_after_expiry(&webhook, &good).await;
    assert_eq!(webhook.get("/readyz").await.status, 200);
    assert_eq!(probe(&webhook).0, Some(0));
    assert!(webhook.metrics().await.get(series) > 1_609_459_200.0);
}

/// Until then, whoever checks the certificate cannot connect.
async fn is_shown_after_expiry(webhook: &Webhook, identity: &Identity) {
    wait::until_true("the new certificate to be shown", PATIENCE, async || {
        let connection = Https::open(webhook.address, &webhook.authority.certificate, NAME, &["h2"]).await;
        connection.is_ok_and(|connection| connection.shown == identity.certificate)
    })
    .await;
}
