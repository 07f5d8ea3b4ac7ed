//! A server from its settings to its end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pinyon_cloud::{AwsAuditBucket, AwsKms, Smtp};
use pinyon_model::{Error, ErrorCode};
use pinyon_service::{
    AuditDelivery, AuthMode, Clock, CmekOptions, CreatedApiKey, DataPlaneAudit, InviteMail, RootKey, Service, ServiceOptions, SystemClock,
};
use tokio::{
    sync::SetOnce,
    time::{MissedTickBehavior, interval},
};

use crate::{
    app::App,
    config::{AuditRecords, AuditSettings, CmekSettings, ConfigError, DataPlace, HostSettings, MailSettings, Mode, Settings, TlsSettings},
    hosts::Hosts,
    listen::{Certificate, CertificateFiles, Connections, Handler, Listeners, make_self_signed},
    operator::{self, RootKeyFile},
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be served.
    #[error("{0}")]
    Service(Error),
    /// A port, socket, file or folder is not to be had.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// A running server.
pub(crate) struct Server {
    service: Arc<Service>,
    app: Arc<App>,
    listeners: Arc<Listeners>,
    certificate: Option<Arc<Certificate>>,
    shutdown_timeout: Duration,
    socket: PathBuf,
    background: tokio::task::JoinSet<()>,
    /// Removed when dropped, after everything in it was closed.
    _temporary: Option<tempfile::TempDir>,
    /// What the start has to say.
    pub(crate) facts: Facts,
}

/// What a start-up banner tells.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) mode: Mode,
    pub(crate) url: String,
    pub(crate) hosts: HostSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) temporary: bool,
    pub(crate) root_key: String,
    pub(crate) root_key_is_new: bool,
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) authority: Option<PathBuf>,
}

/// A data directory's service, opened with whichever of its root keys fits.
pub(crate) async fn open_service(
    root_key: &RootKeyFile,
    create: bool,
    clock: &Arc<dyn Clock>,
    options: impl Fn(RootKey) -> ServiceOptions,
) -> Result<(Arc<Service>, bool), StartError> {
    let (keys, made) = root_key.candidates(create)?;
    let mut refused = None;
    for key in keys {
        match Service::open(options(key.clone()), clock.clone()).await {
            Ok(service) => {
                root_key.settle(&key)?;
                return Ok((service, made));
            }
            // The wrong key of two, when a rotation was cut short.
            Err(error) if error.code == ErrorCode::FailedPrecondition => _ = refused.get_or_insert(error),
            Err(error) => return Err(StartError::Service(error)),
        }
    }
    Err(StartError::Service(refused.unwrap_or_else(|| Error::internal("no root key was tried"))))
}

