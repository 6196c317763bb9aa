//! Whom TLS connections trust, and as whom they present themselves.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

/// What an application says about TLS. Nothing of it is read before a transport is built.
#[derive(Clone, Default)]
pub(crate) struct TlsOptions {
    /// In DER form; in place of the platform's.
    pub(crate) roots: Vec<Vec<u8>>,
    /// As PEM; beside `roots`, or beside the platform's.
    pub(crate) more: Vec<Vec<u8>>,
    /// As PEM: the client's certificate with those above it, and its key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Leaves the key out.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("more", &self.more.len())
            .field("client", &self.client.is_some())
            .finish()
    }
}

impl TlsOptions {
    /// The configuration, for connections that need it where `https`.
    pub(crate) fn config(&self, https: bool) -> Result<ClientConfig, TransportError> {
        let provider = rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(Kind::Other, "TLS cannot be set up").with_source(error))?
            .with_root_certificates(self.trusted(https)?);
        let Some((certificates, key)) = &self.client else {
            return Ok(config.with_no_client_auth());
        };
        let certificates = all(certificates, "the client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let message =
                "there is no private key in the client key; give it as PEM, without a passphrase";
            failed(Kind::BadRequest, message)
        })?;
        config
            .with_client_auth_cert(certificates, key)
            .map_err(|error| {
                let message = "the client certificate and its key do not go together";
                failed(Kind::BadRequest, message).with_source(error)
            })
    }

    fn trusted(&self, https: bool) -> Result<RootCertStore, TransportError> {
        let mut store = RootCertStore::empty();
        for root in &self.roots {
            add(&mut store, CertificateDer::from_slice(root))?;
        }
        for pem in &self.more {
            for root in all(pem, "the file of root certificates")? {
                add(&mut store, root)?;
            }
        }
        if https && self.roots.is_empty() {
            let native = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(native.certs);
            if store.is_empty() {
                let message =
                    "this machine has no root certificates; install them or give your own";
                let error = failed(Kind::Other, message);
                return Err(match native.errors.into_iter().next() {
                    Some(source) => error.with_source(source),
                    None => error,
                });
            }
        }
        Ok(store)
    }
}

/// The certificates of a PEM file, at least one.
fn all(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| {
            let message = format!("there is no certificate as PEM in {what}");
            failed(Kind::BadRequest, &message)
        })
}

fn add(store: &mut RootCertStore, root: CertificateDer<'_>) -> Result<(), TransportError> {
    store.add(root.into_owned()).map_err(|error| {
        let message =
            "a root certificate is not valid; give it in the form (DER or PEM) that is asked for";
        failed(Kind::BadRequest, message).with_source(error)
    })
}

fn failed(kind: Kind, message: &str) -> TransportError {
    TransportError::new(kind, message)
}
