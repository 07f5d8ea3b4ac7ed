//! Vectors: indexes, namespaces, records. An acknowledged write is durable, and every later read sees it.
//!
//! The engine knows nothing of organizations, API keys, HTTP or JSON. Its errors are `pinyon_model::Error`: damage is
//! `DataLoss` and names the file, a full disk is `Unavailable`.

mod answer;
mod backup;
mod cache;
mod check;
mod clock;
mod codec;
mod engine;
mod error;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod index;
mod namespace;
mod namespace_list;
mod numbered;
mod open_set;
mod pool;
mod progress;
mod recall;
mod search;
mod segment;
mod settings;
mod shared;
mod slot;
mod usage;
mod validate;
mod vector_cache;

pub use answer::{FetchAnswer, FetchPage, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck};
pub use backup::{BackupSummary, Capture};
pub use check::{CheckReport, CheckedRecall, DamagedFile};
pub use clock::Clock;
pub use engine::{Engine, IndexOptions};
pub use index::IndexHandle;
pub use namespace::Removed;
pub use namespace_list::{DeletedNamespace, Kept};
pub use progress::Progress;
pub use settings::EngineSettings;
