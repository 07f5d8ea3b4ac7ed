//! A certificate authority and a server certificate made by Pinyon itself, for whoever has none yet. SDKs trust the
//! authority through `SSL_CERT_FILE`. Its private key is never written: who steals the folder can impersonate this server,
//! but not sign for others. So a new set of names means a new authority.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

/// The files of a self-signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The authority, for clients to trust.
    pub(crate) authority: PathBuf,
    /// The server's certificate.
    pub(crate) cert: PathBuf,
    /// Its private key, mode 0600.
    pub(crate) key: PathBuf,
}

/// Finds the files in `dir`, or makes them: for `localhost`, `*.localhost`, the loopback addresses, and `names`. Files that were made for
/// other names are replaced.
pub(crate) fn make_self_signed(dir: &Path, names: &[String]) -> io::Result<CertificateFiles> {
    let files = CertificateFiles { authority: dir.join("ca.pem"), cert: dir.join("server.pem"), key: dir.join("server.key") };
    let mut all: Vec<String> = ["localhost", "*.localhost", "127.0.0.1", "::1"].map(String::from).into();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let listed = all.join("\n") + "\n";
    let made_for = dir.join("names.txt");
    let complete = [&files.authority, &files.cert, &files.key].into_iter().all(|f| f.is_file());
    if complete && fs::read_to_string(&made_for).is_ok_and(|made| made == listed) {
        return Ok(files);
    }
    fs::create_dir_all(dir)?;
    // The list goes last: a set that was cut short is made again.
    if let Err(e) = fs::remove_file(&made_for)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let made = make(&all).map_err(io::Error::other)?;
    write(&files.key, &made.key, 0o600)?;
    write(&files.cert, &made.cert, 0o644)?;
    write(&files.authority, &made.authority, 0o644)?;
    write(&made_for, &listed, 0o644)?;
    Ok(files)
}

struct Made {
    authority: String,
    cert: String,
    key: String,
}

fn make(names: &[String]) -> Result<Made, rcgen::Error> {
    let named = |name: &str| {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Pinyon");
        subject.push(DnType::CommonName, name);
        subject
    };
    // Far dates: nobody renews a certificate that a laptop made for itself, and a clock that is off must not stop it.
    let (from, to) = (date_time_ymd(2024, 1, 1), date_time_ymd(2054, 1, 1));

    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("Pinyon self-signed authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    (authority.not_before, authority.not_after) = (from, to);
    let authority_cert = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name = named("Pinyon");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = (from, to);
    let cert = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
    Ok(Made { authority: authority_cert.pem(), cert: cert.pem(), key: key.serialize_pem() })
}

/// Writes a file whole, with this mode from its first byte.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Err(e) = fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_once_and_anew_for_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let files = make_self_signed(dir.path(), &["*.svc.local.example.com".to_owned()]).unwrap();
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        make_self_signed(dir.path(), &["*.svc.local.example.com".to_owned()]).unwrap();
        assert_eq!(fs::read(&files.cert).unwrap(), first);
        make_self_signed(dir.path(), &[]).unwrap();
        assert_ne!(fs::read(&files.cert).unwrap(), first);
    }
}
