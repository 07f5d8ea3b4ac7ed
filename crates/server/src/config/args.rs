//! What can be set on the command line, in the environment and in the settings file, and the help that explains it.
//! The three share one struct, so that each setting has one name: `--max-body`, `PINYON_MAX_BODY`, `max-body = "32MB"`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use super::{
    AuditCommand, BackupCommand, CatalogCommand, CmekCommand, DeletedCommand, KeyCommand, OperateArgs, OrgCommand, PrivateEndpointCommand,
    ProjectCommand, RoleCommand, ServiceAccountCommand, UserCommand,
};

/// A vector database that speaks Pinecone's API.
///
/// Start with `pinyon demo` to see it work, `pinyon dev` for tests and laptops, `pinyon serve` for production.
/// Programs written for Pinecone need only another host: PINECONE_CONTROLLER_HOST=http://localhost:5080
#[derive(Debug, Parser)]
#[command(name = "pinyon", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CommonArgs {
    /// Settings file (TOML). Its keys are the long flags without the dashes: port = 5080, data-dir = "/srv/pinyon"
    #[arg(long, global = true, env = "PINYON_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log: off, error, warn, info, debug, or a tracing filter such as info,pinyon_server=debug [default: info]
    #[arg(long, global = true, env = "PINYON_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Log lines for people or for machines [default: text]
    #[arg(long, global = true, env = "PINYON_LOG_FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a data directory, with API keys and roles
    Serve(Box<ServerArgs>),
    /// Serve for development and CI: any API key is accepted, data is temporary unless --data-dir is given
    ///
    /// Takes the place of Pinecone's emulator: reads the same PORT and PINECONE_HOST variables.
    Dev(Box<ServerArgs>),
    /// Start a temporary server, load a bundled data set through its API, and search it
    Demo(DemoArgs),
    /// Create, list and revoke API keys; rotate and export the root key
    #[command(subcommand)]
    Key(KeyCommand),
    /// List and rename organizations; set their plan and whether they pay
    #[command(subcommand)]
    Org(OrgCommand),
    /// Add, show, replace and delete customer-managed encryption keys
    #[command(subcommand)]
    Cmek(CmekCommand),
    /// Create, list, rename and delete projects; say from where they may be reached
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Create, list and delete private endpoints of a project
    #[command(subcommand)]
    PrivateEndpoint(PrivateEndpointCommand),
    /// Create, list and delete service accounts, and give them other secrets
    #[command(subcommand)]
    ServiceAccount(ServiceAccountCommand),
    /// List, give and take away roles
    #[command(subcommand)]
    Role(RoleCommand),
    /// Invite, list and remove users, and set their passwords
    #[command(subcommand)]
    User(UserCommand),
    /// Show, export and verify the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List, bring back and purge what was deleted; show and verify the reports of purges
    #[command(subcommand)]
    Deleted(DeletedCommand),
    /// Take, restore, verify and move backups of indexes
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Verify every stored byte and name what is damaged
    Check(OperateArgs),
    /// Repair the catalog
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// Settings of `serve` and `dev`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ServerArgs {
    /// Port of the control plane; REST and gRPC share it [default: 5080]
    #[arg(long, env = "PINYON_PORT")]
    pub(crate) port: Option<u16>,
    /// Addresses to listen on, separated by commas [default: serve 0.0.0.0, dev 127.0.0.1 and ::1]
    #[arg(long, env = "PINYON_BIND", value_name = "ADDRESSES")]
    pub(crate) bind: Option<String>,
    /// Where the data lives [default: serve ~/.local/share/pinyon, or /var/lib/pinyon for root; dev a temporary directory]
    #[arg(long, env = "PINYON_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the sealed keys of the data lie, when apart from it: a copy of the data without this folder opens nothing
    #[arg(long, env = "PINYON_KEY_DIR", value_name = "DIR")]
    pub(crate) key_dir: Option<PathBuf>,
    /// File that holds the root key; must not lie in the data directory [default: in the configuration folder of the user or system]
    #[arg(long, env = "PINYON_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,

    /// Ports for indexes, one each, when no domain is set [default: the 1000 after --port]
    #[arg(long, env = "PINYON_INDEX_PORTS", value_name = "FIRST-LAST", help_heading = "Index hosts")]
    pub(crate) index_ports: Option<String>,
    /// Serve indexes under names of this domain, on --port: INDEX-PROJECT.svc.CELL.DOMAIN
    #[arg(long, env = "PINYON_DOMAIN", help_heading = "Index hosts")]
    pub(crate) domain: Option<String>,
    /// The CELL part of index names [default: local]
    #[arg(long, env = "PINYON_CELL", help_heading = "Index hosts")]
    pub(crate) cell: Option<String>,
    /// Host that indexes on ports are said to have [default: localhost]
    #[arg(long, env = "PINYON_ADVERTISE_HOST", value_name = "HOST", help_heading = "Index hosts")]
    pub(crate) advertise_host: Option<String>,
    /// Whether an index's host carries http:// when there is no TLS [default: auto]
    #[arg(long, env = "PINYON_ADVERTISE_SCHEME", value_enum, help_heading = "Index hosts")]
    pub(crate) advertise_scheme: Option<AdvertiseScheme>,

    /// Certificate chain (PEM); read again when it changes
    #[arg(long, env = "PINYON_TLS_CERT", value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, env = "PINYON_TLS_KEY", value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Make a certificate authority and a certificate; SDKs trust it through SSL_CERT_FILE
    #[arg(long, env = "PINYON_TLS_SELF_SIGNED", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL",
          conflicts_with = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_self_signed: Option<bool>,

    /// Where the balancers of private connections connect; every connection must begin with a PROXY protocol v2 header. Needs --domain
    #[arg(long, env = "PINYON_PRIVATE_LISTEN", value_name = "ADDRESS:PORT", help_heading = "Private access")]
    pub(crate) private_listen: Option<String>,
    /// The balancers' networks, separated by commas; others are refused there
    #[arg(long, env = "PINYON_PRIVATE_BALANCERS", value_name = "NETWORKS", help_heading = "Private access")]
    pub(crate) private_balancers: Option<String>,
    /// The cloud region of the balancers, as private endpoints and indexes spell it
    #[arg(long, env = "PINYON_PRIVATE_REGION", value_name = "REGION", help_heading = "Private access")]
    pub(crate) private_region: Option<String>,
    /// The port that clients dial at the balancers [default: that of --private-listen]
    #[arg(long, env = "PINYON_PRIVATE_PORT", value_name = "PORT", help_heading = "Private access")]
    pub(crate) private_port: Option<u16>,

    /// Largest request body, compressed or not; larger ones are a 413 [default: 32MB]
    #[arg(long, env = "PINYON_MAX_BODY", value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_body: Option<String>,
    /// Memory that request bodies may take together; past it requests are a 503 [default: 1GB]
    #[arg(long, env = "PINYON_MAX_BODIES", value_name = "SIZE", help_heading = "Limits")]
    pub(crate) max_bodies: Option<String>,
    /// Open connections; past it the ones idle longest are closed [default: 32768, fewer if the system allows fewer files]
    #[arg(long, env = "PINYON_MAX_CONNECTIONS", value_name = "N", help_heading = "Limits")]
    pub(crate) max_connections: Option<u32>,
    /// Requests in progress on one HTTP/2 connection [default: 256]
    #[arg(long, env = "PINYON_MAX_STREAMS", value_name = "N", help_heading = "Limits")]
    pub(crate) max_streams: Option<u32>,
    /// Time for a connection to send its (next) request's head once begun [default: 10]
    #[arg(long, env = "PINYON_HEADER_TIMEOUT", value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) header_timeout: Option<u64>,
    /// Time for a request body to arrive, and a quarter of it for each part [default: 120]
    #[arg(long, env = "PINYON_BODY_TIMEOUT", value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) body_timeout: Option<u64>,
    /// Time that a connection may stay open without a request [default: 300]
    #[arg(long, env = "PINYON_IDLE_TIMEOUT", value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) idle_timeout: Option<u64>,
    /// Time for requests in progress to end when the server is told to stop [default: 30]
    #[arg(long, env = "PINYON_SHUTDOWN_TIMEOUT", value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) shutdown_timeout: Option<u64>,
    /// Memory for caching decrypted data [default: 256MB]
    #[arg(long, env = "PINYON_CACHE", value_name = "SIZE", help_heading = "Limits")]
    pub(crate) cache: Option<String>,

    /// How long what was deleted can be brought back, before it is purged: 0s to 90d [default: 7d]
    #[arg(long, env = "PINYON_DELETION_WINDOW", value_name = "HOW LONG")]
    pub(crate) deletion_window: Option<String>,
    /// Of the bytes stored, in percent: a purge of more, and of more than 1 GiB, waits for 'pinyon deleted purge --confirm' [default: 20]
    #[arg(long, env = "PINYON_DELETION_BRAKE_PERCENT", value_name = "PERCENT")]
    pub(crate) deletion_brake_percent: Option<u8>,

    /// What of reads and writes of records is audited, beside refusals [default: off]
    #[arg(long, env = "PINYON_AUDIT_RECORDS", value_enum)]
    pub(crate) audit_records: Option<AuditRecords>,
    /// Days after which entries of the audit log may go; 0 keeps them for ever [default: 90]
    #[arg(long, env = "PINYON_AUDIT_RETENTION_DAYS", value_name = "DAYS")]
    pub(crate) audit_retention_days: Option<u32>,
    /// Days after which records are sealed anew under new keys, in the background; 0 leaves them as they are [default: 90]
    #[arg(long, env = "PINYON_DATA_KEY_DAYS", value_name = "DAYS")]
    pub(crate) data_key_days: Option<u32>,
    /// Where organizations' roles are assumed, for their audit logs, instead of AWS: http://HOST:PORT
    #[arg(long, env = "PINYON_AUDIT_STS_ENDPOINT", value_name = "URL")]
    pub(crate) audit_sts_endpoint: Option<String>,
    /// Where the buckets of their audit logs are, instead of AWS: http://HOST:PORT
    #[arg(long, env = "PINYON_AUDIT_S3_ENDPOINT", value_name = "URL")]
    pub(crate) audit_s3_endpoint: Option<String>,
    /// Seconds that an answer of a customer-managed key is good for: after a revocation what is under it is served no longer than that and 60 more; at least 60, for dev 1 [default: 300]
    #[arg(long, env = "PINYON_CMEK_CACHE_SECONDS", value_name = "SECONDS", help_heading = "Customer-managed keys")]
    pub(crate) cmek_cache_seconds: Option<u32>,
    /// Seconds since its last good answer for which what is under a key that cannot be reached is served; at most 86400 [default: 3600]
    #[arg(long, env = "PINYON_CMEK_GRACE_SECONDS", value_name = "SECONDS", help_heading = "Customer-managed keys")]
    pub(crate) cmek_grace_seconds: Option<u32>,
    /// Where the roles of customer-managed keys are assumed, instead of AWS: http://HOST:PORT
    #[arg(long, env = "PINYON_CMEK_STS_ENDPOINT", value_name = "URL", help_heading = "Customer-managed keys")]
    pub(crate) cmek_sts_endpoint: Option<String>,
    /// Where customer-managed keys answer, instead of AWS KMS: http://HOST:PORT
    #[arg(long, env = "PINYON_CMEK_KMS_ENDPOINT", value_name = "URL", help_heading = "Customer-managed keys")]
    pub(crate) cmek_kms_endpoint: Option<String>,
    /// Whether roles that read records, and write none, may embed and rerank too: Pinecone's pages disagree [default: false]
    #[arg(long, env = "PINYON_VIEWERS_INFER", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) viewers_infer: Option<bool>,
    /// Whether the audit log tells which API keys were used and from where, once an hour each [default: true]
    #[arg(long, env = "PINYON_AUDIT_KEY_USE", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(crate) audit_key_use: Option<bool>,

    /// Whose numbers limit what an organization may have and do: those that Pinecone publishes for its plan, or nobody's [default: none]
    #[arg(long, env = "PINYON_LIMITS", value_enum, help_heading = "Limits")]
    pub(crate) limits: Option<LimitsArg>,
    /// Mail server that takes invites: smtps://[USER@]HOST[:PORT], smtp://… (STARTTLS) or smtp+plain://… (not encrypted)
    /// [default: none; whoever invites is told once what accepts the invite]
    #[arg(long, env = "PINYON_SMTP_URL", value_name = "URL", help_heading = "Mail")]
    pub(crate) smtp_url: Option<String>,
    /// File that holds the mail server's password [default: the variable PINYON_SMTP_PASSWORD]
    #[arg(long, env = "PINYON_SMTP_PASSWORD_FILE", value_name = "FILE", help_heading = "Mail")]
    pub(crate) smtp_password_file: Option<PathBuf>,
    /// Address that mail is from
    #[arg(long, env = "PINYON_MAIL_FROM", value_name = "ADDRESS", help_heading = "Mail")]
    pub(crate) mail_from: Option<String>,
    /// Page that invites lead to, with #token=… [default: the mail holds the token itself]
    #[arg(long, env = "PINYON_INVITE_URL", value_name = "URL", help_heading = "Mail")]
    pub(crate) invite_url: Option<String>,

    /// Sizes and times of the engine: in the settings file alone, because nobody should need them.
    #[arg(skip)]
    pub(crate) engine: Option<EngineArgs>,
    /// How many objects there may be, on every plan: in the settings file alone.
    #[arg(skip)]
    pub(crate) quotas: Option<QuotaArgs>,
    /// How much may be done in a second or a month, on every plan, by the names of the limits: in the settings file alone.
    #[arg(skip)]
    pub(crate) rates: Option<BTreeMap<String, u64>>,
    /// As the flag of this name, in the settings file.
    #[arg(skip)]
    pub(crate) log: Option<String>,
    /// As the flag of this name, in the settings file.
    #[arg(skip)]
    pub(crate) log_format: Option<LogFormat>,
}

