//! Authorities, certificates and keys in files: good ones, wrong ones, and ones that are replaced.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

use super::tls::server;
use super::*;

/// Bytes as PEM.
pub(super) fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

fn trusting(ca: &Path) -> HttpClient {
    with(TlsFiles { ca: Some(ca.into()), client: None })
}

fn with(files: TlsFiles) -> HttpClient {
    client().reaching(files, Proxy::None).expect("a client")
}

async fn label(client: &HttpClient, url: &Uri) -> &'static str {
    client.get(request(url)).await.map_or_else(|error| error.label(), |_| "ok")
}

#[tokio::test]
async fn an_authority_is_trusted_from_the_moment_its_file_names_it_until_it_does_not() {
    let (old, old_ca) = server("localhost", &[]).await;
    let (new, new_ca) = server("localhost", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    let client = trusting(&ca);
    assert_eq!(label(&client, &old.url).await, "tls_files", "there is no file");

    fs::write(&ca, pem("CERTIFICATE", &old_ca)).expect("a file");
    assert_eq!((label(&client, &old.url).await, label(&client, &new.url).await), ("ok", "tls"));
    assert_eq!(label(&client, &old.url).await, "ok");
    assert_eq!(old.connections(), 1, "the connection is kept while the file is the same");

    // Both, as in the middle of a rotation, and put there by a rename, as it should be.
    let next = folder.path().join("next.pem");
    fs::write(&next, pem("CERTIFICATE", &old_ca) + "# the new one\n" + &pem("CERTIFICATE", &new_ca)).expect("a file");
    fs::rename(&next, &ca).expect("renamed");
    assert_eq!((label(&client, &old.url).await, label(&client, &new.url).await), ("ok", "ok"));

    fs::write(&ca, pem("CERTIFICATE", &new_ca)).expect("a file");
    assert_eq!((label(&client, &old.url).await, label(&client, &new.url).await), ("tls", "ok"), "old connections are not used on");

    fs::remove_file(&ca).expect("removed");
    assert_eq!(label(&client, &new.url).await, "tls_files");
    fs::write(&ca, pem("CERTIFICATE", &new_ca)).expect("a file");
    assert_eq!(label(&client, &new.url).await, "ok");
}

#[tokio::test]
async fn a_file_that_is_not_good_fails_the_fetch_and_says_why_and_which() {
    let (peer, certificate) = server("localhost", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    let good = pem("CERTIFICATE", &certificate);
    for (text, why) in [
        (String::new(), "no certificate"),
        ("hello".into(), "no certificate"),
        (pem("PUBLIC KEY", b"x"), "no certificate"),
        (format!("{good}-----BEGIN CERTIFICATE-----\n"), "well-formed"),
        (good.clone() + &pem("CERTIFICATE", b"x"), "cannot be used"),
    ] {
        fs::write(&ca, text).expect("a file");
        let failed = trusting(&ca).get(request(&peer.url)).await.expect_err("a failure");
        assert_eq!(failed.label(), "tls_files", "{failed}");
        assert!(failed.to_string().contains("ca.pem: ") && failed.to_string().contains(why), "{failed}");
    }
    assert_eq!(peer.connections(), 0);
}

/// A certificate for a client and its key, in files.
fn client_files(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec![name.to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
    let (at, key_at) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    fs::write(&at, pem("CERTIFICATE", certificate.der())).expect("a file");
    fs::write(&key_at, pem("PRIVATE KEY", &key.serialize_der())).expect("a file");
    (at, key_at)
}

#[tokio::test]
async fn a_client_certificate_needs_its_own_key() {
    let (peer, certificate) = server("localhost", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, pem("CERTIFICATE", &certificate)).expect("a file");
    let (us, key) = client_files(folder.path(), "us");
    let (_, other_key) = client_files(folder.path(), "other");
    let of = |certificate: &Path, key: &Path| with(TlsFiles { ca: Some(ca.clone()), client: Some((certificate.into(), key.into())) });
    assert_eq!(label(&of(&us, &key), &peer.url).await, "ok");
    for (certificate, key) in [(&us, &other_key), (&us, &us), (&key, &key), (&us, &folder.path().join("nowhere"))] {
        let failed = of(certificate, key).get(request(&peer.url)).await.expect_err("a failure");
        assert_eq!(failed.label(), "tls_files", "{failed}");
    }
    // With the public authorities, this server is nobody.
    let public = with(TlsFiles { ca: None, client: Some((us, key)) });
    assert_eq!(label(&public, &peer.url).await, "tls");
}
