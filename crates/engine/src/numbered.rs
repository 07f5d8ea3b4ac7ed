//! Objects that replace one another under rising numbers: `manifest-7` after `manifest-6`. Making the next number, create-only,
//! is the compare-and-swap.

use pinyon_model::Result;
use pinyon_storage::BlobStore;

use crate::error::stored;

/// Every number there is of `prefix` in `folder`, ascending.
pub(crate) async fn all(store: &dyn BlobStore, folder: &str, prefix: &str) -> Result<Vec<u64>> {
    let start = format!("{folder}/{prefix}");
    let objects = store.list(&start).await.map_err(stored)?;
    let mut numbers: Vec<u64> = objects.iter().filter_map(|o| o.name.strip_prefix(&start)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The highest number.
pub(crate) async fn newest(store: &dyn BlobStore, folder: &str, prefix: &str) -> Result<Option<u64>> {
    Ok(all(store, folder, prefix).await?.last().copied())
}
