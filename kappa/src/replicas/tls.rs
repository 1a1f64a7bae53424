//! TLS to the servers.
//!
//! Guarantees that a server is spoken to only if its certificate is for the host that the URL names, and signed by an authority that is trusted: one of the
//! file that the URL names, or else one of the system's. What is used for it is chosen here, whatever else the program is made of, so nothing is to be
//! installed before.

use super::server::Trouble;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// What is needed to speak to a server by TLS.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    /// Who is trusted, for messages.
    trusted: Arc<str>,
}

impl Tls {
    /// Trusts the authorities whose certificates are in this file, or else those that the system trusts.
    ///
    /// # Errors
    /// If there are no certificates: what the URL does, for a message.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let (roots, trusted) = match ca {
            Some(file) => (read(file)?, format!("the authorities in {}", file.display())),
            None => (of_system()?, "the authorities that the system trusts".to_string()),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| format!("asks for TLS, which cannot be had: {cause}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            trusted: trusted.into(),
        })
    }

    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| Trouble::Unwilling("its name cannot be in a certificate".to_string()))?;
        self.connector.connect(name, stream).await.map_err(|cause| {
            let inner = cause.get_ref().and_then(|inner| inner.downcast_ref());
            match inner {
                Some(rustls::Error::InvalidCertificate(why)) => Trouble::Unwilling(format!(
                    "its certificate is not trusted ({why:?}): {} have not signed it for {host}; name the file of the one that has, `rediss://HOST?ca=FILE`",
                    self.trusted
                )),
                Some(rustls::Error::InvalidMessage(_)) => {
                    Trouble::Unwilling("it does not speak TLS at this port".to_string())
                }
                _ => Trouble::Gone(cause.to_string()),
            }
        })
    }
}

fn read(file: &Path) -> Result<RootCertStore, String> {
    let cannot = |cause: String| {
        format!(
            "names certificates that cannot be read from {}: {cause}",
            file.display()
        )
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|cause| cannot(cause.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|cause| cannot(cause.to_string()))?;
        roots.add(certificate).map_err(|cause| cannot(cause.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(cannot("there is none in it".to_string())),
        false => Ok(roots),
    }
}

/// Of the system's certificates those that make sense: some systems have one that does not.
fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    match (usable, found.errors.first()) {
        (0, Some(cause)) => Err(format!(
            "asks for TLS, and the system's certificates cannot be read: {cause}"
        )),
        (0, None) => {
            Err("asks for TLS, and the system trusts nobody; name a file of certificates by `?ca=FILE`".to_string())
        }
        _ => Ok(roots),
    }
}
