//! A noun and its row. What is not needed to find a row is sealed; the seal also covers what is not sealed (ids, owner, keyed
//! hashes, port) and the table's name, so that no column can be changed and no row moved.

use std::sync::Arc;

use pinyon_model::{
    ApiKey, ApiKeyId, AuditSink, AuditSinkSettings, AwsKmsKey, AwsRegion, BucketPath, Cmek, CmekId, CustomerKey, DeliveryInterval, Email,
    Error, ErrorCode, ExternalId, IndexId, IndexName, Invite, InviteId, KmsKeyArn, NamespaceName, Network, Organization, OrganizationId,
    PaymentStatus, Plan, PreviousSecret, PrincipalRef, PrincipalType, PrivateEndpoint, PrivateEndpointId, PrivateLink, Project,
    ProjectAccess, ProjectId, ResourceRef, Restrictions, Result, Role, RoleArn, RoleBinding, RoleBindingId, ServiceAccount,
    ServiceAccountId, User, UserId,
};
use pinyon_storage::{DataKey, KeyId};

use crate::{
    codec::{Reader, Writer},
    index::StoredIndex,
    password::PasswordHash,
};

/// The format of what is sealed in a row. Rows of formats 1 to 3 are read too: they had less to say.
pub(super) const FORMAT: u8 = 4;
const FORMAT_OLDEST: u8 = 1;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "catalog.db";

/// The tables that hold nouns. A table comes after those that its rows refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Organizations,
    Projects,
    ApiKeys,
    Indexes,
    ServiceAccounts,
    Users,
    Invites,
    RoleBindings,
    AuditSinks,
    PrivateEndpoints,
    Cmeks,
}

impl Table {
    pub(super) const ALL: [Table; 11] = [
        Table::Organizations,
        Table::Projects,
        Table::ApiKeys,
        Table::Indexes,
        Table::ServiceAccounts,
        Table::Users,
        Table::Invites,
        Table::RoleBindings,
        Table::AuditSinks,
        Table::PrivateEndpoints,
        Table::Cmeks,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Table::Organizations => "organizations",
            Table::Projects => "projects",
            Table::ApiKeys => "api_keys",
            Table::Indexes => "indexes",
            Table::ServiceAccounts => "service_accounts",
            Table::Users => "users",
            Table::Invites => "invites",
            Table::RoleBindings => "role_bindings",
            Table::AuditSinks => "audit_sinks",
            Table::PrivateEndpoints => "private_endpoints",
            Table::Cmeks => "cmeks",
        }
    }
}

/// One row as it lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) id: [u8; 16],
    /// The project of a key, an index or a customer's key, the organization of what else belongs to one.
    pub(super) owner: Option<[u8; 16]>,
    /// The keyed hash of a secret, of an index's name or of a user's address.
    pub(super) lookup: Option<[u8; 32]>,
    pub(super) port: Option<u16>,
    pub(super) sealed: Vec<u8>,
}

/// What a row stands for.
#[derive(Debug, Clone)]
pub(crate) enum Noun {
    Organization(Organization),
    Project(Project),
    ApiKey(StoredApiKey),
    Index(StoredIndex),
    ServiceAccount(StoredServiceAccount),
    User(StoredUser),
    Invite(StoredInvite),
    RoleBinding(RoleBinding),
    AuditSink(StoredAuditSink),
    PrivateEndpoint(PrivateEndpoint),
    Cmek(StoredCmek),
}

/// Which noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NounId {
    Organization(OrganizationId),
    Project(ProjectId),
    ApiKey(ApiKeyId),
    Index(IndexId),
    ServiceAccount(ServiceAccountId),
    User(UserId),
    Invite(InviteId),
    RoleBinding(RoleBindingId),
    /// By the organization whose it is.
    AuditSink(OrganizationId),
    PrivateEndpoint(PrivateEndpointId),
    Cmek(CmekId),
}

