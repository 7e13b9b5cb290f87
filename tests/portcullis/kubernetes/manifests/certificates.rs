//! The webhook's certificate: what cert-manager is asked for, and what the script makes with the real openssl.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tempfile::TempDir;

use super::{kustomize, self_signed};
use crate::harness::kustomize::{named, of_kind};

/// How the script ended.
pub(super) struct Ran(Output);

impl Ran {
    pub(super) fn success(&self) -> String {
        assert!(self.0.status.success(), "{}", self.message());
        String::from_utf8(self.0.stdout.clone()).expect("UTF-8")
    }

    fn message(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    fn code(&self) -> Option<i32> {
        self.0.status.code()
    }
}

/// Runs the script of a `self-signed` folder.
pub(super) fn make(folder: &Path, arguments: &[&str]) -> Ran {
    Ran(Command::new(folder.join("make-certificate.sh")).args(arguments).output().expect("a script"))
}

/// A copy of `self-signed`, whose certificates are the test's.
struct Place {
    _folder: TempDir,
    script: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let script = kustomize::copy(folder.path()).join("self-signed");
        Self { _folder: folder, script }
    }

    fn make(&self, arguments: &[&str]) -> Ran {
        make(&self.script, arguments)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.script.join("generated").join(name)).expect(name)
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        certificates(&self.read(name))
    }

    /// What the API server trusts, out of the patch for each webhook.
    fn trusted(&self) -> Vec<CertificateDer<'static>> {
        let patch: Value = serde_saphyr::from_str(&String::from_utf8(self.read("ca-bundle.yaml")).expect("UTF-8")).expect("YAML");
        let bundles: Vec<&str> = patch["webhooks"].as_array().expect("webhooks").iter().map(bundle_of).collect();
        assert!(bundles.len() == 2 && bundles[0] == bundles[1], "{bundles:?}");
        certificates(&BASE64_STANDARD.decode(bundles[0]).expect("base64"))
    }
}

fn bundle_of(webhook: &Value) -> &str {
    webhook["clientConfig"]["caBundle"].as_str().expect("a bundle")
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).map(|certificate| certificate.expect("a certificate")).collect()
}

/// Whether a client that trusts these takes the certificate for the name.
fn is_taken(certificate: &CertificateDer<'_>, trusted: &[CertificateDer<'static>], name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.clone()).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
    verifier.verify_server_cert(certificate, &[], &ServerName::try_from(name).expect("a name"), &[], UnixTime::now()).is_ok()
}

/// The name by which the API server calls the Service of a webhook.
fn called(objects: &[Value]) -> String {
    let configuration = named(objects, "MutatingWebhookConfiguration", "portcullis");
    let service = &configuration["webhooks"][0]["clientConfig"]["service"];
    let text = |name: &str| service[name].as_str().expect("text").to_string();
    format!("{}.{}.svc", text("name"), text("namespace"))
}

