/// Where an index is said to run. Every kind runs on the same engine here; what the caller chose is kept and echoed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deployment {
    /// Serverless (`managed` in the 2026-07 shapes).
    Managed {
        /// `aws`, `gcp` or `azure`.
        cloud: String,
        /// The cloud's region.
        region: String,
    },
    /// A pod index.
    Pod {
        /// Its environment.
        environment: String,
        /// Type and size, `p1.x1`.
        pod_type: String,
        /// Copies.
        replicas: u32,
        /// Parts.
        shards: u32,
        /// The metadata fields that are indexed, when the caller listed them.
        indexed: Option<Vec<String>>,
    },
    /// Bring your own cloud.
    Byoc {
        /// Its environment.
        environment: String,
    },
}

/// How reads are provisioned. Kept and echoed; it changes nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ReadCapacity {
    /// Shared.
    #[default]
    OnDemand,
    /// Dedicated read nodes.
    Dedicated(DedicatedCapacity),
}

/// Dedicated read nodes, scaled by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedicatedCapacity {
    /// `b1` or `t1`.
    pub node_type: String,
    /// Parts.
    pub shards: u32,
    /// Copies.
    pub replicas: u32,
}
