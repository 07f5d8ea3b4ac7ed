//! The whole list as one sealed object. The one of the highest number counts, and it must be readable: an older one would
//! bring back what was deleted.

use pinyon_model::{IndexId, Result};
use pinyon_storage::{DataKey, ObjectKind};

use super::{entry::Snapshot, list_folder};
use crate::{
    error::{damaged, stored},
    numbered,
    shared::Shared,
};

/// What the object is sealed as: kinds 1 to 4 are those that `ObjectKind` names.
pub(crate) const KIND: ObjectKind = ObjectKind(5);
/// The format number in its header.
pub(crate) const FORMAT: u16 = 1;
const PREFIX: &str = "namespaces-";

/// The name of the whole list of this number.
pub(crate) fn name(index: IndexId, number: u64) -> String {
    format!("{}/{PREFIX}{number}", list_folder(index))
}

/// The newest whole list and its number; 0 and empty when there is none.
pub(super) async fn read_newest(shared: &Shared, index: IndexId, key: &DataKey) -> Result<(u64, Snapshot)> {
    let Some(number) = numbered::newest(&*shared.store, &list_folder(index), PREFIX).await? else { return Ok((0, Snapshot::default())) };
    let name = name(index, number);
    let object = shared.sealed.get_named(&name, KIND, key).await.map_err(stored)?;
    if object.format != FORMAT {
        return Err(damaged(&name, &format!("its format {} is not known", object.format)));
    }
    let snapshot = Snapshot::decode(&object.plain).ok_or_else(|| damaged(&name, "it cannot be read"))?;
    Ok((number, snapshot))
}
