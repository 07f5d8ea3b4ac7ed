//! The checked settings of a server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pinyon_cloud::{AwsEndpoints, Endpoint};
use pinyon_service::{DeletionOptions, EngineSettings, LimitPreset, Limits as Quotas, PortCheck, RateLimit, Rates};

use super::{
    AdvertiseScheme, AuditRecords, CmekSettings, ConfigError, EngineArgs, LimitsArg, MailSettings, PrivateListen, QuotaArgs, ServerArgs,
    cmek, deletion, mail,
    place::{DataPlace, Folders, RootKeyPlace},
    private::private,
    size::{parse_ports, parse_size},
};

/// The default port of the control plane: the emulator's.
pub(crate) const PORT_DEFAULT: u16 = 5080;

/// Days that the audit log is kept, as Pinecone keeps its own.
const RETENTION_DAYS: u32 = 90;
/// How old keys of the data get.
const DATA_KEY_DAYS: u32 = 90;

/// What kind of server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keys and roles count.
    Serve,
    /// Any key is accepted.
    Dev,
}

/// Everything that a server is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) data: DataPlace,
    pub(crate) root_key: RootKeyPlace,
    pub(crate) listen: Addresses,
    /// Where connections through private endpoints come in, if anywhere.
    pub(crate) private: Option<PrivateListen>,
    pub(crate) hosts: HostSettings,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) limits: Limits,
    /// Where the sealed keys lie, when not with the data.
    pub(crate) key_dir: Option<PathBuf>,
    pub(crate) audit: AuditSettings,
    /// Days after which records are sealed anew under new keys.
    pub(crate) data_key_days: Option<u32>,
    pub(crate) cmek: CmekSettings,
    /// How long what was deleted is kept.
    pub(crate) deletion: DeletionOptions,
    /// Whether who may read records may also embed and rerank.
    pub(crate) viewers_infer: bool,
    /// Whether the audit log tells of the use of API keys.
    pub(crate) audit_key_use: bool,
    /// How invites are sent, if by mail.
    pub(crate) mail: Option<MailSettings>,
    pub(crate) engine: EngineSettings,
    pub(crate) quotas: Quotas,
    /// Where keys are kept, outside the data directory; the self-signed certificate too.
    pub(crate) config_dir: PathBuf,
}

/// What the audit log records, how long it is kept, and where it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditSettings {
    pub(crate) records: AuditRecords,
    /// None keeps entries for ever.
    pub(crate) retention_days: Option<u32>,
    pub(crate) endpoints: AwsEndpoints,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Each must be free.
    pub(crate) required: Vec<IpAddr>,
    /// Listened on where the system has them: `::1` beside `127.0.0.1`, because some clients try it first for `localhost`.
    pub(crate) optional: Vec<IpAddr>,
    /// The control plane's port; 0 lets the system choose.
    pub(crate) port: u16,
}

impl Addresses {
    /// Looks whether a port can be opened on each of them now.
    pub(crate) fn port_check(&self) -> PortCheck {
        let addresses = self.required.clone();
        Arc::new(move |port| addresses.iter().all(|address| TcpListener::bind(SocketAddr::new(*address, port)).is_ok()))
    }

    /// Whether other machines reach a listener: one on these addresses, or the private one.
    pub(crate) fn beyond_this_machine(&self, private: Option<&PrivateListen>) -> bool {
        let private = private.map(|p| p.address.ip());
        !self.required.iter().chain(&private).all(IpAddr::is_loopback)
    }
}

/// How indexes are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostSettings {
    /// Indexes are names under this domain; without one they are ports.
    pub(crate) domain: Option<String>,
    /// The cell part of such a name.
    pub(crate) cell: String,
    /// The ports of indexes, when they have ports.
    pub(crate) index_ports: RangeInclusive<u16>,
    /// The host that indexes on ports are said to have.
    pub(crate) advertise_host: String,
    /// Whether hosts carry a scheme.
    pub(crate) advertise_scheme: AdvertiseScheme,
    /// The port of private hosts; none where there are none.
    pub(crate) private_port: Option<u16>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsSettings {
    /// From these PEM files, read again when they change.
    Files {
        /// The chain.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made by Pinyon.
    SelfSigned,
}

/// What one client may take from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of a request body, before and after decompression.
    pub(crate) body_bytes: usize,
    /// Bytes of all request bodies in memory.
    pub(crate) bodies_bytes: usize,
    /// Open connections.
    pub(crate) connections: u32,
    /// Concurrent requests of an HTTP/2 connection.
    pub(crate) streams: u32,
    /// From the first byte of a request's head to its last.
    pub(crate) header_timeout: Duration,
    /// From the first byte of a request's body to its last.
    pub(crate) body_timeout: Duration,
    /// Without a request.
    pub(crate) idle_timeout: Duration,
    /// For draining.
    pub(crate) shutdown_timeout: Duration,
}