#[test]
fn the_script_makes_a_certificate_that_is_taken_for_the_service_and_no_other() {
    let place = Place::new();
    let said = place.make(&[]).success();
    assert!(said.contains("authority: a new one") && said.contains("kubectl apply -k"), "{said}");
    let (certificate, trusted) = (place.certificates("tls.crt").remove(0), place.trusted());
    assert_eq!(trusted, place.certificates("ca.crt"));
    let name = called(&kustomize::render(&place.script));
    assert_eq!(name, "portcullis-webhook.portcullis-system.svc");
    assert!(is_taken(&certificate, &trusted, &name));
    assert!(is_taken(&certificate, &trusted, &format!("{name}.cluster.local")));
    for other in ["portcullis-webhook", "portcullis-authz.portcullis-system.svc", "portcullis-webhook.default.svc"] {
        assert!(!is_taken(&certificate, &trusted, other), "{other}");
    }
    // The key is the certificate's, and only its owner's.
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(&place.read("tls.key")).expect("a key");
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key of a known kind");
    rustls::sign::CertifiedKey::new(vec![certificate], signer).keys_match().expect("the certificate's key");
    for secret in ["tls.key", "ca.key"] {
        let mode = fs::metadata(place.script.join("generated").join(secret)).expect(secret).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    let left: Vec<_> =
        fs::read_dir(place.script.join("generated")).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}

#[test]
fn a_renewal_changes_the_certificate_and_nothing_that_is_trusted() {
    let place = Place::new();
    place.make(&["--days", "90"]).success();
    let before = (place.certificates("tls.crt"), place.trusted(), place.read("tls.key"));
    let said = place.make(&[]).success();
    assert!(said.contains("authority: the one that is in"), "{said}");
    assert_eq!(place.trusted(), before.1);
    assert_ne!(place.certificates("tls.crt"), before.0);
    assert_ne!(place.read("tls.key"), before.2);
    assert!(is_taken(&place.certificates("tls.crt")[0], &before.1, "portcullis-webhook.portcullis-system.svc"));
}

#[test]
fn while_an_authority_is_replaced_both_certificates_are_taken() {
    let place = Place::new();
    place.make(&[]).success();
    let name = "portcullis-webhook.portcullis-system.svc";
    let (old, first) = (place.certificates("tls.crt").remove(0), place.trusted());
    place.make(&["--new-authority"]).success();
    let (new, both) = (place.certificates("tls.crt").remove(0), place.trusted());
    assert_eq!(both.len(), 2);
    assert!(is_taken(&old, &both, name) && is_taken(&new, &both, name) && !is_taken(&new, &first, name));
    // The next renewal forgets the old one.
    place.make(&[]).success();
    assert_eq!(place.trusted().len(), 1);
    assert!(!is_taken(&old, &place.trusted(), name));
    // Who put the authority's key elsewhere gets a new one, and the same care.
    fs::remove_file(place.script.join("generated/ca.key")).expect("a key");
    place.make(&[]).success();
    assert_eq!(place.trusted().len(), 2);
}

#[test]
fn what_cannot_be_made_is_said_and_leaves_what_was_there() {
    let place = Place::new();
    place.make(&[]).success();
    let before = (place.read("tls.crt"), place.read("ca-bundle.yaml"));
    for (arguments, words) in [
        (&["--days", "0"][..], "a number of days from 1 to 3650, not '0'"),
        (&["--days", "99999999999999999999"], "not '99999999999999999999'"),
        (&["--days", "1y"], "not '1y'"),
        (&["--days"], "--days takes a number"),
        (&["--folder"], "--folder takes a folder"),
        (&["--year"], "there is no --year"),
    ] {
        let ran = place.make(arguments);
        assert_eq!(ran.code(), Some(2), "{arguments:?}");
        assert!(ran.message().contains(words) && ran.message().contains("usage: "), "{arguments:?}: {}", ran.message());
    }
    // The authority has ten years, less the moments since it was made.
    let ran = place.make(&["--days", "3650"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.message().contains("say --new-authority"), "{}", ran.message());
    fs::write(place.script.join("generated/ca.key"), "no key").expect("a file");
    let ran = place.make(&[]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.message().contains("openssl x509' failed"), "{}", ran.message());
    // Without openssl: a PATH with everything else that it needs.
    let tools = TempDir::new().expect("a folder");
    for tool in ["sh", "dirname", "base64", "tr", "mktemp"] {
        let output = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().expect("sh");
        let path = String::from_utf8(output.stdout).expect("UTF-8");
        std::os::unix::fs::symlink(path.trim(), tools.path().join(tool)).expect("a link");
    }
    let script = place.script.join("make-certificate.sh");
    let ran = Ran(Command::new(script).env("PATH", tools.path()).output().expect("a script"));
    assert_eq!(ran.code(), Some(1));
    assert!(ran.message().contains("there is no openssl: install it (apt-get install openssl"), "{}", ran.message());

    assert_eq!((place.read("tls.crt"), place.read("ca-bundle.yaml")), before);
    let help = place.make(&["--help"]).success();
    assert!(help.starts_with("Makes the webhook's certificate") && help.contains("--new-authority"), "{help}");
}

#[test]
fn what_is_applied_holds_what_was_made() {
    let objects = self_signed();
    let secret = named(&objects, "Secret", "portcullis-webhook-tls");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    // Broken into lines, as Kubernetes takes it, too.
    let decoded = |name: &str| BASE64_STANDARD.decode(secret["data"][name].as_str().expect("data").replace('\n', "")).expect("base64");
    assert!(decoded("tls.key").starts_with(b"-----BEGIN"));
    let keys: Vec<&String> = secret["data"].as_object().expect("data").keys().collect();
    assert_eq!(keys, ["tls.crt", "tls.key"], "the authority's key stays at home");
    let configuration = named(&objects, "MutatingWebhookConfiguration", "portcullis");
    for webhook in configuration["webhooks"].as_array().expect("webhooks") {
        let trusted = certificates(&BASE64_STANDARD.decode(bundle_of(webhook)).expect("base64"));
        assert!(is_taken(&certificates(&decoded("tls.crt"))[0], &trusted, &called(&objects)));
    }
}

#[test]
fn cert_manager_is_asked_for_the_name_that_is_called_and_told_where_to_put_the_authority() {
    let objects = kustomize::shipped("cert-manager");
    let certificate = named(&objects, "Certificate", "portcullis-webhook");
    assert_eq!(certificate["spec"]["dnsNames"][0], called(&objects));
    let configuration = named(&objects, "MutatingWebhookConfiguration", "portcullis");
    let from = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"].as_str().expect("an annotation");
    let of = |name: &str| certificate["metadata"][name].as_str().expect("text");
    assert_eq!(from, format!("{}/{}", of("namespace"), of("name")));
    // Whoever signs is there, and signs with what is made for it.
    for certificate in of_kind(&objects, "Certificate") {
        let issuer = named(&objects, "Issuer", certificate["spec"]["issuerRef"]["name"].as_str().expect("a name"));
        if let Some(authority) = issuer["spec"].pointer("/ca/secretName") {
            let made = of_kind(&objects, "Certificate").find(|made| made["spec"]["secretName"] == *authority).expect("an authority");
            assert_eq!(made["spec"]["isCA"], true);
        }
    }
    for webhook in configuration["webhooks"].as_array().expect("webhooks") {
        assert_eq!(webhook["clientConfig"].get("caBundle"), None, "what is applied again must not take out what cert-manager put in");
    }
}
