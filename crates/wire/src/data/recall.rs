use pinyon_model::{IndexRecall, NamespaceRecall, RECALL_TARGET, Recall};
use serde::Serialize;

use crate::json;

/// The recall of an index, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct RecallResponse(pub IndexRecall);

/// Namespaces that are told of, the worst first.
const NAMESPACES_MAX: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    target: f64,
    #[serde(flatten)]
    total: RecallOut,
    namespaces_measured: usize,
    namespaces: Vec<NamespaceOut<'a>>,
}

/// Without samples nothing is known, which is `null`.
#[derive(Serialize)]
struct RecallOut {
    samples: u64,
    recall: Option<f64>,
    worst: Option<f64>,
}

#[derive(Serialize)]
struct NamespaceOut<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    recall: RecallOut,
    effort: f64,
}

/// To four places: a sample of ten thousand matches has no more.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

impl From<&Recall> for RecallOut {
    fn from(recall: &Recall) -> Self {
        let known = |value: f64| (recall.samples > 0).then(|| rounded(value));
        Self { samples: recall.samples, recall: known(recall.mean), worst: known(recall.worst) }
    }
}

impl<'a> From<&'a NamespaceRecall> for NamespaceOut<'a> {
    fn from(n: &'a NamespaceRecall) -> Self {
        Self { namespace: n.namespace.as_str(), recall: (&n.recall).into(), effort: rounded(n.effort) }
    }
}

impl RecallResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        let IndexRecall { total, namespaces } = &self.0;
        let shown = namespaces.iter().take(NAMESPACES_MAX).map(NamespaceOut::from).collect();
        json::to_vec(&Out { target: RECALL_TARGET, total: total.into(), namespaces_measured: namespaces.len(), namespaces: shown })
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::NamespaceName;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nothing_known_is_null_and_the_worst_namespaces_are_told() {
        let told = |recall: IndexRecall| serde_json::from_slice::<Value>(&RecallResponse(recall).to_json()).unwrap();
        assert_eq!(
            told(IndexRecall::default()),
            json!({"target": 0.98, "samples": 0, "recall": null, "worst": null, "namespacesMeasured": 0, "namespaces": []})
        );
        let namespace = |n: u64| NamespaceRecall {
            namespace: NamespaceName::new(&format!("n{n}")).unwrap(),
            recall: Recall { samples: 2, mean: 1.0 - n as f64 / 1_000.0, worst: 0.123_456 },
            effort: 1.15,
        };
        let told = told(IndexRecall::of((1..=150).map(namespace).collect()));
        assert_eq!((&told["samples"], &told["namespacesMeasured"], &told["worst"]), (&json!(300), &json!(150), &json!(0.1235)));
        assert_eq!(told["namespaces"].as_array().map(Vec::len), Some(NAMESPACES_MAX));
        assert_eq!(told["namespaces"][0], json!({"namespace": "n150", "samples": 2, "recall": 0.85, "worst": 0.1235, "effort": 1.15}));
    }
}