/// Reads the settings file, if one was named.
pub(crate) fn read_file(path: Option<&Path>) -> Result<ServerArgs, ConfigError> {
    let Some(path) = path else { return Ok(ServerArgs::default()) };
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::new(format!("settings file {}: {e}", path.display())))?;
    toml::from_str(&text).map_err(|e| ConfigError::new(format!("settings file {}: {e}", path.display())))
}

impl Settings {
    /// Checks what `serve` was told.
    pub(crate) fn serve(args: ServerArgs, folders: &Folders) -> Result<Self, ConfigError> {
        let dir = args.data_dir.clone().unwrap_or_else(|| folders.data.clone());
        let root_key = RootKeyPlace::new(args.root_key_file.clone(), &dir, folders)?;
        Self::new(Mode::Serve, DataPlace::Dir(dir), root_key, args, folders)
    }

    /// Checks what `dev` was told. `variable` reads the two variables of Pinecone's emulator, which flags win over.
    pub(crate) fn dev(mut args: ServerArgs, folders: &Folders, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        if let (None, Some(port)) = (args.port, variable("PORT").filter(|p| !p.is_empty())) {
            args.port =
                Some(port.parse().map_err(|_| ConfigError::new(format!("the variable PORT is '{port}'; a port number is expected")))?);
        }
        args.advertise_host = args.advertise_host.or_else(|| variable("PINECONE_HOST").filter(|h| !h.is_empty()));
        let (data, root_key) = match args.data_dir.clone() {
            Some(dir) => {
                let root_key = RootKeyPlace::new(args.root_key_file.clone(), &dir, folders)?;
                (DataPlace::Dir(dir), root_key)
            }
            None => (DataPlace::Temporary, RootKeyPlace::Memory),
        };
        Self::new(Mode::Dev, data, root_key, args, folders)
    }

    fn new(mode: Mode, data: DataPlace, root_key: RootKeyPlace, args: ServerArgs, folders: &Folders) -> Result<Self, ConfigError> {
        let port = args.port.unwrap_or(PORT_DEFAULT);
        let (private, private_port) = private(&args)?.unzip();
        Ok(Self {
            mode,
            data,
            root_key,
            listen: addresses(mode, port, args.bind.as_deref())?,
            private,
            hosts: HostSettings { private_port, ..hosts(port, &args)? },
            tls: tls(&args)?,
            limits: limits(&args)?,
            key_dir: args.key_dir.clone(),
            audit: audit(&args)?,
            data_key_days: Some(args.data_key_days.unwrap_or(DATA_KEY_DAYS)).filter(|days| *days > 0),
            cmek: cmek::cmek(mode, &args)?,
            deletion: deletion(&args)?,
            viewers_infer: args.viewers_infer.unwrap_or(false),
            audit_key_use: args.audit_key_use.unwrap_or(true),
            mail: mail::mail(&args, |name| std::env::var(name).ok())?,
            quotas: quotas(&args)?,
            engine: engine(args.cache.as_deref(), args.engine.unwrap_or_default())?,
            config_dir: folders.config.clone(),
        })
    }
}

fn addresses(mode: Mode, port: u16, bind: Option<&str>) -> Result<Addresses, ConfigError> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let Some(bind) = bind else {
        return Ok(match mode {
            Mode::Serve => Addresses { required: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)], optional: Vec::new(), port },
            Mode::Dev => Addresses { required: vec![v4], optional: vec![v6], port },
        });
    };
    let mut found = Addresses { required: Vec::new(), optional: Vec::new(), port };
    for text in bind.split(',').map(str::trim) {
        if text == "localhost" {
            found.required.push(v4);
            found.optional.push(v6);
            continue;
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        found.required.push(bare.parse().map_err(|_| {
            ConfigError::new(format!(
                "--bind has '{text}'; IP addresses such as 0.0.0.0, 127.0.0.1 or ::1 are expected, separated by commas"
            ))
        })?);
    }
    Ok(found)
}

