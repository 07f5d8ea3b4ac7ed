//! What the key store keeps of a project key: what the provider sealed, the other half, and whose key it is, so that the catalog can
//! be made anew. All of it is sealed once more by the root key there.

use pinyon_model::{Cmek, CmekId, OrganizationId, ProjectId, Result};
use pinyon_storage::ProjectKey;

use super::{KeyContext, KeyFault, KeyHalf, KeyProvider};
use crate::{
    catalog::{read_customer_key, write_customer_key},
    codec::{Reader, Writer},
};

const FORMAT: u8 = 1;

/// A project key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptProjectKey {
    pub(super) organization_id: OrganizationId,
    /// The customer's key as it was when this project key was made; `updated_at_ms` is when.
    pub(super) cmek: Cmek,
    kept_half: [u8; 32],
    sealed: Vec<u8>,
}

impl KeptProjectKey {
    pub(super) fn context(&self) -> KeyContext {
        KeyContext { organization: self.organization_id, project: self.cmek.project_id }
    }

    /// Makes a project key, has it sealed, and opens it again: who gets it has seen the customer's key do both.
    pub(super) async fn make(
        provider: &dyn KeyProvider,
        organization_id: OrganizationId,
        cmek: Cmek,
    ) -> Result<(ProjectKey, Self), KeyFault> {
        let key = ProjectKey::generate();
        let (given, kept_half) = KeyHalf::split(key.expose());
        let context = KeyContext { organization: organization_id, project: cmek.project_id };
        provider.check(&cmek.key).await?;
        let sealed = provider.encrypt(&cmek.key, &context, &given).await?;
        if !provider.decrypt(&cmek.key, &context, &sealed).await?.is(&given) {
            return Err(KeyFault::Denied("Decrypt answered with another key than Encrypt was given".to_owned()));
        }
        Ok((key, Self { organization_id, cmek, kept_half, sealed }))
    }

    /// Asks the provider for the project key.
    pub(super) async fn open(&self, provider: &dyn KeyProvider, cmek: &Cmek) -> Result<Opened, KeyFault> {
        let half = provider.decrypt(&cmek.key, &self.context(), &self.sealed).await?;
        Ok(half.join(&self.kept_half))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { organization_id, cmek, kept_half, sealed } = self;
        let Cmek { id, project_id, name, key, created_at_ms, updated_at_ms } = cmek;
        let mut w = Writer::default();
        w.u8(FORMAT).raw(organization_id.as_bytes()).raw(id.as_bytes()).raw(project_id.as_bytes()).text(name);
        w.u64(*created_at_ms).u64(*updated_at_ms);
        write_customer_key(key, &mut w);
        w.raw(kept_half).u32(u32::try_from(sealed.len()).unwrap_or(u32::MAX)).raw(sealed);
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new("A project key in the key store", bytes);
        if r.u8()? != FORMAT {
            return Err(r.malformed());
        }
        let organization_id = OrganizationId::from_bytes(r.array()?);
        let (id, project_id) = (CmekId::from_bytes(r.array()?), ProjectId::from_bytes(r.array()?));
        let (name, created_at_ms, updated_at_ms) = (r.text()?, r.u64()?, r.u64()?);
        let cmek = Cmek { id, project_id, name, key: read_customer_key(&mut r)?, created_at_ms, updated_at_ms };
        let kept_half = r.array()?;
        let len = r.u32()? as usize;
        let sealed = r.raw(len)?.to_vec();
        r.end()?;
        Ok(Self { organization_id, cmek, kept_half, sealed })
    }
}

type Opened = Box<zeroize::Zeroizing<[u8; 32]>>;

#[cfg(test)]
mod tests {
    use pinyon_model::{AwsKmsKey, CustomerKey, ExternalId, KmsKeyArn, RoleArn};
    use proptest::prelude::*;

    use super::*;

    fn kept(sealed: Vec<u8>, external_id: Option<ExternalId>) -> KeptProjectKey {
        let key = CustomerKey::AwsKms(AwsKmsKey {
            key_arn: KmsKeyArn::new("arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
            role_arn: RoleArn::new("arn:aws:iam::123456789012:role/pinyon").unwrap(),
            external_id,
        });
        let (id, project_id) = (CmekId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
        let cmek = Cmek { id, project_id, name: "main".to_owned(), key, created_at_ms: 3, updated_at_ms: 4 };
        KeptProjectKey { organization_id: OrganizationId::from_bytes([5; 16]), cmek, kept_half: [6; 32], sealed }
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(sealed in prop::collection::vec(any::<u8>(), 0..300), with_id: bool) {
            let kept = kept(sealed, with_id.then(|| ExternalId::new("an-id").unwrap()));
            let bytes = kept.encode();
            prop_assert_eq!(&KeptProjectKey::decode(&bytes).unwrap(), &kept);
            for len in 0..bytes.len() {
                prop_assert!(KeptProjectKey::decode(&bytes[..len]).is_err(), "cut to {}", len);
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..200) {
            let _ = KeptProjectKey::decode(&bytes);
            let mut changed = kept(vec![1; 40], None).encode();
            changed.splice(at.min(changed.len()).., bytes);
            let _ = KeptProjectKey::decode(&changed);
        }
    }
}
