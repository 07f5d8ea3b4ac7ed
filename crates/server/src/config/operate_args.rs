//! The commands on a data directory, which its owner gives: through a running server, or without one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::BoundsArgs;

/// Where the data and its root key are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataArgs {
    /// Where the data lives; a running server is found there [default: ~/.local/share/pinyon, or /var/lib/pinyon for root]
    #[arg(long, env = "PINYON_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the sealed keys of the data lie, when apart from it and no server is running
    #[arg(long, env = "PINYON_KEY_DIR", value_name = "DIR")]
    pub(crate) key_dir: Option<PathBuf>,
    /// File that holds the root key, when no server is running [default: as serve]
    #[arg(long, env = "PINYON_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,
}

/// What every such command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OperateArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print one JSON object, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// The organization to work in, by name or id [default: the first one]
    #[arg(long, value_name = "ORGANIZATION", env = "PINYON_ORG")]
    pub(crate) org: Option<String>,
}

/// `pinyon key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create an API key and print it, once
    Create {
        /// What to call it
        #[arg(long, default_value = "default")]
        name: String,
        /// What it may do, repeatable: ProjectEditor, ProjectViewer, ControlPlaneEditor, ControlPlaneViewer, DataPlaneEditor, DataPlaneViewer
        #[arg(long = "role", value_name = "ROLE", default_values_t = [String::from("ProjectEditor")])]
        roles: Vec<String>,
        /// The project it belongs to, by name or id [default: the first one]
        #[arg(long)]
        project: Option<String>,
        /// Read the key's secret from standard input, so that a program keeps the key it has
        #[arg(long)]
        value_stdin: bool,
        #[command(flatten)]
        bounds: BoundsArgs,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Change an API key's name, roles, expiry or restrictions; what is not named stays
    Update {
        /// The key's id, as list shows it; or its secret, or how that begins
        id: String,
        /// What to call it
        #[arg(long)]
        name: Option<String>,
        /// All that it may do, repeatable
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        #[command(flatten)]
        bounds: BoundsArgs,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give an API key a new secret and print it, once
    Rotate {
        /// The key's id, as list shows it; or its secret, or how that begins
        id: String,
        /// For how long its secret until now goes on working, at most a day: 1h, 30m, 0s
        #[arg(long, default_value = "0s", value_name = "HOW LONG")]
        overlap: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// List API keys, without their secrets
    List {
        /// Only those of this project, by name or id
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Revoke an API key: it is refused from then on
    Revoke {
        /// The key's id, as list shows it; or its secret, or how that begins
        id: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Seal the data's keys with a new root key
    RotateRoot {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Print the root key, to be kept somewhere safe: losing it loses the data
    ExportRoot {
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon org …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// List organizations
    List {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Create an organization
    Create {
        /// What to call it
        name: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give an organization another name
    Rename {
        /// Which, by name or id
        organization: String,
        /// What to call it
        name: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Put an organization on a plan, which says what its limits are where the settings ask for limits
    SetPlan {
        /// Which, by name or id
        organization: String,
        /// Free, Standard, Enterprise or Dedicated
        plan: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Delete an organization with everything in it, projects and indexes too
    Deactivate {
        /// Which, by name or id
        organization: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Say whether an organization pays; one that does not is refused some calls with 402
    SetPaymentStatus {
        /// Which, by name or id
        organization: String,
        /// Active, PaymentPending, PastDue, Restricted, Suspended or Deactivated
        payment_status: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// Where a customer's key is.
#[derive(Debug, Clone, Args)]
pub(crate) struct CustomerKeyArgs {
    /// The key: arn:aws:kms:REGION:ACCOUNT:key/ID
    #[arg(long, value_name = "ARN")]
    pub(crate) key_arn: String,
    /// The role to assume, which may encrypt and decrypt with it: arn:aws:iam::ACCOUNT:role/NAME
    #[arg(long, value_name = "ARN")]
    pub(crate) role_arn: String,
    /// What the role's trust policy asks for
    #[arg(long, value_name = "ID")]
    pub(crate) external_id: Option<String>,
}

/// `pinyon cmek …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CmekCommand {
    /// Add a key to a project, after it has sealed something and opened it again
    Add {
        /// What to call it
        name: String,
        #[command(flatten)]
        key: CustomerKeyArgs,
        /// The project, by name or id [default: the first one]
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// List keys, and how they stand
    List {
        /// Of this project only, by name or id
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Show how a key stands: what it answered last, what is under it, how far a replacement is
    Describe {
        /// Which, by id or name
        cmek: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Put another key in its place; what is under it is wrapped anew in the background, while it is read and written
    Replace {
        /// Which, by id or name
        cmek: String,
        #[command(flatten)]
        key: CustomerKeyArgs,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Delete a key that nothing is under
    Delete {
        /// Which, by id or name
        cmek: String,
        /// Its name, once more
        #[arg(long)]
        name: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon project …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Create a project
    Create {
        /// What to call it
        name: String,
        /// Take no index that is not under a customer-managed key; cannot be taken back
        #[arg(long)]
        force_encryption_with_cmek: bool,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// List projects
    List {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give a project another name
    Rename {
        /// Which, by name or id
        project: String,
        /// What to call it
        name: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Show from where a project may be reached, or say so; what is not named stays
    Access {
        /// Which, by name or id [default: the first one]
        project: Option<String>,
        /// Whether the data plane answers private endpoints and the listed networks alone
        #[arg(long, value_name = "BOOL")]
        private_only: Option<bool>,
        /// Whether the control plane does too
        #[arg(long, value_name = "BOOL")]
        private_control_plane: Option<bool>,
        /// All networks that a private project answers beside its private endpoints, repeatable: 10.0.0.0/8, 2001:db8::/32
        #[arg(long = "network", value_name = "CIDR")]
        networks: Vec<String>,
        /// No network beside the private endpoints
        #[arg(long, conflicts_with = "networks")]
        no_network: bool,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Delete a project with everything in it, indexes too
    Deactivate {
        /// Which, by name or id
        project: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Delete a project without indexes, and its API keys with it
    Delete {
        /// Which, by name or id
        project: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon private-endpoint …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PrivateEndpointCommand {
    /// Let a private endpoint reach the indexes of its region
    Create {
        /// The cloud's id of it: vpce-… of AWS, the link id of Azure
        id: String,
        /// aws or azure
        #[arg(long, default_value = "aws")]
        provider: String,
        /// The region it is in
        #[arg(long)]
        region: String,
        /// The project it belongs to, by name or id [default: the first one]
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// List private endpoints
    List {
        /// The project, by name or id [default: the first one]
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Take a private endpoint away: calls by it are refused from then on
    Delete {
        /// The cloud's id of it, as list shows it
        id: String,
        /// The project it belongs to, by name or id [default: the first one]
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon service-account …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAccountCommand {
    /// Create a service account and print its client secret, once
    ///
    /// With its client id and secret a program gets tokens at /oauth/token, for the admin API and all else its roles allow.
    Create {
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may do, repeatable: OrgOwner, OrgManager, OrgMember, OrgBillingAdmin; with --project also the roles in a project
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The project of its roles in a project, by name or id
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// List service accounts, without their secrets
    List {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give a service account another client secret; the old one and its tokens are refused from then on
    Rotate {
        /// The account's id, as list shows it
        id: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Delete a service account: its tokens are refused from then on
    Delete {
        /// The account's id, as list shows it
        id: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon role …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List who has which roles
    List {
        /// Only those of this principal: user:ID, service_account:ID, api_key:ID or invite:ID
        #[arg(long, value_name = "TYPE:ID")]
        principal: Option<String>,
        /// Only those in this project, by name or id
        #[arg(long)]
        project: Option<String>,
        /// Only this role
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Tell what somebody may do and by which roles; with an operation, whether that is allowed and why
    Why {
        /// Who: user:ID, service_account:ID, api_key:ID or invite:ID
        #[arg(value_name = "TYPE:ID")]
        principal: String,
        /// In which project, by name or id; without one: in the organization
        #[arg(long)]
        project: Option<String>,
        /// An operation, as crates/wire/OPERATIONS.md calls it: Query, Upsert, CreateIndex, …
        #[arg(long)]
        operation: Option<String>,
        /// The index that it is done to
        #[arg(long, requires = "operation")]
        index: Option<String>,
        /// The namespace of the index
        #[arg(long, requires = "index")]
        namespace: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give a role to somebody
    Grant {
        /// Which: OrgOwner, OrgManager, …; in a project ProjectOwner, ProjectManager, …
        role: String,
        /// To whom: user:ID, service_account:ID, api_key:ID or invite:ID
        #[arg(long, value_name = "TYPE:ID")]
        to: String,
        /// In which project, by name or id, when it is a role in a project
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Take a role away again
    Revoke {
        /// The id of the role binding, as list shows it
        id: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List users
    List {
        /// Only the one with this e-mail address
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Ask somebody to come, by mail where the server sends mail, else by a token that is printed once
    Invite {
        /// The e-mail address
        email: String,
        /// What it may do, repeatable: OrgOwner, OrgManager, OrgMember or OrgBillingAdmin; with --project also the roles in a project
        #[arg(long = "role", value_name = "ROLE", default_values_t = [String::from("OrgMember")])]
        roles: Vec<String>,
        /// The project of its roles in a project, by name or id
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Give a user a password, asked for at the terminal or read as a line of standard input; its sessions end
    SetPassword {
        /// Which, by e-mail address or id
        user: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Remove a user from the organization, with every role
    Delete {
        /// Which, by e-mail address or id
        user: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the last entries of the audit log
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,
        /// Go on with those to come, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Print all entries, oldest first, a line of JSON each
    Export {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Hold every entry against the one before it; status 2 if the log is not what was written
    Verify {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Deliver an organization's audit events to a bucket of its own
    #[command(subcommand)]
    Sink(AuditSinkCommand),
}

/// `pinyon audit sink …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditSinkCommand {
    /// Show where events go, how many are pending and what went wrong last
    Show {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Set delivery up, or change it, after assuming the role and writing the object audit-log-access-test
    Set {
        /// The role to assume: arn:aws:iam::ACCOUNT:role/NAME
        #[arg(long, value_name = "ARN")]
        role_arn: String,
        /// What the role's trust policy asks for
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// The bucket, and a folder in it: NAME or NAME/SUB/DIRECTORY
        #[arg(long, value_name = "BUCKET")]
        bucket: String,
        /// The bucket's region [default: us-east-1]
        #[arg(long)]
        region: Option<String>,
        /// Seconds between deliveries, 10 to 86400 [default: 1800]
        #[arg(long, value_name = "SECONDS")]
        interval: Option<u32>,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Go on with deliveries where they stopped
    Enable {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Stop deliveries, after what can be delivered now
    Disable {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Remove the sink, after what can be delivered now
    Remove {
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon deleted …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeletedCommand {
    /// List what was deleted and can be brought back, and until when
    List {
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Bring something back, as it was
    Restore {
        /// Its id, as list shows it
        id: String,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Purge now whatever is due; nothing else can bring it back then
    Purge {
        /// Even if it is so much that it waits
        #[arg(long)]
        confirm: bool,
        #[command(flatten)]
        operate: OperateArgs,
    },
    /// Print the signed report of a purge; without an id, list all
    Report {
        /// The id that it had in the list of what was deleted
        id: Option<String>,
        /// Verify this file instead: status 2 if this installation did not sign it
        #[arg(long, value_name = "FILE", conflicts_with = "id")]
        verify: Option<PathBuf>,
        /// Print the key that reports are verified by instead: Ed25519, base64
        #[arg(long, conflicts_with_all = ["id", "verify"])]
        public_key: bool,
        #[command(flatten)]
        operate: OperateArgs,
    },
}

/// `pinyon catalog …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Make the catalog anew from the data, after its file was lost; stop the server first
    Rebuild {
        #[command(flatten)]
        data: DataArgs,
    },
}