fn hosts(port: u16, args: &ServerArgs) -> Result<HostSettings, ConfigError> {
    let index_ports = match &args.index_ports {
        Some(text) => parse_ports("--index-ports", text)?,
        None if port == 0 => return Err(ConfigError::new("--port 0 needs --index-ports, such as 5081-5090")),
        None => port.saturating_add(1)..=port.saturating_add(1000),
    };
    if index_ports.contains(&port) {
        return Err(ConfigError::new(format!(
            "--index-ports {}-{} contain --port {port}; each index needs a port of its own",
            index_ports.start(),
            index_ports.end()
        )));
    }
    let label = |setting: &str, text: &str| {
        let good = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if text.len() <= 180 && text.split('.').all(good) {
            Ok(text.to_owned())
        } else {
            Err(ConfigError::new(format!("{setting} is '{text}'; a lower-case DNS name such as vectors.example.com is expected")))
        }
    };
    let cell = label("--cell", args.cell.as_deref().unwrap_or("local"))?;
    if cell.contains('.') {
        return Err(ConfigError::new(format!("--cell is '{cell}'; one DNS label, without dots, is expected")));
    }
    if cell == "private" {
        return Err(ConfigError::new("--cell is 'private', the word that marks hosts of private endpoints; take another one"));
    }
    let advertise_host = args.advertise_host.clone().unwrap_or_else(|| "localhost".to_owned());
    if advertise_host.is_empty() || !advertise_host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
        return Err(ConfigError::new(format!(
            "--advertise-host is '{advertise_host}'; a host name or address without scheme or port is expected"
        )));
    }
    Ok(HostSettings {
        domain: args.domain.as_deref().map(|d| label("--domain", d)).transpose()?,
        cell,
        index_ports,
        advertise_host,
        advertise_scheme: args.advertise_scheme.unwrap_or_default(),
        private_port: None,
    })
}

fn tls(args: &ServerArgs) -> Result<Option<TlsSettings>, ConfigError> {
    match (&args.tls_cert, &args.tls_key, args.tls_self_signed.unwrap_or(false)) {
        (None, None, false) => Ok(None),
        (None, None, true) => Ok(Some(TlsSettings::SelfSigned)),
        (Some(cert), Some(key), false) => Ok(Some(TlsSettings::Files { cert: cert.clone(), key: key.clone() })),
        (Some(_), Some(_), true) => Err(ConfigError::new("--tls-self-signed and --tls-cert exclude each other")),
        (Some(_), None, _) => Err(ConfigError::new("--tls-cert needs --tls-key")),
        (None, Some(_), _) => Err(ConfigError::new("--tls-key needs --tls-cert")),
    }
}

fn limits(args: &ServerArgs) -> Result<Limits, ConfigError> {
    let size = |setting: &str, text: &Option<String>, default: usize| text.as_deref().map_or(Ok(default), |t| parse_size(setting, t));
    let seconds = |setting: &str, value: Option<u64>, default: u64| match value.unwrap_or(default) {
        0 => Err(ConfigError::new(format!("{setting} is 0; at least one second is needed"))),
        s => Ok(Duration::from_secs(s)),
    };
    let count = |setting: &str, value: Option<u32>, default: u32| match value.unwrap_or(default) {
        0 => Err(ConfigError::new(format!("{setting} is 0; at least 1 is needed"))),
        n => Ok(n),
    };
    let limits = Limits {
        body_bytes: size("--max-body", &args.max_body, 32 << 20)?,
        bodies_bytes: size("--max-bodies", &args.max_bodies, 1 << 30)?,
        connections: count("--max-connections", args.max_connections, 32_768)?,
        streams: count("--max-streams", args.max_streams, 256)?,
        header_timeout: seconds("--header-timeout", args.header_timeout, 10)?,
        body_timeout: seconds("--body-timeout", args.body_timeout, 120)?,
        idle_timeout: seconds("--idle-timeout", args.idle_timeout, 300)?,
        shutdown_timeout: seconds("--shutdown-timeout", args.shutdown_timeout, 30)?,
    };
    if limits.bodies_bytes < limits.body_bytes {
        return Err(ConfigError::new("--max-bodies is smaller than --max-body: no request of that size could ever be read"));
    }
    Ok(limits)
}

fn audit(args: &ServerArgs) -> Result<AuditSettings, ConfigError> {
    let days = args.audit_retention_days.unwrap_or(RETENTION_DAYS);
    let endpoint = |setting: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(Endpoint::parse).transpose();
        parsed.map_err(|e| ConfigError::new(format!("{setting}: {}", e.message)))
    };
    let sts = endpoint("--audit-sts-endpoint", &args.audit_sts_endpoint)?;
    let s3 = endpoint("--audit-s3-endpoint", &args.audit_s3_endpoint)?;
    Ok(AuditSettings {
        records: args.audit_records.unwrap_or_default(),
        retention_days: (days > 0).then_some(days),
        endpoints: AwsEndpoints { sts, s3, kms: None },
    })
}

