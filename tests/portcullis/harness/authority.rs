//! A certificate authority that is part of the test.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;

/// A certificate and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: KeyPair,
}

/// The authority.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name, for servers and for clients.
    pub fn issue(&self, name: SanType) -> Identity {
        self.issue_with(vec![name], |_| ())
    }

    /// The same for several names, or with something unusual in it.
    pub fn issue_with(&self, names: Vec<SanType>, edit: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "a workload");
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Identity { certificate, key }
    }

    /// The same for a DNS name or an IP address.
    pub fn for_host(&self, host: &str) -> Identity {
        self.issue(match host.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into().expect("a name")),
        })
    }

    /// Puts its certificate into a file, in one step.
    pub fn write(&self, path: &Path) {
        let new = path.with_extension("new");
        write_pem(&new, "CERTIFICATE", &self.certificate);
        fs::rename(&new, path).expect("replaced");
    }
}

impl Identity {
    /// Puts the certificate and the key into files.
    pub fn write(&self, certificate: &Path, key: &Path) {
        write_pem(certificate, "CERTIFICATE", &self.certificate);
        write_pem(key, "PRIVATE KEY", &self.key.serialize_der());
    }
}

pub fn write_pem(path: &Path, label: &str, der: &[u8]) {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    fs::write(path, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))).expect("a file");
}
