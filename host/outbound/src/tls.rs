//! TLS to other servers.

use std::io;
use std::sync::{Arc, OnceLock};

use sluicegate_config::Origin;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Speaks TLS on a connection to this origin; its certificate must be one that the system trusts.
///
/// # Errors
/// Those of the connection, or what is wrong with the certificate.
pub(crate) async fn connect(
    origin: &Origin,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(origin.host.clone());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(settings()).connect(name, stream).await
}

/// The system's certificates, read once. Unreadable ones are left out, as in other programs.
fn settings() -> Arc<ClientConfig> {
    static SETTINGS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let settings = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(settings)
    };
    SETTINGS.get_or_init(make).clone()
}
