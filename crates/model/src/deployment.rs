use crate::{Error, Result, excerpt};

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

/// How reads are to be provisioned from now on; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadCapacityChange {
    /// Shared.
    OnDemand,
    /// Dedicated read nodes.
    Dedicated {
        /// `b1` or `t1`; needed where there were no dedicated nodes before.
        node_type: Option<String>,
        /// Parts.
        shards: Option<u32>,
        /// Copies.
        replicas: Option<u32>,
    },
}

impl ReadCapacityChange {
    /// What `current` becomes. New dedicated nodes have one part and one copy unless told otherwise.
    pub fn apply(self, current: &ReadCapacity) -> Result<ReadCapacity> {
        let ReadCapacityChange::Dedicated { node_type, shards, replicas } = self else { return Ok(ReadCapacity::OnDemand) };
        let before = match current {
            ReadCapacity::Dedicated(before) => Some(before),
            ReadCapacity::OnDemand => None,
        };
        let node_type = match node_type.or_else(|| before.map(|b| b.node_type.clone())) {
            Some(t) if t == "b1" || t == "t1" => t,
            Some(t) => return Err(Error::invalid(format!("'{}' is not a node type; b1 and t1 are allowed", excerpt(&t)))),
            None => return Err(Error::invalid("Dedicated read capacity needs a node_type; b1 and t1 are allowed")),
        };
        let shards = shards.unwrap_or_else(|| before.map_or(1, |b| b.shards));
        if shards == 0 {
            return Err(Error::invalid("Dedicated read capacity needs at least 1 shard"));
        }
        let replicas = replicas.unwrap_or_else(|| before.map_or(1, |b| b.replicas));
        Ok(ReadCapacity::Dedicated(DedicatedCapacity { node_type, shards, replicas }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let change =
            |node: Option<&str>, shards, replicas| ReadCapacityChange::Dedicated { node_type: node.map(str::to_owned), shards, replicas };
        let dedicated =
            |node: &str, shards, replicas| ReadCapacity::Dedicated(DedicatedCapacity { node_type: node.into(), shards, replicas });
        assert!(change(None, Some(1), None).apply(&ReadCapacity::OnDemand).is_err());
        assert!(change(Some("x9"), None, None).apply(&ReadCapacity::OnDemand).is_err());
        assert!(change(Some("t1"), Some(0), None).apply(&ReadCapacity::OnDemand).is_err());
        let fresh = change(Some("t1"), None, None).apply(&ReadCapacity::OnDemand).unwrap();
        assert_eq!(fresh, dedicated("t1", 1, 1));
        let more = change(None, None, Some(3)).apply(&fresh).unwrap();
        assert_eq!(more, dedicated("t1", 1, 3));
        assert_eq!(ReadCapacityChange::OnDemand.apply(&more).unwrap(), ReadCapacity::OnDemand);
    }
}
