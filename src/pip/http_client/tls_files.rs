//! Certificates and keys in PEM files (RFC 7468), which somebody may replace at any time.

use std::fs;
use std::path::{Path, PathBuf};

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::ClientError;
use crate::pip::disk::{self, Stamp};

/// The longest file. All public authorities together have about 200 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Where they are.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// The only certificate authorities to trust; `None`: the public ones.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The stamps of all files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Stamp>);

impl TlsFiles {
    /// Whether the files can be used now. Blocks.
    ///
    /// # Errors
    /// They cannot, in words.
    pub fn check(&self) -> Result<(), String> {
        self.load().map(|_| ())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// Looks at the files without reading them. Blocks.
    pub(super) fn stamps(&self) -> Result<Stamps, String> {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(client).map(|path| stamp(path)).collect::<Result<_, _>>().map(Stamps)
    }

    /// Reads the files. Blocks. One that is not good fails all of them: half of the authorities would be a guess.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(&self) -> Result<ClientConfig, String> {
        let builder = super::tls_builder().map_err(|error| error.to_string())?;
        let builder = match &self.ca {
            None => builder.with_webpki_roots(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| failed(path, format!("a certificate of it cannot be used: {error}")))?;
                }
                builder.with_root_certificates(roots)
            }
        };
        let Some((certificate, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let text = disk::read(key, MAX_BYTES)?;
        // What is wrong with a key is told without any of it.
        let private = PrivateKeyDer::from_pem_slice(&text).map_err(|_| failed(key, "there is no private key in PEM in it".into()))?;
        builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| failed(certificate, ClientError::Tls(error).to_string() + "; does the key belong to it?"))
    }
}

fn failed(path: &Path, why: String) -> String {
    format!("{}: {why}", path.display())
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    fs::metadata(path).map(|metadata| Stamp::of(&metadata)).map_err(|error| failed(path, error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = disk::read(path, MAX_BYTES)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| failed(path, format!("it is not well-formed PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(failed(path, "there is no certificate in PEM in it".into()));
    }
    Ok(certificates)
}