impl Server {
    /// Opens the data and every listener. When this returns, requests are answered.
    pub(crate) async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            mode,
            data,
            root_key,
            listen,
            private,
            hosts,
            tls,
            limits,
            key_dir,
            audit,
            data_key_days,
            cmek,
            deletion,
            viewers_infer,
            audit_key_use,
            mail,
            engine,
            quotas,
            config_dir,
        } = settings;
        let (data_dir, temporary) = match data {
            DataPlace::Dir(dir) => (dir, None),
            DataPlace::Temporary => {
                let dir =
                    tempfile::Builder::new().prefix("pinyon-").tempdir().map_err(|e| StartError::Io("temporary directory".into(), e))?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        let root_key = RootKeyFile::new(root_key, &data_dir);
        let (certificate, authority) = load_certificate(tls, &hosts, &root_key, &config_dir)?;
        let acceptor =
            certificate.as_ref().map(|c| c.acceptor().map_err(|e| StartError::Io("TLS".into(), io::Error::other(e)))).transpose()?;

        let invite_mail = mail.map(invite_mail).transpose()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (service, root_key_is_new) = open_service(&root_key, true, &clock, |key| {
            let mut options = ServiceOptions::new(data_dir.clone(), key);
            options.auth = if mode == Mode::Dev { AuthMode::AnyKey } else { AuthMode::Keys };
            options.ports = hosts.domain.is_none().then(|| hosts.index_ports.clone());
            options.port_is_free = Some(listen.port_check());
            options.key_dir = key_dir.clone();
            options.viewers_infer = viewers_infer;
            options.audit_key_use = audit_key_use;
            options.data_plane_audit = match audit.records {
                AuditRecords::Off => DataPlaneAudit::Off,
                AuditRecords::Writes => DataPlaneAudit::Writes,
                AuditRecords::All => DataPlaneAudit::All,
            };
            options.audit_retention_days = audit.retention_days;
            options.data_key_days = data_key_days;
            options.audit_delivery = Some(audit_delivery(&audit, &clock));
            options.cmek = cmek_options(&cmek, &clock);
            options.engine = engine.clone();
            options.private_region = private.as_ref().map(|p| p.region.clone());
            options.deletion = deletion;
            options.limits = quotas.clone();
            options.invite_mail = invite_mail.clone();
            options
        })
        .await?;
        let api_key_file = match service.take_bootstrap_key() {
            Some(key) if mode == Mode::Serve => Some(hand_over(&key, &root_key, &config_dir)?),
            _ => None,
        };

        if mode == Mode::Serve && certificate.is_none() && listen.beyond_this_machine(private.as_ref()) {
            tracing::warn!(
                "API keys and records travel unencrypted: use --tls-cert and --tls-key, --tls-self-signed, or a proxy that does TLS"
            );
        }
        let socket = data_dir.join(operator::SOCKET_NAME);
        let unix = operator::bind(&data_dir).map_err(|e| StartError::Io(socket.display().to_string(), e))?;
        let connections = Connections::new(raise_file_limit(limits.connections), limits.header_timeout, limits.idle_timeout);
        // Requests that come before everything is there wait for it.
        let later: Arc<SetOnce<Arc<App>>> = Arc::default();
        let handler: Handler = {
            let later = later.clone();
            Arc::new(move |peer, request| {
                let later = later.clone();
                Box::pin(async move { later.wait().await.clone().handle(peer, request).await })
            })
        };
        let listeners = Listeners::new(listen.clone(), acceptor, &limits, connections.clone(), handler);
        let io = |what: &str| {
            let what = what.to_owned();
            move |e| StartError::Io(what, e)
        };
        let port = listeners.open_main().await.map_err(io(&format!("cannot listen on port {}", listen.port)))?;
        let secure = certificate.is_some();
        let app = App::new(service.clone(), Hosts::new(hosts.clone(), mode, secure, port), &limits, clock, root_key.clone());
        if hosts.domain.is_none() {
            app.ports.use_listeners(listeners.clone());
            app.ports.follow(&service).await;
        }
        let _ = later.set(app.clone());
        if let Some(private) = private {
            let address = private.address;
            listeners.open_private(private).await.map_err(io(&format!("cannot listen on {address} for private endpoints")))?;
        }
        listeners.open_socket(unix);

        let mut background = tokio::task::JoinSet::new();
        background.spawn(connections.sweep(ticks(Duration::from_secs(1))));
        {
            let (app, service) = (app.clone(), service.clone());
            background.spawn(async move { app.ports.keep_following(service, ticks(Duration::from_secs(5))).await });
        }
        if let Some(certificate) = certificate.clone() {
            background.spawn(certificate.watch(ticks(Duration::from_secs(3))));
        }
        let facts = Facts {
            mode,
            url: format!("{}://{}:{port}", if secure { "https" } else { "http" }, hosts.domain.as_deref().unwrap_or(&hosts.advertise_host)),
            hosts,
            temporary: temporary.is_some(),
            data_dir,
            root_key: root_key.shown(),
            root_key_is_new,
            api_key_file,
            authority,
        };
        let shutdown_timeout = limits.shutdown_timeout;
        Ok(Self { service, app, listeners, certificate, shutdown_timeout, socket, background, _temporary: temporary, facts })
    }

    /// Reads the certificate again if it changed.
    pub(crate) fn reload(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.refresh();
        }
    }

    /// Stops listening, lets requests in progress end, closes the data.
    pub(crate) async fn stop(mut self) {
        self.app.changes.close();
        let ended = async {
            self.listeners.shut_down().await;
            // Changes whose clients went away meanwhile.
            self.app.changes.wait().await;
        };
        if tokio::time::timeout(self.shutdown_timeout, ended).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
        }
        self.background.shutdown().await;
        self.service.close().await;
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn invite_mail(settings: MailSettings) -> Result<InviteMail, StartError> {
    let MailSettings { smtp, accept_url } = settings;
    let mailer = Arc::new(Smtp::new(smtp).map_err(StartError::Service)?);
    Ok(InviteMail { mailer, accept_url })
}