/// What of the data plane is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditRecords {
    /// Nothing but refusals.
    #[default]
    Off,
    /// Every write, before its answer.
    Writes,
    /// Every write and every read, before its answer.
    All,
}

/// Whose numbers limit what an organization may have and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LimitsArg {
    /// Nobody's: objects are bounded by Pinecone's largest plan, and nothing is limited in time.
    #[default]
    None,
    /// What Pinecone publishes for the organization's plan.
    Pinecone,
}

/// The `[engine]` table of the settings file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct EngineArgs {
    /// Bytes in memory after which a namespace's records are stored as a segment.
    pub(crate) memtable: Option<String>,
    /// Bytes of log after which they are.
    pub(crate) log: Option<String>,
    /// Log files after which they are.
    pub(crate) log_files: Option<usize>,
    /// Segments of about one size after which they are merged.
    pub(crate) compact_segments: Option<usize>,
    /// Flushes and compactions at once.
    pub(crate) jobs: Option<usize>,
    /// Threads that compute queries.
    pub(crate) query_threads: Option<usize>,
    /// Seconds without a request after which a namespace is closed.
    pub(crate) idle_close: Option<u64>,
    /// Namespaces kept open.
    pub(crate) open_namespaces: Option<usize>,
    /// One in so many dense queries is replayed exactly in idle time, to know the recall; 0: none.
    pub(crate) recall_one_in: Option<u32>,
}

