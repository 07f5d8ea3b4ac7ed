//! What may be tuned. Every default is meant for production; tests set them small, so that each write flushes and compacts.

/// Sizes and times of one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSettings {
    /// Bytes of records in memory after which a namespace's memtable is stored as a segment.
    pub memtable_bytes: u64,
    /// Bytes of log after which the memtable is stored, so that the log can be trimmed.
    pub log_bytes: u64,
    /// Log files of one namespace after which the memtable is stored.
    pub log_files: usize,
    /// Bytes of operations that one commit of a namespace takes together.
    pub group_bytes: usize,
    /// Bytes of the largest frame; an operation that needs more is refused.
    pub frame_bytes: usize,
    /// Bytes of the records that one update by filter may rewrite.
    pub update_bytes: u64,
    /// Segments of about one size after which they are merged although writes go on. Merging makes clusters, which costs more than the writes
    /// themselves, and a quiet namespace is merged in any case.
    pub compact_segments: usize,
    /// Share of dead rows, in percent, from which a segment is rewritten.
    pub compact_dead_percent: u8,
    /// Bytes of the largest segment that a merge may write.
    pub segment_bytes: u64,
    /// Dense vectors from which on a segment gets codes; smaller ones are searched exactly.
    pub coded_vectors: usize,
    /// Dense vectors from which on a segment's codes come in clusters.
    pub clustered_vectors: usize,
    /// Flushes and compactions at once, in the whole engine.
    pub jobs: usize,
    /// Threads that compute queries; 0 takes one a core.
    pub query_threads: usize,
    /// Whether a query is computed on the thread that asks instead: for a program that has a thread for each of its queries. A server leaves
    /// it off, so that its async workers only ever wait.
    pub query_on_caller: bool,
    /// Times the effort of approximate search that calibration and measured recall ask for.
    pub search_effort: f64,
    /// One in so many dense queries is replayed exactly in idle time, which is how recall is known; 0: none.
    pub recall_one_in: u32,
    /// Milliseconds without a query before one is replayed.
    pub recall_quiet_ms: u64,
    /// Bytes of decrypted segment data kept in memory.
    pub cache_bytes: u64,
    /// Bytes of single decrypted vectors kept in memory, beside those blocks.
    pub vector_cache_bytes: u64,
    /// Bytes of what filters select of segments, kept in memory for queries with the same filter.
    pub selection_cache_bytes: u64,
    /// Milliseconds without a request after which a namespace is closed.
    pub idle_close_ms: u64,
    /// Milliseconds between two looks for idle namespaces.
    pub idle_check_ms: u64,
    /// Namespaces kept open; past it the least recently used are closed. One that was written to holds a file descriptor.
    pub open_namespaces: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            memtable_bytes: 16 << 20,
            log_bytes: 32 << 20,
            log_files: 8,
            group_bytes: 32 << 20,
            frame_bytes: 256 << 20,
            update_bytes: 1 << 30,
            compact_segments: 12,
            compact_dead_percent: 30,
            segment_bytes: 2 << 30,
            coded_vectors: 1_024,
            clustered_vectors: 16_384,
            jobs: 2,
            query_threads: 0,
            query_on_caller: false,
            search_effort: 1.0,
            recall_one_in: 100,
            recall_quiet_ms: 200,
            cache_bytes: 256 << 20,
            vector_cache_bytes: 31 << 20,
            selection_cache_bytes: 4 << 20,
            idle_close_ms: 60_000,
            idle_check_ms: 5_000,
            open_namespaces: 512,
        }
    }
}