impl NounId {
    /// Where its row is.
    pub(super) fn place(&self) -> (Table, [u8; 16]) {
        match self {
            NounId::Organization(id) => (Table::Organizations, *id.as_bytes()),
            NounId::Project(id) => (Table::Projects, *id.as_bytes()),
            NounId::ApiKey(id) => (Table::ApiKeys, *id.as_bytes()),
            NounId::Index(id) => (Table::Indexes, *id.as_bytes()),
            NounId::ServiceAccount(id) => (Table::ServiceAccounts, *id.as_bytes()),
            NounId::User(id) => (Table::Users, *id.as_bytes()),
            NounId::Invite(id) => (Table::Invites, *id.as_bytes()),
            NounId::RoleBinding(id) => (Table::RoleBindings, *id.as_bytes()),
            NounId::AuditSink(id) => (Table::AuditSinks, *id.as_bytes()),
            NounId::PrivateEndpoint(id) => (Table::PrivateEndpoints, *id.as_bytes()),
            NounId::Cmek(id) => (Table::Cmeks, *id.as_bytes()),
        }
    }
}

/// An API key with the keyed hashes of its secrets.
#[derive(Debug, Clone)]
pub(crate) struct StoredApiKey {
    /// The key; its roles are those of its bindings.
    pub(crate) info: ApiKey,
    pub(crate) secret_hash: [u8; 32],
    /// Of the secret before the last rotation: there if and only if the key speaks of one.
    pub(crate) previous_hash: Option<[u8; 32]>,
    /// The roles that a row of format 1 holds, until the first start has made bindings of them.
    pub(crate) roles_in_row: Vec<Role>,
}

/// A service account with the keyed hash of its secret.
#[derive(Debug, Clone)]
pub(crate) struct StoredServiceAccount {
    pub(crate) info: ServiceAccount,
    pub(crate) secret_hash: [u8; 32],
    /// How many secrets it had before this one: a token of an earlier one is none any more.
    pub(crate) secret_number: u32,
}

/// A user with what it signs in by.
#[derive(Debug, Clone)]
pub(crate) struct StoredUser {
    pub(crate) info: User,
    /// None for a user who cannot sign in.
    pub(crate) password: Option<PasswordHash>,
    /// How often all its sessions were ended at once: a token of an earlier one is none any more.
    pub(crate) session_number: u32,
}

/// An invite with the keyed hash of the token that accepts it.
#[derive(Debug, Clone)]
pub(crate) struct StoredInvite {
    pub(crate) info: Invite,
    pub(crate) token_hash: [u8; 32],
}

/// An audit sink, and after which entry of the log its deliveries begin.
#[derive(Debug, Clone)]
pub(crate) struct StoredAuditSink {
    pub(crate) info: AuditSink,
    pub(crate) after: u64,
}

/// A customer's key, and which of the key store's project keys it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCmek {
    pub(crate) info: Cmek,
    pub(crate) project_key: KeyId,
    /// While a replacement is under way: the key before, and its project key.
    pub(crate) replaced: Option<(CustomerKey, KeyId)>,
}

/// Seals rows, opens them and hashes what they are found by.
pub(super) struct RowSealer(pub(super) Arc<DataKey>);

impl RowSealer {
    pub(super) fn name_hash(&self, project: ProjectId, name: &str) -> [u8; 32] {
        let mut w = Writer::default();
        w.raw(project.as_bytes()).text(name);
        self.0.mac("catalog index name", &w.finish())
    }

    fn email_hash(&self, organization: OrganizationId, email: &Email) -> [u8; 32] {
        let mut w = Writer::default();
        w.raw(organization.as_bytes()).text(email.as_str());
        self.0.mac("catalog user email", &w.finish())
    }

    /// The row's part of the digest.
    pub(super) fn mac(&self, row: &Row) -> [u8; 32] {
        let mut bytes = row.context();
        bytes.extend_from_slice(&row.sealed);
        self.0.mac("catalog row", &bytes)
    }

