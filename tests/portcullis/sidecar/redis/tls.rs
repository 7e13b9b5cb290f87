//! Redis over TLS, with certificates on both sides.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::{PASSES, Pair, REVOKED, SELDOM, STALE, of_session, with_source};
use crate::harness::lab::Lab;
use crate::harness::redis::Redis;
use crate::harness::sidecar::edit;
use crate::harness::{mesh, ports};

/// Writes an authority `NAME.pem`, and a certificate of it with its key, `NAME-leaf.pem` and `NAME-leaf.key`.
fn authority(folder: &Path, name: &str) {
    let write = |name: &str, label: &str, der: &[u8]| {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        fs::write(folder.join(name), pem).expect("a file");
    };
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Named alike, an authority and what it signed look like one certificate that signed itself.
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a certificate");
    write(&format!("{name}.pem"), "CERTIFICATE", certificate.der());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    params.distinguished_name.push(DnType::CommonName, "a leaf");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    write(&format!("{name}-leaf.pem"), "CERTIFICATE", leaf.der());
    write(&format!("{name}-leaf.key"), "PRIVATE KEY", &key.serialize_der());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_certificates_and_believe_no_others() {
    let folder = mesh::folder();
    authority(folder.path(), "ours");
    authority(folder.path(), "theirs");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = ports::pick().to_string();
    let (certificate, key, ca) = (file("ours-leaf.pem"), file("ours-leaf.key"), file("ours.pem"));
    let options = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let redis = Redis::start_with(folder.path(), "redis", &options).await;
    redis.run::<()>("SADD revoked sid:stolen");
    let tls = format!("tls: {{ ca: {}, certificate: {}, key: {} }}", file("ca.pem"), file("leaf.pem"), file("leaf.key"));
    let lab = Lab::unready(|policy| {
        let policy = with_source(&policy, &redis, &format!("set: revoked, {SELDOM}"));
        let policy = edit(&policy, &redis.url(), &format!("rediss://127.0.0.1:{port}"));
        edit(&policy, "    revocations: {", &format!("    {tls}\n    revocations: {{"))
    })
    .await;
    let path = folder.path().to_path_buf();
    let mut pair = Pair { lab, redis, _folder: folder };
    // The files are read for every connection.
    let put = |ca: &str, leaf: &str| {
        for (from, to) in
            [(format!("{ca}.pem"), "ca.pem"), (format!("{leaf}-leaf.pem"), "leaf.pem"), (format!("{leaf}-leaf.key"), "leaf.key")]
        {
            fs::copy(path.join(from), path.join(to)).expect("a copy");
        }
    };

    pair.counts("tls_files").await;
    pair.lab.sidecar.process.log_line("ca.pem: ").await;
    // Whoever signed the other side's certificate is a stranger to us, and then whoever signed ours is one to it.
    for (ca, leaf) in [("theirs", "ours"), ("ours", "theirs")] {
        put(ca, leaf);
        pair.counts("connect").await;
        assert_eq!(pair.reason(&of_session("stolen")).await, STALE, "{ca} {leaf}");
    }
    put("ours", "ours");
    pair.becomes(&of_session("stolen"), REVOKED).await;
    assert_eq!(pair.reason(&of_session("other")).await, PASSES);
    pair.redis.run::<()>("SADD revoked sid:other");
    pair.becomes(&of_session("other"), REVOKED).await;
}
