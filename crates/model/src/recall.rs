use crate::NamespaceName;

/// The recall that approximate search aims at.
pub const RECALL_TARGET: f64 = 0.98;

/// What approximate search was measured to find, of what exact search of the same query finds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Recall {
    /// Queries that were measured.
    pub samples: u64,
    /// The mean share of their best k that was found, recent ones counting more; 0 to 1.
    pub mean: f64,
    /// The least of the recent ones.
    pub worst: f64,
}

/// The recall of one namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceRecall {
    /// Which.
    pub namespace: NamespaceName,
    /// What was measured.
    pub recall: Recall,
    /// Times the effort that calibration asks for, as measured recall made it.
    pub effort: f64,
}

/// The recall of an index, as live queries were replayed in idle time since the server started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IndexRecall {
    /// Over all namespaces, each counting by its samples; without samples, mean and worst mean nothing.
    pub total: Recall,
    /// Namespaces with samples, the worst mean first.
    pub namespaces: Vec<NamespaceRecall>,
}

impl IndexRecall {
    /// Puts namespaces together.
    pub fn of(mut namespaces: Vec<NamespaceRecall>) -> Self {
        namespaces.retain(|n| n.recall.samples > 0);
        namespaces.sort_by(|a, b| a.recall.mean.total_cmp(&b.recall.mean).then_with(|| a.namespace.as_str().cmp(b.namespace.as_str())));
        let samples: u64 = namespaces.iter().map(|n| n.recall.samples).sum();
        let sum: f64 = namespaces.iter().map(|n| n.recall.mean * n.recall.samples as f64).sum();
        let worst = namespaces.iter().map(|n| n.recall.worst).fold(1.0, f64::min);
        let total = if samples == 0 { Recall::default() } else { Recall { samples, mean: sum / samples as f64, worst } };
        Self { total, namespaces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_count_by_their_samples() {
        let one = |name: &str, samples, mean, worst| NamespaceRecall {
            namespace: NamespaceName::new(name).unwrap(),
            recall: Recall { samples, mean, worst },
            effort: 1.0,
        };
        let index = IndexRecall::of(vec![one("a", 30, 1.0, 0.9), one("never", 0, 0.0, 0.0), one("b", 10, 0.8, 0.5)]);
        assert!((index.total.mean - 0.95).abs() < 1e-9);
        assert_eq!((index.total.samples, index.total.worst), (40, 0.5));
        assert_eq!(index.namespaces.iter().map(|n| n.namespace.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(IndexRecall::of(Vec::new()), IndexRecall::default());
    }
}