    pub(super) fn seal(&self, noun: &Noun) -> Row {
        let mut w = Writer::default();
        w.u8(FORMAT);
        let row = |table, id: &[u8; 16], owner: Option<&[u8; 16]>, lookup, port| Row {
            table,
            id: *id,
            owner: owner.copied(),
            lookup,
            port,
            sealed: Vec::new(),
        };
        let mut row = match noun {
            Noun::Organization(o) => {
                w.text(&o.name).u64(o.created_at_ms).text(o.plan.as_str()).text(o.payment_status.as_str());
                row(Table::Organizations, o.id.as_bytes(), None, None, None)
            }
            Noun::Project(p) => {
                w.text(&p.name).u64(p.created_at_ms).u32(p.max_pods).u8(u8::from(p.force_encryption_with_cmek));
                write_access(&p.access, &mut w);
                row(Table::Projects, p.id.as_bytes(), Some(p.organization_id.as_bytes()), None, None)
            }
            Noun::ApiKey(StoredApiKey { info, secret_hash, previous_hash, .. }) => {
                w.text(&info.name).text(&info.hint).u64(info.created_at_ms);
                write_key_bounds(info, *previous_hash, &mut w);
                row(Table::ApiKeys, info.id.as_bytes(), Some(info.project_id.as_bytes()), Some(*secret_hash), None)
            }
            Noun::Index(i) => {
                i.write(&mut w);
                let hash = self.name_hash(i.index.project_id, i.index.name.as_str());
                row(Table::Indexes, i.index.id.as_bytes(), Some(i.index.project_id.as_bytes()), Some(hash), i.index.port)
            }
            Noun::ServiceAccount(StoredServiceAccount { info, secret_hash, secret_number }) => {
                w.text(&info.name).u64(info.created_at_ms).u64(info.updated_at_ms).u32(*secret_number);
                row(Table::ServiceAccounts, info.id.as_bytes(), Some(info.organization_id.as_bytes()), Some(*secret_hash), None)
            }
            Noun::User(StoredUser { info: u, password, session_number }) => {
                w.text(u.email.as_str()).option(u.name.as_deref(), |w, n| {
                    w.text(n);
                });
                w.u64(u.created_at_ms).option(password.as_ref(), |w, p| {
                    w.text(p.as_str());
                });
                w.u32(*session_number);
                let hash = self.email_hash(u.organization_id, &u.email);
                row(Table::Users, u.id.as_bytes(), Some(u.organization_id.as_bytes()), Some(hash), None)
            }
            Noun::Invite(StoredInvite { info, token_hash }) => {
                w.text(info.email.as_str()).u64(info.created_at_ms).u64(info.expires_at_ms).option(info.processed_at_ms, |w, t| {
                    w.u64(t);
                });
                row(Table::Invites, info.id.as_bytes(), Some(info.organization_id.as_bytes()), Some(*token_hash), None)
            }
            Noun::RoleBinding(b) => {
                w.text(b.principal.principal_type().as_str()).raw(b.principal.as_bytes());
                match &b.resource {
                    ResourceRef::Organization(id) => w.u8(0).raw(id.as_bytes()),
                    ResourceRef::Project(id) => w.u8(1).raw(id.as_bytes()),
                };
                w.text(b.role.as_str()).u64(b.created_at_ms);
                row(Table::RoleBindings, b.id.as_bytes(), Some(b.organization_id.as_bytes()), None, None)
            }
            Noun::AuditSink(s) => {
                write_sink(s, &mut w);
                let id = s.info.organization_id;
                row(Table::AuditSinks, id.as_bytes(), Some(id.as_bytes()), None, None)
            }
            Noun::PrivateEndpoint(e) => {
                w.text(e.link.provider()).text(&e.link.to_string()).text(&e.region).u64(e.created_at_ms);
                row(Table::PrivateEndpoints, e.id.as_bytes(), Some(e.project_id.as_bytes()), None, None)
            }
            Noun::Cmek(s) => {
                write_cmek(s, &mut w);
                row(Table::Cmeks, s.info.id.as_bytes(), Some(s.info.project_id.as_bytes()), None, None)
            }
        };
        row.sealed = self.0.seal(&row.context(), &w.finish());
        row
    }