/// The `[quotas]` table of the settings file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct QuotaArgs {
    /// Projects.
    pub(crate) projects: Option<u32>,
    /// Users.
    pub(crate) users: Option<u32>,
    /// Serverless and BYOC indexes of a project.
    pub(crate) serverless_indexes: Option<u32>,
    /// Pod indexes of a project.
    pub(crate) pod_indexes: Option<u32>,
    /// Backups of a project.
    pub(crate) backups: Option<u32>,
    /// Collections of a project.
    pub(crate) collections: Option<u32>,
    /// API keys of a project.
    pub(crate) api_keys: Option<u32>,
    /// Namespaces of an index.
    pub(crate) namespaces: Option<u32>,
}

/// How hosts of indexes are spelled without TLS. Over TLS they never carry a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AdvertiseScheme {
    /// `serve`: with http://. `dev`: with it for API dates after 2025-10, bare for older ones, as their SDKs expect.
    #[default]
    Auto,
    /// Always with http://.
    Http,
    /// Never.
    None,
}

/// Settings of `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Keep serving after the searches, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Port of the control plane [default: 5080, or any free one]
    #[arg(long, env = "PINYON_PORT")]
    pub(crate) port: Option<u16>,
}

impl ServerArgs {
    /// These settings, and where they say nothing, the file's. Every field is named, so that a new one cannot be forgotten.
    pub(crate) fn or(self, file: ServerArgs) -> ServerArgs {
        let ServerArgs {
            port,
            bind,
            data_dir,
            key_dir,
            root_key_file,
            index_ports,
            domain,
            cell,
            advertise_host,
            advertise_scheme,
            tls_cert,
            tls_key,
            tls_self_signed,
            private_listen,
            private_balancers,
            private_region,
            private_port,
            max_body,
            max_bodies,
            max_connections,
            max_streams,
            header_timeout,
            body_timeout,
            idle_timeout,
            shutdown_timeout,
            cache,
            deletion_window,
            deletion_brake_percent,
            audit_records,
            audit_retention_days,
            data_key_days,
            audit_sts_endpoint,
            audit_s3_endpoint,
            cmek_cache_seconds,
            cmek_grace_seconds,
            cmek_sts_endpoint,
            cmek_kms_endpoint,
            viewers_infer,
            audit_key_use,
            limits,
            smtp_url,
            smtp_password_file,
            mail_from,
            invite_url,
            engine,
            quotas,
            rates,
            log,
            log_format,
        } = self;
        ServerArgs {
            port: port.or(file.port),
            bind: bind.or(file.bind),
            data_dir: data_dir.or(file.data_dir),
            key_dir: key_dir.or(file.key_dir),
            root_key_file: root_key_file.or(file.root_key_file),
            index_ports: index_ports.or(file.index_ports),
            domain: domain.or(file.domain),
            cell: cell.or(file.cell),
            advertise_host: advertise_host.or(file.advertise_host),
            advertise_scheme: advertise_scheme.or(file.advertise_scheme),
            tls_cert: tls_cert.or(file.tls_cert),
            tls_key: tls_key.or(file.tls_key),
            tls_self_signed: tls_self_signed.or(file.tls_self_signed),
            private_listen: private_listen.or(file.private_listen),
            private_balancers: private_balancers.or(file.private_balancers),
            private_region: private_region.or(file.private_region),
            private_port: private_port.or(file.private_port),
            max_body: max_body.or(file.max_body),
            max_bodies: max_bodies.or(file.max_bodies),
            max_connections: max_connections.or(file.max_connections),
            max_streams: max_streams.or(file.max_streams),
            header_timeout: header_timeout.or(file.header_timeout),
            body_timeout: body_timeout.or(file.body_timeout),
            idle_timeout: idle_timeout.or(file.idle_timeout),
            shutdown_timeout: shutdown_timeout.or(file.shutdown_timeout),
            cache: cache.or(file.cache),
            deletion_window: deletion_window.or(file.deletion_window),
            deletion_brake_percent: deletion_brake_percent.or(file.deletion_brake_percent),
            audit_records: audit_records.or(file.audit_records),
            audit_retention_days: audit_retention_days.or(file.audit_retention_days),
            data_key_days: data_key_days.or(file.data_key_days),
            audit_sts_endpoint: audit_sts_endpoint.or(file.audit_sts_endpoint),
            audit_s3_endpoint: audit_s3_endpoint.or(file.audit_s3_endpoint),
            cmek_cache_seconds: cmek_cache_seconds.or(file.cmek_cache_seconds),
            cmek_grace_seconds: cmek_grace_seconds.or(file.cmek_grace_seconds),
            cmek_sts_endpoint: cmek_sts_endpoint.or(file.cmek_sts_endpoint),
            cmek_kms_endpoint: cmek_kms_endpoint.or(file.cmek_kms_endpoint),
            viewers_infer: viewers_infer.or(file.viewers_infer),
            audit_key_use: audit_key_use.or(file.audit_key_use),
            limits: limits.or(file.limits),
            smtp_url: smtp_url.or(file.smtp_url),
            smtp_password_file: smtp_password_file.or(file.smtp_password_file),
            mail_from: mail_from.or(file.mail_from),
            invite_url: invite_url.or(file.invite_url),
            engine: engine.or(file.engine),
            quotas: quotas.or(file.quotas),
            rates: rates.or(file.rates),
            log: log.or(file.log),
            log_format: log_format.or(file.log_format),
        }
    }
}
