use crate::ObjectId;

/// How one segment, or one memtable, was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchPlan {
    /// Not at all: no row of it could match.
    #[default]
    Skip,
    /// Every matching vector was scored.
    Exact,
    /// Clusters were visited, nearest first, and their scan codes asked.
    Walk,
    /// The second codes of all matching rows were asked.
    Direct,
    /// Inverted lists.
    Sparse,
}

impl SearchPlan {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            SearchPlan::Skip => "skip",
            SearchPlan::Exact => "exact",
            SearchPlan::Walk => "walk",
            SearchPlan::Direct => "direct",
            SearchPlan::Sparse => "sparse",
        }
    }
}

/// What the search of one segment, or of one memtable, did. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentExplain {
    /// Which segment; none for a memtable.
    pub segment: Option<ObjectId>,
    /// How it was searched.
    pub plan: SearchPlan,
    /// Its rows, dead ones too.
    pub rows: u64,
    /// Live rows that the filter selects.
    pub matching_rows: u64,
    /// Clusters that it has.
    pub clusters: u64,
    /// Those that were visited.
    pub clusters_visited: u64,
    /// Scan codes that were asked.
    pub scan_codes: u64,
    /// How many of the best by scan code may go to the second codes.
    pub pool: u64,
    /// Second codes that were asked.
    pub second_codes: u64,
    /// Rows whose vectors were read and scored exactly.
    pub exact_rows: u64,
    /// Finding the rows that the filter selects.
    pub filter_us: u64,
    /// Loading the codes, with the first search that needs them.
    pub load_us: u64,
    /// Ranking the clusters.
    pub clusters_us: u64,
    /// Asking scan codes.
    pub scan_us: u64,
    /// Asking second codes.
    pub second_us: u64,
    /// Scoring exactly, or adding up inverted lists.
    pub exact_us: u64,
}

/// What a query did. Times are in microseconds; segments are searched one after the other, so that each has its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explain {
    /// Memtables first, then segments.
    pub segments: Vec<SegmentExplain>,
    /// Times the clusters and the pool that calibration asks for: the request's own factor and what measured recall adds.
    pub effort: f64,
    /// Making the query ready.
    pub prepare_us: u64,
    /// Searching, all segments together.
    pub search_us: u64,
    /// Reading what the matches were asked to carry.
    pub read_us: u64,
    /// All of it.
    pub total_us: u64,
}