    pub(super) fn open(&self, row: &Row) -> Result<Noun> {
        let changed = || damaged(format!("a row of its table {} was changed", row.table.name()));
        let plain = self.0.open(&row.context(), &row.sealed).map_err(|_| changed())?;
        let mut r = Reader::new("A row of catalog.db", &plain);
        let format = r.u8()?;
        if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
            return Err(r.malformed());
        }
        let noun = self.read(row, format, &mut r)?.ok_or_else(changed)?;
        r.end()?;
        Ok(noun)
    }

    /// What a row's plain text says; none when it contradicts the row's columns.
    fn read(&self, row: &Row, format: u8, r: &mut Reader<'_>) -> Result<Option<Noun>> {
        let is_new = format >= 2;
        let owner = row.owner.unwrap_or_default();
        let organization_id = OrganizationId::from_bytes(owner);
        let lookup = row.lookup.unwrap_or_default();
        let noun = match row.table {
            Table::Organizations => Noun::Organization(Organization {
                id: OrganizationId::from_bytes(row.id),
                name: r.text()?,
                created_at_ms: r.u64()?,
                plan: if is_new { Plan::parse(&r.text()?)? } else { Plan::Enterprise },
                payment_status: if is_new { PaymentStatus::parse(&r.text()?)? } else { PaymentStatus::Active },
            }),
            Table::Projects => Noun::Project(Project {
                id: ProjectId::from_bytes(row.id),
                organization_id,
                name: r.text()?,
                created_at_ms: r.u64()?,
                max_pods: if is_new { r.u32()? } else { 0 },
                force_encryption_with_cmek: is_new && r.u8()? == 1,
                access: if format >= 4 { read_access(r)? } else { ProjectAccess::default() },
            }),
            Table::ApiKeys => Noun::ApiKey(read_key(ApiKeyId::from_bytes(row.id), ProjectId::from_bytes(owner), lookup, format, r)?),
            Table::Indexes => {
                let stored = StoredIndex::read(r, format >= 4)?;
                let same = stored.index.id.as_bytes() == &row.id
                    && *stored.index.project_id.as_bytes() == owner
                    && stored.index.port == row.port
                    && self.name_hash(stored.index.project_id, stored.index.name.as_str()) == lookup;
                if !same {
                    return Ok(None);
                }
                Noun::Index(stored)
            }
            Table::ServiceAccounts => Noun::ServiceAccount(StoredServiceAccount {
                info: ServiceAccount {
                    id: ServiceAccountId::from_bytes(row.id),
                    organization_id,
                    name: r.text()?,
                    created_at_ms: r.u64()?,
                    updated_at_ms: r.u64()?,
                },
                secret_hash: lookup,
                secret_number: r.u32()?,
            }),
            Table::Users => {
                let (email, name) = (Email::new(&r.text()?)?, r.option(Reader::text)?);
                if self.email_hash(organization_id, &email) != lookup {
                    return Ok(None);
                }
                let info = User { id: UserId::from_bytes(row.id), organization_id, email, name, created_at_ms: r.u64()? };
                let (password, session_number) = if format >= 3 { (r.option(read_password)?, r.u32()?) } else { (None, 0) };
                Noun::User(StoredUser { info, password, session_number })
            }
            Table::Invites => Noun::Invite(StoredInvite {
                info: Invite {
                    id: InviteId::from_bytes(row.id),
                    organization_id,
                    email: Email::new(&r.text()?)?,
                    created_at_ms: r.u64()?,
                    expires_at_ms: r.u64()?,
                    processed_at_ms: r.option(Reader::u64)?,
                },
                token_hash: lookup,
            }),
            Table::RoleBindings => Noun::RoleBinding(read_binding(RoleBindingId::from_bytes(row.id), organization_id, r)?),
            Table::AuditSinks if row.id != owner => return Ok(None),
            Table::AuditSinks => Noun::AuditSink(read_sink(organization_id, r)?),
            Table::PrivateEndpoints => Noun::PrivateEndpoint(PrivateEndpoint {
                id: PrivateEndpointId::from_bytes(row.id),
                project_id: ProjectId::from_bytes(owner),
                link: PrivateLink::parse(&r.text()?, &r.text()?)?,
                region: PrivateEndpoint::parse_region(&r.text()?)?,
                created_at_ms: r.u64()?,
            }),
            Table::Cmeks => Noun::Cmek(read_cmek(CmekId::from_bytes(row.id), ProjectId::from_bytes(owner), r)?),
        };
        Ok(Some(noun))
    }
}

