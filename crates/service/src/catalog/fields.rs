//! Parts of rows: what several fields of a noun are as bytes.

use pinyon_model::{
    ApiKey, ApiKeyId, AuditSink, AuditSinkSettings, AwsKmsKey, AwsRegion, BucketPath, Cmek, CmekId, CustomerKey, DeliveryInterval,
    ExternalId, IndexName, KmsKeyArn, NamespaceName, Network, OrganizationId, PreviousSecret, PrincipalRef, PrincipalType, ProjectAccess,
    ProjectId, ResourceRef, Restrictions, Result, Role, RoleArn, RoleBinding, RoleBindingId,
};

use pinyon_storage::KeyId;

use super::rows::{StoredApiKey, StoredAuditSink, StoredCmek};
use crate::{
    codec::{Reader, Writer},
    password::PasswordHash,
};

/// What a project's row says since format 4: from where it may be reached.
pub(super) fn write_access(access: &ProjectAccess, w: &mut Writer) {
    w.u8(u8::from(access.private_only())).u8(u8::from(access.private_control_plane()));
    w.texts(access.networks().iter().map(Network::to_string));
}

pub(super) fn read_access(r: &mut Reader<'_>) -> Result<ProjectAccess> {
    let (private_only, private_control_plane) = (r.u8()? == 1, r.u8()? == 1);
    let networks = r.list(|r| Network::parse(&r.text()?))?.into_iter().collect();
    ProjectAccess::new(private_only, private_control_plane, networks)
}

pub(super) fn read_password(r: &mut Reader<'_>) -> Result<PasswordHash> {
    PasswordHash::from_text(r.text()?).ok_or_else(|| r.malformed())
}

pub(super) fn read_key(id: ApiKeyId, project_id: ProjectId, secret_hash: [u8; 32], format: u8, r: &mut Reader<'_>) -> Result<StoredApiKey> {
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
pub(super) fn write_key_bounds(info: &ApiKey, previous_hash: Option<[u8; 32]>, w: &mut Writer) {
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

pub(super) fn read_key_bounds(key: &mut StoredApiKey, r: &mut Reader<'_>) -> Result<()> {
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

pub(super) fn read_binding(id: RoleBindingId, organization_id: OrganizationId, r: &mut Reader<'_>) -> Result<RoleBinding> {
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

pub(super) fn write_sink(sink: &StoredAuditSink, w: &mut Writer) {
    let AuditSink { organization_id: _, settings, created_at_ms, updated_at_ms } = &sink.info;
    let AuditSinkSettings { role_arn, external_id, bucket, region, interval, enabled } = settings;
    w.text(role_arn.as_str()).option(external_id.as_ref(), |w, id| {
        w.text(id.as_str());
    });
    w.text(bucket.as_str()).text(region.as_str()).u32(interval.seconds()).u8(u8::from(*enabled));
    w.u64(*created_at_ms).u64(*updated_at_ms).u64(sink.after);
}

pub(super) fn read_sink(organization_id: OrganizationId, r: &mut Reader<'_>) -> Result<StoredAuditSink> {
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

pub(super) fn write_cmek(stored: &StoredCmek, w: &mut Writer) {
    let Cmek { id: _, project_id: _, name, key, created_at_ms, updated_at_ms } = &stored.info;
    w.text(name).u64(*created_at_ms).u64(*updated_at_ms);
    write_customer_key(key, w);
    w.raw(stored.project_key.as_bytes()).option(stored.replaced.as_ref(), |w, (key, project_key)| {
        write_customer_key(key, w);
        w.raw(project_key.as_bytes());
    });
}

pub(super) fn read_cmek(id: CmekId, project_id: ProjectId, r: &mut Reader<'_>) -> Result<StoredCmek> {
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
