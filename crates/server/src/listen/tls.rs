//! TLS: 1.2 and 1.3, `h2` and `http/1.1`, and a certificate that is read again when its files change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::Interval;
use tokio_rustls::TlsAcceptor;

/// The certificate that is shown to clients, and the files it is read from.
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    stamp: Stamp,
}

/// When the two files were last changed.
type Stamp = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads the files; an error names the one that cannot be used.
    pub(crate) fn load(cert: PathBuf, key: PathBuf) -> io::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let stamp = stamp(&cert, &key);
        let certified = read(&cert, &key, &provider)?;
        Ok(Arc::new(Self { cert, key, provider, current: RwLock::new(Current { certified, stamp }) }))
    }

    /// Takes connections' TLS off with this certificate.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files at every tick, for ever, and takes them over when both changed into something usable.
    pub(crate) async fn watch(self: Arc<Self>, mut ticks: Interval) {
        loop {
            ticks.tick().await;
            self.refresh();
        }
    }

    /// Takes the files over if they changed. While they do not fit each other, the old certificate stays.
    pub(crate) fn refresh(&self) {
        let now = stamp(&self.cert, &self.key);
        if now == self.current.read().unwrap_or_else(PoisonError::into_inner).stamp {
            return;
        }
        let read = read(&self.cert, &self.key, &self.provider);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(certified) => {
                tracing::info!(file = %self.cert.display(), "certificate changed; new connections use it");
                *current = Current { certified, stamp: now };
            }
            // The stamp is left as it was, so that the next tick tries again: the files may be halfway through being replaced.
            Err(error) => tracing::warn!(%error, "changed certificate cannot be used; keeping the old one"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).certified.clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> io::Result<Arc<CertifiedKey>> {
    let wrong = |path: &Path, what: &dyn fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|e| wrong(cert, &e))?;
    if chain.is_empty() {
        return Err(wrong(cert, &"no certificate in this file"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|e| wrong(key, &e))?;
    Ok(Arc::new(certified))
}

fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|path| path.metadata().and_then(|m| m.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::make_self_signed;

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.current.read().unwrap().certified.cert[0].to_vec()
    }

    #[test]
    fn a_changed_certificate_is_taken_over_and_a_broken_one_is_not() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (make_self_signed(a.path(), &[]).unwrap(), make_self_signed(b.path(), &[]).unwrap());
        let certificate = Certificate::load(first.cert.clone(), first.key.clone()).unwrap();
        let before = shown(&certificate);
        certificate.refresh();
        assert_eq!(shown(&certificate), before);

        std::fs::write(&first.cert, "garbage").unwrap();
        certificate.refresh();
        assert_eq!(shown(&certificate), before, "garbage is not taken over");

        std::fs::copy(&second.cert, &first.cert).unwrap();
        certificate.refresh();
        assert_eq!(shown(&certificate), before, "a certificate without its key is not taken over");

        std::fs::copy(&second.key, &first.key).unwrap();
        certificate.refresh();
        assert_ne!(shown(&certificate), before);
    }

    #[test]
    fn an_unusable_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = make_self_signed(dir.path(), &[]).unwrap();
        let missing = dir.path().join("missing.pem");
        for (cert, key, named) in [(&missing, &files.key, "missing.pem"), (&files.cert, &missing, "missing.pem")] {
            assert!(Certificate::load(cert.clone(), key.clone()).unwrap_err().to_string().contains(named));
        }
        std::fs::write(&missing, "").unwrap();
        assert!(Certificate::load(missing, files.key).unwrap_err().to_string().contains("no certificate"));
    }
}
