use pinyon_model::{Explain, Match, SegmentExplain, Usage};
use serde::Serialize;

use super::{UsageOut, vector::VectorOut};
use crate::{NamespaceRef, json};

/// How a search was done, with its matches. The request is a [`super::QueryRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainResponse {
    /// As the request spelled it.
    pub namespace: NamespaceRef,
    /// Best first.
    pub matches: Vec<Match>,
    /// What the search cost.
    pub usage: Usage,
    /// How it was done.
    pub explain: Explain,
}

#[derive(Serialize)]
struct Out<'a> {
    namespace: &'a str,
    matches: Vec<VectorOut<'a>>,
    usage: UsageOut,
    effort: f64,
    segments: Vec<SegmentOut>,
    microseconds: TimesOut,
}

#[derive(Serialize)]
struct TimesOut {
    prepare: u64,
    search: u64,
    read: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SegmentOut {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    plan: &'static str,
    rows: u64,
    matching_rows: u64,
    clusters: u64,
    clusters_visited: u64,
    scan_codes: u64,
    pool: u64,
    second_codes: u64,
    exact_rows: u64,
    microseconds: SegmentTimesOut,
}

#[derive(Serialize)]
struct SegmentTimesOut {
    filter: u64,
    load: u64,
    clusters: u64,
    scan: u64,
    second: u64,
    exact: u64,
}

impl From<&SegmentExplain> for SegmentOut {
    fn from(s: &SegmentExplain) -> Self {
        Self {
            kind: if s.segment.is_some() { "segment" } else { "memtable" },
            segment: s.segment.map(|id| id.to_string()),
            plan: s.plan.as_str(),
            rows: s.rows,
            matching_rows: s.matching_rows,
            clusters: s.clusters,
            clusters_visited: s.clusters_visited,
            scan_codes: s.scan_codes,
            pool: s.pool,
            second_codes: s.second_codes,
            exact_rows: s.exact_rows,
            microseconds: SegmentTimesOut {
                filter: s.filter_us,
                load: s.load_us,
                clusters: s.clusters_us,
                scan: s.scan_us,
                second: s.second_us,
                exact: s.exact_us,
            },
        }
    }
}

impl ExplainResponse {
    /// The body of a 200.
    pub fn to_json(&self) -> Vec<u8> {
        let Explain { segments, effort, prepare_us, search_us, read_us, total_us } = &self.explain;
        json::to_vec(&Out {
            namespace: self.namespace.as_spelled(),
            matches: self.matches.iter().map(VectorOut::scored).collect(),
            usage: self.usage.into(),
            effort: *effort,
            segments: segments.iter().map(SegmentOut::from).collect(),
            microseconds: TimesOut { prepare: *prepare_us, search: *search_us, read: *read_us, total: *total_us },
        })
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::{ObjectId, RecordId, SearchPlan};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_figure_is_told_under_its_own_name() {
        let walk = SegmentExplain {
            segment: Some(ObjectId::from_bytes([1; 16])),
            plan: SearchPlan::Walk,
            rows: 1,
            matching_rows: 2,
            clusters: 3,
            clusters_visited: 4,
            scan_codes: 5,
            pool: 6,
            second_codes: 7,
            exact_rows: 8,
            filter_us: 9,
            load_us: 10,
            clusters_us: 11,
            scan_us: 12,
            second_us: 13,
            exact_us: 14,
        };
        let memtable = SegmentExplain { plan: SearchPlan::Exact, ..SegmentExplain::default() };
        let response = ExplainResponse {
            namespace: NamespaceRef::new(Some("n")).unwrap(),
            matches: vec![Match { id: RecordId::new("a").unwrap(), score: 0.5, dense: None, sparse: None, metadata: None }],
            usage: Usage { read_units: 1, write_units: 0 },
            explain: Explain { segments: vec![memtable, walk], effort: 1.5, prepare_us: 1, search_us: 2, read_us: 3, total_us: 6 },
        };
        let told: Value = serde_json::from_slice(&response.to_json()).unwrap();
        assert_eq!(told["matches"], json!([{"id": "a", "score": 0.5, "values": []}]));
        assert_eq!((&told["namespace"], &told["effort"], &told["usage"]["readUnits"]), (&json!("n"), &json!(1.5), &json!(1)));
        assert_eq!(told["microseconds"], json!({"prepare": 1, "search": 2, "read": 3, "total": 6}));
        assert_eq!((&told["segments"][0]["kind"], &told["segments"][0]["plan"]), (&json!("memtable"), &json!("exact")));
        assert!(told["segments"][0].get("segment").is_none());
        let mut walk = told["segments"][1].clone();
        assert_eq!(walk.as_object_mut().unwrap().remove("segment").unwrap(), ObjectId::from_bytes([1; 16]).to_string());
        assert_eq!(
            walk,
            json!({
                "kind": "segment", "plan": "walk", "rows": 1, "matchingRows": 2, "clusters": 3, "clustersVisited": 4, "scanCodes": 5,
                "pool": 6, "secondCodes": 7, "exactRows": 8,
                "microseconds": {"filter": 9, "load": 10, "clusters": 11, "scan": 12, "second": 13, "exact": 14},
            })
        );
    }
}
