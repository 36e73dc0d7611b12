//! TLS towards clients.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use sluicegate_config::Tls;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or is not PEM.
    #[error("{path} cannot be read as PEM: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: pem::Error,
    },
    /// Certificate and key do not belong together.
    #[error("the certificate in {path} cannot be used with its key: {source}")]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// The library's reason.
        source: rustls::Error,
    },
}

/// An acceptor that offers HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`Error`], which names the file.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| Error::Pem {
            path: tls.cert.clone(),
            source,
        })?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|source| Error::Pem {
        path: tls.key.clone(),
        source,
    })?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| Error::Pair {
            path: tls.cert.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The same acceptor, but it offers only HTTP/1.1.
pub(super) fn without_http2(acceptor: &TlsAcceptor) -> TlsAcceptor {
    let mut config = ServerConfig::clone(acceptor.config());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
