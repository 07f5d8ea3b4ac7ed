//! The dozen searches of the demo, in the order they are shown.

use http::Method;
use serde_json::{Value, json};

use super::data::Data;

/// One request, and how to speak of it.
pub(super) struct Search {
    pub(super) title: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

const TOP_K: u32 = 3;

pub(super) fn all(data: &Data) -> Vec<Search> {
    let sentence = |i: usize| &data.sentences[i].text;
    let meaning = |i: usize| query(format!("Meaning: \"{}\"", sentence(i)), json!({"vector": data.embedding(i)}));
    let filtered = |i: usize, words: &str, filter: Value| {
        query(format!("Meaning: \"{}\", {words}", sentence(i)), json!({"vector": data.embedding(i), "filter": filter}))
    };
    let own = |i: usize| data.sentences[i].from.as_str();
    vec![
        meaning(0),
        meaning(3),
        meaning(7),
        meaning(10),
        filtered(6, "animals only", json!({"domain": "noun.animal"})),
        filtered(8, "verbs and adjectives", json!({"part_of_speech": {"$in": ["verb", "adjective"]}})),
        filtered(
            11,
            "with at least 2 synonyms, but not about water",
            json!({"$and": [{"synonyms": {"$gte": 2}}, {"words": {"$nin": ["water"]}}]}),
        ),
        query(format!("Like the entry {}", own(1)), json!({"id": own(1)})),
        query(
            format!("Hybrid, meaning and words: \"{}\"", sentence(9)),
            json!({"vector": data.embedding(9), "sparseVector": data.sparse(sentence(9))}),
        ),
        Search {
            title: "Two entries by their ids".to_owned(),
            method: Method::GET,
            path: format!("/vectors/fetch?ids={}&ids={}", own(4), own(5)),
            body: None,
        },
        Search {
            title: "Ids that begin with v007".to_owned(),
            method: Method::GET,
            path: "/vectors/list?prefix=v007&limit=5".to_owned(),
            body: None,
        },
        Search {
            title: "What the index holds".to_owned(),
            method: Method::POST,
            path: "/describe_index_stats".to_owned(),
            body: Some(json!({})),
        },
    ]
}

fn query(title: String, mut body: Value) -> Search {
    body["topK"] = TOP_K.into();
    body["includeMetadata"] = true.into();
    Search { title, method: Method::POST, path: "/query".to_owned(), body: Some(body) }
}

/// The request as a line to read: vectors are told by their length.
pub(super) fn shown(body: &Value) -> String {
    let mut body = body.clone();
    if let Some(n) = body["vector"].as_array().map(Vec::len) {
        body["vector"] = format!("[{n} numbers]").into();
    }
    if let Some(n) = body["sparseVector"]["indices"].as_array().map(Vec::len) {
        body["sparseVector"] = format!("[{n} words]").into();
    }
    if body["vector"].is_null() {
        body.as_object_mut().map(|o| o.remove("vector"));
    }
    if body["sparseVector"].is_null() {
        body.as_object_mut().map(|o| o.remove("sparseVector"));
    }
    body.to_string()
}

/// What came back, a line each.
pub(super) fn answered(answer: &Value) -> Vec<String> {
    if let Some(matches) = answer["matches"].as_array() {
        return matches.iter().map(|m| line(m["score"].as_f64(), &m["id"], &m["metadata"]["text"])).collect();
    }
    match (&answer["vectors"], &answer["namespaces"]) {
        (Value::Object(records), _) => records.values().map(|r| line(None, &r["id"], &r["metadata"]["text"])).collect(),
        (Value::Array(ids), _) => vec![ids.iter().filter_map(|v| v["id"].as_str()).collect::<Vec<_>>().join("  ")],
        (_, Value::Object(_)) => {
            vec![format!("{} records of {} dimensions, metric {}", answer["totalVectorCount"], answer["dimension"], answer["metric"])]
        }
        _ => vec![answer.to_string()],
    }
}

fn line(score: Option<f64>, id: &Value, text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    let short: String = text.chars().take(84).collect();
    let score = score.map_or_else(String::new, |s| format!("{s:.4}  "));
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{score}{}  {short}{dots}", id.as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_shown_without_their_numbers() {
        let body = json!({"vector": [0.5, 0.25], "topK": 3});
        assert_eq!(shown(&body), r#"{"topK":3,"vector":"[2 numbers]"}"#);
        assert_eq!(shown(&json!({"id": "a"})), r#"{"id":"a"}"#);
    }

    #[test]
    fn every_kind_of_answer_has_lines() {
        let m = json!({"matches": [{"id": "a", "score": 0.5, "metadata": {"text": "x".repeat(100)}}]});
        assert_eq!(answered(&m)[0].chars().count(), "0.5000  a  ".len() + 84 + 1);
        assert_eq!(answered(&json!({"vectors": [{"id": "a"}, {"id": "b"}]})), ["a  b"]);
        assert_eq!(answered(&json!({"vectors": {"a": {"id": "a", "metadata": {"text": "t"}}}})), ["a  t"]);
        assert!(
            answered(&json!({"namespaces": {}, "totalVectorCount": 3, "dimension": 2, "metric": "cosine"}))[0].starts_with("3 records")
        );
        assert_eq!(all(&Data::bundled().unwrap()).len(), 12);
    }
}
