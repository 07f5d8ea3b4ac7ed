use pinyon_model::Index;

/// An index that was found by its host, or by its name. Good for as long as it is held: once the index is deleted, its operations
/// answer `NotFound`. Cheap to clone.
#[derive(Clone)]
pub struct IndexRef(std::sync::Arc<Index>);

impl IndexRef {
    /// The index as it is described now.
    pub fn describe(&self) -> Index {
        (*self.0).clone()
    }
}