type Loaded = (Option<Arc<Certificate>>, Option<PathBuf>);

fn load_certificate(
    tls: Option<TlsSettings>,
    hosts: &HostSettings,
    root_key: &RootKeyFile,
    config_dir: &Path,
) -> Result<Loaded, StartError> {
    let (cert, key, authority) = match tls {
        None => return Ok((None, None)),
        Some(TlsSettings::Files { cert, key }) => (cert, key, None),
        Some(TlsSettings::SelfSigned) => {
            let dir = root_key.beside("tls").unwrap_or_else(|| config_dir.join("tls"));
            let mut names = vec![hosts.advertise_host.clone(), format!("*.svc.{}.localhost", hosts.cell)];
            if let Some(domain) = &hosts.domain {
                names.extend([domain.clone(), format!("*.{domain}"), format!("*.svc.{}.{domain}", hosts.cell)]);
                names.extend(hosts.private_port.map(|_| format!("*.svc.private.{}.{domain}", hosts.cell)));
            }
            let made = make_self_signed(&dir, &names).map_err(|e| StartError::Io(dir.display().to_string(), e))?;
            let CertificateFiles { authority, cert, key } = made;
            (cert, key, Some(authority))
        }
    };
    let certificate = Certificate::load(cert, key).map_err(|e| StartError::Io("certificate".into(), e))?;
    Ok((Some(certificate), authority))
}

/// Where audit events go for the organizations that ask for it: buckets of their own, in the words of Pinecone's.
fn audit_delivery(audit: &AuditSettings, clock: &Arc<dyn Clock>) -> AuditDelivery {
    AuditDelivery {
        bucket: Arc::new(AwsAuditBucket::new(audit.endpoints.clone(), Arc::clone(clock))),
        print: pinyon_wire::audit_event,
        endpoints: audit.endpoints.to_string(),
    }
}

/// Who is asked for customers' keys, and how often.
fn cmek_options(cmek: &CmekSettings, clock: &Arc<dyn Clock>) -> CmekOptions {
    CmekOptions {
        provider: Some(Arc::new(AwsKms::new(cmek.endpoints.clone(), Arc::clone(clock)))),
        endpoints: cmek.endpoints.to_string(),
        lifetime_ms: u64::from(cmek.cache_seconds) * 1_000,
        grace_ms: u64::from(cmek.grace_seconds) * 1_000,
    }
}

/// Puts the first start's API key into a file that only its owner can read.
fn hand_over(key: &CreatedApiKey, root_key: &RootKeyFile, config_dir: &Path) -> Result<PathBuf, StartError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = root_key.beside("api-key").unwrap_or_else(|| config_dir.join("first.api-key"));
    let write = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        writeln!(file, "{}", key.secret.reveal())?;
        file.sync_all()
    };
    write()
        .map_err(|e| StartError::Io(format!("{}: cannot write the first API key; make one with pinyon key create", path.display()), e))?;
    Ok(path)
}

/// Lets this process have as many files open as the system allows, and says how many of them may be connections.
fn raise_file_limit(wanted: u32) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A quarter is left for data files, logs and listeners.
    (u64::from(wanted).min(files / 4 * 3)).max(16) as usize
}
