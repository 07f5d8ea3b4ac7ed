//! Collections: backups of pod indexes, by the name that such indexes know them by.

use std::sync::Arc;

use pinyon_model::{Backup, BackupKind, Collection, CollectionName, Deployment, Error, Index, IndexSpec, NewCollection, ProjectId, Result};

use crate::{
    OpContext, Service,
    authorize::{Action, Authorized, Named, Place, ProjectScope},
    backup::{Taken, not_found},
    catalog::Tables,
};

impl Service {
    fn collections_scope(&self, ctx: &OpContext, name: &str) -> Result<Named> {
        let project = self.project_scope(ctx, None)?.id;
        Ok(Named { place: Place::Project(project), id: name.chars().take(100).collect(), kind: "collection" })
    }

    /// Makes a collection of a pod index. It is `Initializing` in the answer. `InvalidArgument` for any other index.
    pub async fn create_collection(self: &Arc<Self>, ctx: &OpContext, new: NewCollection) -> Result<Collection> {
        let (this, ctx) = (Arc::clone(self), ctx.clone());
        self.detached(async move {
            let scope = this.project_scope(&ctx, Some(&new.source))?;
            let mut authorized = this.authorize(&ctx, Action::CreateCollection, scope).await?;
            let result = async {
                let found = this.index_in(&authorized, &new.source)?;
                if !matches!(found.stored().index.deployment, Deployment::Pod { .. }) {
                    return Err(Error::invalid(format!(
                        "Index {} is not a pod index; a backup can be made of it, and no collection",
                        found.name()
                    )));
                }
                let taken = Taken::by_hand(BackupKind::Collection(new.name), ctx.now_ms);
                let backup = this.take_backup(&mut authorized, &found, taken).await?;
                Collection::of(&backup).ok_or_else(|| Error::internal("A collection became something else"))
            }
            .await;
            authorized.close(result).await
        })
        .await
    }

    /// The collections of the caller's project, by name.
    pub async fn list_collections(&self, ctx: &OpContext) -> Result<Vec<Collection>> {
        let authorized = self.authorize(ctx, Action::ListCollections, self.project_scope(ctx, None)?).await?;
        let mut collections: Vec<Collection> =
            self.catalog().tables().backups_of(authorized.resource().id).filter_map(Collection::of).collect();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        authorized.close(Ok(collections)).await
    }

    /// One collection of the caller's project.
    pub async fn describe_collection(&self, ctx: &OpContext, name: &str) -> Result<Collection> {
        let authorized = self.authorize(ctx, Action::DescribeCollection, self.collections_scope(ctx, name)?).await?;
        let found = find(&self.catalog().tables(), authorized.resource().place, name);
        let found = found.and_then(|b| Collection::of(&b).ok_or_else(|| not_found(name)));
        authorized.close(found).await
    }

    /// Deletes a collection. `FailedPrecondition` while an index is being made from it.
    pub async fn delete_collection(self: &Arc<Self>, ctx: &OpContext, name: &str) -> Result<()> {
        let (this, ctx, name) = (Arc::clone(self), ctx.clone(), name.to_owned());
        self.detached(async move {
            let mut authorized = this.authorize(&ctx, Action::DeleteCollection, this.collections_scope(&ctx, &name)?).await?;
            let place = authorized.resource().place;
            let result = this.delete_backup_authorized(&mut authorized, &ctx, |tables| find(tables, place, &name)).await;
            this.deleted(authorized.close(result).await).await
        })
        .await
    }

    /// Makes an index that begins with the records of a collection. Its vectors must be the collection's in kind.
    pub(crate) async fn create_from_collection(
        self: &Arc<Self>,
        authorized: &mut Authorized<ProjectScope>,
        spec: IndexSpec,
        source: &str,
        now_ms: u64,
    ) -> Result<Index> {
        let project = authorized.resource().id;
        let found = find(&self.catalog().tables(), Place::Project(project), source);
        // Whatever is wrong with a source is wrong with the request.
        let collection = found.map_err(|error| Error::invalid(error.message))?;
        let (theirs, ours) = (collection.schema.shape(), spec.schema.shape());
        if theirs != ours {
            let shape = |s: pinyon_model::VectorShape| {
                let dimension = s.dense.map_or_else(|| "sparse".to_owned(), |(d, _)| format!("dimension {}", d.get()));
                format!("{dimension}, metric {}", s.metric().as_str())
            };
            let told = format!("The index is to have {}, but collection {source} has {}", shape(ours), shape(theirs));
            return Err(Error::invalid(told));
        }
        // As what is restored of a backup: under the customer's key that the records are under, unless another is named.
        let spec = IndexSpec { cmek_id: spec.cmek_id.or(collection.cmek_id), ..spec };
        self.begin_restore(authorized, &collection, spec, now_ms).await.map(|(index, _)| index)
    }
}

/// The backup that goes by this name of a collection in a project.
fn find(tables: &Tables, place: Place, name: &str) -> Result<Backup> {
    let project: Option<ProjectId> = if let Place::Project(id) = place { Some(id) } else { None };
    let name_of = CollectionName::new(name).ok();
    let found = project.zip(name_of.as_ref()).and_then(|(project, name)| tables.collection_by_name(project, name));
    found.cloned().ok_or_else(|| not_found(name))
}