/// What a project's row says since format 4: from where it may be reached.
fn write_access(access: &ProjectAccess, w: &mut Writer) {
    w.u8(u8::from(access.private_only())).u8(u8::from(access.private_control_plane()));
    w.texts(access.networks().iter().map(Network::to_string));
}

fn read_access(r: &mut Reader<'_>) -> Result<ProjectAccess> {
    let (private_only, private_control_plane) = (r.u8()? == 1, r.u8()? == 1);
    let networks = r.list(|r| Network::parse(&r.text()?))?.into_iter().collect();
    ProjectAccess::new(private_only, private_control_plane, networks)
}

fn read_password(r: &mut Reader<'_>) -> Result<PasswordHash> {
    PasswordHash::from_text(r.text()?).ok_or_else(|| r.malformed())
}

fn read_key(id: ApiKeyId, project_id: ProjectId, secret_hash: [u8; 32], format: u8, r: &mut Reader<'_>) -> Result<StoredApiKey> {
    let mut key = StoredApiKey {
        info: ApiKey {
            id,
            project_id,
            name: r.text()?,
            hint: r.text()?,
            created_at_ms: r.u64()?,
            roles: Vec::new(),
            expires_at_ms: None,
            restrictions: Restrictions::default(),
            previous: None,
        },
        secret_hash,
        previous_hash: None,
        roles_in_row: Vec::new(),
    };
    match format {
        1 => key.roles_in_row = r.list(|r| Role::parse(&r.text()?))?,
        2 => {}
        _ => read_key_bounds(&mut key, r)?,
    }
    Ok(key)
}

/// What a key's row says since format 3: when it expires, what it is held to, and its secret before the last rotation.
fn write_key_bounds(info: &ApiKey, previous_hash: Option<[u8; 32]>, w: &mut Writer) {
    w.option(info.expires_at_ms, |w, at| {
        w.u64(at);
    });
    w.texts(info.restrictions.indexes().iter().map(IndexName::as_str));
    w.texts(info.restrictions.namespaces().iter().map(NamespaceName::as_str));
    w.texts(info.restrictions.networks().iter().map(Network::to_string));
    w.option(info.previous.as_ref().zip(previous_hash), |w, (previous, hash)| {
        w.text(&previous.hint).u64(previous.expires_at_ms).raw(&hash);
    });
}

fn read_key_bounds(key: &mut StoredApiKey, r: &mut Reader<'_>) -> Result<()> {
    key.info.expires_at_ms = r.option(Reader::u64)?;
    key.info.restrictions = Restrictions::new(
        r.list(|r| IndexName::new(&r.text()?))?.into_iter().collect(),
        r.list(|r| NamespaceName::new(&r.text()?))?.into_iter().collect(),
        r.list(|r| Network::parse(&r.text()?))?.into_iter().collect(),
    )?;
    let previous = r.option(|r| Ok((PreviousSecret { hint: r.text()?, expires_at_ms: r.u64()? }, r.array()?)))?;
    (key.info.previous, key.previous_hash) = previous.unzip();
    Ok(())
}

fn read_binding(id: RoleBindingId, organization_id: OrganizationId, r: &mut Reader<'_>) -> Result<RoleBinding> {
    let word = r.text()?;
    let kind = PrincipalType::ALL.into_iter().find(|t| t.as_str() == word).ok_or_else(|| r.malformed())?;
    let principal = PrincipalRef::from_bytes(kind, r.array()?);
    let resource = match r.u8()? {
        0 => ResourceRef::Organization(OrganizationId::from_bytes(r.array()?)),
        1 => ResourceRef::Project(ProjectId::from_bytes(r.array()?)),
        _ => return Err(r.malformed()),
    };
    Ok(RoleBinding { id, organization_id, principal, resource, role: Role::parse(&r.text()?)?, created_at_ms: r.u64()? })
}

