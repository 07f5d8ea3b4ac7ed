//! The manifest that counts, and how the next one takes its place.

use pinyon_model::{Error, Result};
use pinyon_storage::{ObjectKind, Purpose, PutMode, StorageError};

use super::{
    Namespace,
    manifest::{self, Manifest, Source},
};

/// What is stored of a namespace. Whoever holds its lock may change that.
pub(super) struct Stored {
    /// The number of the manifest; 0 before the first.
    pub(super) number: u64,
    pub(super) manifest: Manifest,
    /// Manifests that we put under the next number without learning whether they are there.
    attempts: Vec<Manifest>,
}

impl Stored {
    pub(super) fn new(number: u64, manifest: Manifest) -> Self {
        Self { number, manifest, attempts: Vec::new() }
    }

    /// Makes `next` the manifest that counts: durable when this returns. If the number is taken, and not by an attempt of
    /// ours, someone else writes here, and the namespace fails.
    pub(super) async fn swap(&mut self, namespace: &Namespace, next: Manifest) -> Result<()> {
        let plain = next.encode(namespace.id);
        loop {
            let name = manifest::name(&namespace.folder, self.number + 1);
            let sealed = &namespace.shared.sealed;
            let (kind, format) = (ObjectKind::MANIFEST, manifest::FORMAT);
            match sealed.put_named(&name, kind, format, &namespace.key(), &plain, PutMode::CreateOnly, Purpose::Essential).await {
                Ok(_) => break,
                Err(StorageError::AlreadyExists { .. }) => self.pass_own_attempt(namespace).await?,
                Err(error) => {
                    self.attempts.push(next);
                    return Err(namespace.write_error(error));
                }
            }
        }
        let old = self.number;
        self.number += 1;
        self.manifest = next;
        self.attempts.clear();
        if old > 0
            && let Err(error) = namespace.shared.store.delete(&manifest::name(&namespace.folder, old)).await
        {
            tracing::warn!(namespace = %namespace.id, "manifest {old} stays for now: {error}");
        }
        Ok(())
    }

    /// The next number is taken: by an attempt of ours whose answer was lost, or the namespace has another owner.
    async fn pass_own_attempt(&mut self, namespace: &Namespace) -> Result<()> {
        let number = self.number + 1;
        let found = {
            let keys = namespace.keys();
            let source = Source { sealed: &namespace.shared.sealed, folder: &namespace.folder, namespace: namespace.id, keys: &keys };
            source.read(number).await?
        };
        if self.attempts.contains(&found) {
            self.number = number;
            self.attempts.clear();
            return Ok(());
        }
        let error = Error::unavailable(format!("'{}' was written by a newer owner", manifest::name(&namespace.folder, number)));
        namespace.fail(error.clone());
        Err(error)
    }
}