fn quotas(args: &ServerArgs) -> Result<Quotas, ConfigError> {
    let QuotaArgs { projects, users, serverless_indexes, pod_indexes, backups, collections, api_keys, namespaces } =
        args.quotas.clone().unwrap_or_default();
    let mut rates = Rates::default();
    for (name, max) in args.rates.iter().flatten() {
        let limit = RateLimit::ALL.iter().find(|l| l.name() == name).ok_or_else(|| {
            let names: Vec<_> = RateLimit::ALL.iter().map(|l| l.name()).collect();
            ConfigError::new(format!("rates.{name} is no limit; there are {}", names.join(", ")))
        })?;
        rates.set(*limit, *max);
    }
    Ok(Quotas {
        preset: match args.limits.unwrap_or_default() {
            LimitsArg::None => LimitPreset::None,
            LimitsArg::Pinecone => LimitPreset::Pinecone,
        },
        projects_per_organization: projects,
        users_per_organization: users,
        serverless_indexes_per_project: serverless_indexes,
        pod_indexes_per_project: pod_indexes,
        backups_per_project: backups,
        collections_per_project: collections,
        api_keys_per_project: api_keys,
        namespaces_per_index: namespaces,
        rates,
    })
}

fn engine(cache: Option<&str>, args: EngineArgs) -> Result<EngineSettings, ConfigError> {
    let EngineArgs { memtable, log, log_files, compact_segments, jobs, query_threads, idle_close, open_namespaces, recall_one_in } = args;
    let size = |setting: &str, text: Option<&str>, default: u64| text.map_or(Ok(default), |t| parse_size(setting, t).map(|n| n as u64));
    let least = |setting: &str, value: Option<usize>, least: usize, default: usize| match value.unwrap_or(default) {
        n if n < least => Err(ConfigError::new(format!("engine.{setting} is {n}; at least {least} is needed"))),
        n => Ok(n),
    };
    let d = EngineSettings::default();
    Ok(EngineSettings {
        cache_bytes: size("--cache", cache, d.cache_bytes)?,
        memtable_bytes: size("engine.memtable", memtable.as_deref(), d.memtable_bytes)?,
        log_bytes: size("engine.log", log.as_deref(), d.log_bytes)?,
        log_files: least("log-files", log_files, 1, d.log_files)?,
        compact_segments: least("compact-segments", compact_segments, 2, d.compact_segments)?,
        jobs: least("jobs", jobs, 1, d.jobs)?,
        query_threads: query_threads.unwrap_or(d.query_threads),
        idle_close_ms: idle_close.map_or(d.idle_close_ms, |s| s.saturating_mul(1000)),
        recall_one_in: recall_one_in.unwrap_or(d.recall_one_in),
        open_namespaces: least("open-namespaces", open_namespaces, 1, d.open_namespaces)?,
        ..d
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> Folders {
        Folders { data: "/d/pinyon".into(), config: "/c/pinyon".into() }
    }

    fn serve(change: impl FnOnce(&mut ServerArgs)) -> Result<Settings, ConfigError> {
        let mut args = ServerArgs::default();
        change(&mut args);
        Settings::serve(args, &folders())
    }

    #[test]
    fn serve_has_production_defaults() {
        let s = serve(|_| ()).unwrap();
        assert_eq!((s.listen.port, s.hosts.index_ports), (5080, 5081..=6080));
        assert_eq!(s.data, DataPlace::Dir("/d/pinyon".into()));
        assert_eq!(s.limits.body_bytes, 32 << 20);
        assert!(s.tls.is_none());
        assert_eq!((s.audit.records, s.audit.retention_days), (AuditRecords::Off, Some(90)));
        assert_eq!(serve(|a| a.audit_retention_days = Some(0)).unwrap().audit.retention_days, None);
        assert_eq!((s.data_key_days, serve(|a| a.data_key_days = Some(0)).unwrap().data_key_days), (Some(90), None));
    }

    #[test]
    fn dev_reads_the_variables_of_the_emulator_and_flags_win() {
        let variable = |name: &str| match name {
            "PORT" => Some("6000".to_owned()),
            "PINECONE_HOST" => Some("pinecone".to_owned()),
            _ => None,
        };
        let s = Settings::dev(ServerArgs::default(), &folders(), variable).unwrap();
        assert_eq!((s.listen.port, s.hosts.advertise_host.as_str(), *s.hosts.index_ports.start()), (6000, "pinecone", 6001));
        assert_eq!((s.data, s.root_key), (DataPlace::Temporary, RootKeyPlace::Memory));
        let s = Settings::dev(ServerArgs { port: Some(7000), ..ServerArgs::default() }, &folders(), variable).unwrap();
        assert_eq!(s.listen.port, 7000);
        assert!(Settings::dev(ServerArgs::default(), &folders(), |_| Some("x".to_owned())).is_err());
    }

    #[test]
    fn wrong_settings_are_named() {
        type Change = fn(&mut ServerArgs);
        let wrong: [(&str, Change); 12] = [
            ("--bind", |a| a.bind = Some("nowhere".into())),
            ("--index-ports", |a| a.index_ports = Some("5080-5090".into())),
            ("--domain", |a| a.domain = Some("Bad_Domain".into())),
            ("--cell", |a| a.cell = Some("a.b".into())),
            ("--cell is 'private'", |a| a.cell = Some("private".into())),
            ("--advertise-host", |a| a.advertise_host = Some("http://x".into())),
            ("--tls-key", |a| a.tls_cert = Some("c".into())),
            ("--max-body", |a| a.max_body = Some("lots".into())),
            ("--max-bodies", |a| a.max_bodies = Some("1MB".into())),
            ("--header-timeout", |a| a.header_timeout = Some(0)),
            ("--audit-s3-endpoint", |a| a.audit_s3_endpoint = Some("localhost".into())),
            ("--audit-sts-endpoint", |a| a.audit_sts_endpoint = Some("http://a/b".into())),
        ];
        for (setting, change) in wrong {
            assert!(serve(change).unwrap_err().to_string().contains(setting), "{setting}");
        }
    }

    #[test]
    fn addresses_of_both_families() {
        let a = |bind| addresses(Mode::Serve, 1, Some(bind)).unwrap();
        assert_eq!(a("127.0.0.1, [::1]").required.len(), 2);
        assert_eq!((a("localhost").required.len(), a("localhost").optional.len()), (1, 1));
        let private = |address: &str| {
            let (address, region) = (address.parse().unwrap(), "us-east-1".to_owned());
            PrivateListen { address, balancers: Vec::new(), region }
        };
        let beyond = |bind, other: Option<&str>| a(bind).beyond_this_machine(other.map(private).as_ref());
        assert!(!beyond("localhost", None) && !beyond("127.0.0.1,::1", Some("127.0.0.1:6443")));
        assert!(beyond("0.0.0.0", None) && beyond("localhost", Some("0.0.0.0:6443")) && beyond("127.0.0.1", Some("[::]:6443")));
    }

    #[test]
    fn the_file_takes_the_flags_names_and_refuses_others() {
        let file: ServerArgs = toml::from_str("port = 1\ndata-dir = '/x'\nadvertise-scheme = 'none'\nmax-body = '1MB'").unwrap();
        let merged = ServerArgs { port: Some(2), ..ServerArgs::default() }.or(file);
        assert_eq!((merged.port, merged.data_dir), (Some(2), Some("/x".into())));
        assert_eq!(merged.advertise_scheme, Some(AdvertiseScheme::None));
        assert!(toml::from_str::<ServerArgs>("prot = 1").is_err());
        let file: ServerArgs = toml::from_str("[engine]\nmemtable = '64KB'\nlog-files = 2").unwrap();
        let s = Settings::serve(file, &folders()).unwrap();
        assert_eq!((s.engine.memtable_bytes, s.engine.log_files), (64 << 10, 2));
        assert!(toml::from_str::<ServerArgs>("[engine]\nmemtabel = '64KB'").is_err());
        let file: ServerArgs = toml::from_str("limits = 'pinecone'\n[quotas]\nusers = 3\n[rates]\nnamespace-queries = 7").unwrap();
        let limits = Settings::serve(file, &folders()).unwrap().quotas;
        let mut rates = Rates::default();
        rates.set(RateLimit::NamespaceQueries, 7);
        assert_eq!((limits.preset, limits.users_per_organization, limits.rates), (LimitPreset::Pinecone, Some(3), rates));
        let file: ServerArgs = toml::from_str("[rates]\nnamespace-query = 7").unwrap();
        assert!(Settings::serve(file, &folders()).unwrap_err().to_string().contains("namespace-queries"));
    }
}