fn write_sink(sink: &StoredAuditSink, w: &mut Writer) {
    let AuditSink { organization_id: _, settings, created_at_ms, updated_at_ms } = &sink.info;
    let AuditSinkSettings { role_arn, external_id, bucket, region, interval, enabled } = settings;
    w.text(role_arn.as_str()).option(external_id.as_ref(), |w, id| {
        w.text(id.as_str());
    });
    w.text(bucket.as_str()).text(region.as_str()).u32(interval.seconds()).u8(u8::from(*enabled));
    w.u64(*created_at_ms).u64(*updated_at_ms).u64(sink.after);
}

fn read_sink(organization_id: OrganizationId, r: &mut Reader<'_>) -> Result<StoredAuditSink> {
    let settings = AuditSinkSettings {
        role_arn: RoleArn::new(&r.text()?)?,
        external_id: r.option(|r| ExternalId::new(&r.text()?))?,
        bucket: BucketPath::new(&r.text()?)?,
        region: AwsRegion::new(&r.text()?)?,
        interval: DeliveryInterval::new(r.u32()?)?,
        enabled: r.u8()? == 1,
    };
    let info = AuditSink { organization_id, settings, created_at_ms: r.u64()?, updated_at_ms: r.u64()? };
    Ok(StoredAuditSink { info, after: r.u64()? })
}

fn write_cmek(stored: &StoredCmek, w: &mut Writer) {
    let Cmek { id: _, project_id: _, name, key, created_at_ms, updated_at_ms } = &stored.info;
    w.text(name).u64(*created_at_ms).u64(*updated_at_ms);
    write_customer_key(key, w);
    w.raw(stored.project_key.as_bytes()).option(stored.replaced.as_ref(), |w, (key, project_key)| {
        write_customer_key(key, w);
        w.raw(project_key.as_bytes());
    });
}

fn read_cmek(id: CmekId, project_id: ProjectId, r: &mut Reader<'_>) -> Result<StoredCmek> {
    let (name, created_at_ms, updated_at_ms) = (r.text()?, r.u64()?, r.u64()?);
    let info = Cmek { id, project_id, name, key: read_customer_key(r)?, created_at_ms, updated_at_ms };
    let project_key = KeyId::from_bytes(r.array()?);
    let replaced = r.option(|r| Ok((read_customer_key(r)?, KeyId::from_bytes(r.array()?))))?;
    Ok(StoredCmek { info, project_key, replaced })
}

/// Where a customer's key is, as rows and the key store hold it.
pub(crate) fn write_customer_key(key: &CustomerKey, w: &mut Writer) {
    match key {
        CustomerKey::AwsKms(AwsKmsKey { key_arn, role_arn, external_id }) => {
            w.u8(0).text(key_arn.as_str()).text(role_arn.as_str()).option(external_id.as_ref(), |w, id| {
                w.text(id.as_str());
            });
        }
    }
}

/// Reads what [`write_customer_key`] wrote.
pub(crate) fn read_customer_key(r: &mut Reader<'_>) -> Result<CustomerKey> {
    match r.u8()? {
        0 => Ok(CustomerKey::AwsKms(AwsKmsKey {
            key_arn: KmsKeyArn::new(&r.text()?)?,
            role_arn: RoleArn::new(&r.text()?)?,
            external_id: r.option(|r| ExternalId::new(&r.text()?))?,
        })),
        _ => Err(r.malformed()),
    }
}

impl Row {
    /// What its seal is bound to: the table and every column that is not sealed.
    fn context(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.text(self.table.name()).raw(&self.id);
        w.option(self.owner, |w, o| {
            w.raw(&o);
        });
        w.option(self.lookup, |w, l| {
            w.raw(&l);
        });
        w.option(self.port, |w, p| {
            w.u32(u32::from(p));
        });
        w.finish()
    }
}

/// Damage of the catalog, with what helps.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::DataLoss, format!("{FILE} is damaged: {what}. 'pinyon catalog rebuild' makes it anew from the indexes"))
}
