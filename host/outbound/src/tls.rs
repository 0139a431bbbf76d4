//! Whom the clients trust: the authorities of the system, and those that the operator
//! adds. A certificate that does not fit is never accepted.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The clients cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of further authorities.
    #[error("read the certificates in {}: check [http] tls_ca", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// One of them is none.
    #[error("trust a certificate in {}: check [http] tls_ca", .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The library does not take its own settings.
    #[error("set up TLS")]
    Versions(#[source] rustls::Error),
}

/// The protocol that is spoken inside: what a server could choose else is not known.
const HTTP_1: &[u8] = b"http/1.1";

/// For all clients.
pub(crate) fn client_config(extra: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    // What cannot be read of the system's is left out: a server that it would have
    // vouched for is refused then.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra {
        for certificate in read(path)? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::Authority {
                    path: path.to_owned(),
                    source,
                })?;
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Authorities {
        path: path.to_owned(),
        source,
    };
    CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}
