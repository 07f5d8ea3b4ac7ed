//! The bundled data: see `demo/README.md` for the files and for how sparse vectors follow from the texts.

use std::collections::{BTreeMap, HashMap};

use half::f16;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Numbers of one embedding.
pub(super) const DIMENSION: usize = 384;

/// A dictionary entry: its id, and what becomes its metadata.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    #[serde(skip_serializing)]
    pub(super) id: String,
    text: String,
    words: Vec<String>,
    part_of_speech: String,
    domain: String,
    synonyms: u32,
    relations: u32,
}

/// A sentence to search for.
#[derive(Debug, Deserialize)]
pub(super) struct Sentence {
    pub(super) text: String,
    /// The entry that it is an example of.
    pub(super) from: String,
}

/// The whole data set.
pub(super) struct Data {
    pub(super) entries: Vec<Entry>,
    pub(super) sentences: Vec<Sentence>,
    entry_vectors: Vec<f32>,
    sentence_vectors: Vec<f32>,
    /// In how many entries each word occurs.
    occurrences: HashMap<u32, u32>,
}

impl Data {
    /// Reads what is part of the program.
    pub(super) fn bundled() -> Result<Self, serde_json::Error> {
        let entries: Vec<Entry> = lines(include_str!("../../../demo/entries.jsonl"))?;
        let mut occurrences = HashMap::new();
        for entry in &entries {
            for word in count_words(&entry.text).into_keys() {
                *occurrences.entry(word).or_insert(0) += 1;
            }
        }
        Ok(Self {
            sentences: lines(include_str!("../../../demo/queries.jsonl"))?,
            entry_vectors: halves(include_bytes!("../../../demo/entries.f16")),
            sentence_vectors: halves(include_bytes!("../../../demo/queries.f16")),
            entries,
            occurrences,
        })
    }

    /// The entries from `from` on, at most `n`, as the vectors of an upsert.
    pub(super) fn records(&self, from: usize, n: usize) -> Vec<Value> {
        let to = (from + n).min(self.entries.len());
        let record = |i: usize| {
            let entry = &self.entries[i];
            json!({
                "id": entry.id,
                "values": &self.entry_vectors[i * DIMENSION..(i + 1) * DIMENSION],
                "sparseValues": self.sparse(&entry.text),
                "metadata": entry,
            })
        };
        (from..to).map(record).collect()
    }

    /// The embedding of a sentence.
    pub(super) fn embedding(&self, sentence: usize) -> &[f32] {
        &self.sentence_vectors[sentence * DIMENSION..(sentence + 1) * DIMENSION]
    }

    /// The words of a text as a sparse vector of unit length: rare words weigh more, words that no entry has are left out.
    pub(super) fn sparse(&self, text: &str) -> Value {
        let all = self.entries.len() as f32;
        let weight = |(word, count): (u32, u32)| {
            let entries = *self.occurrences.get(&word)? as f32;
            Some((word, (1.0 + (count as f32).ln()) * (all / entries).ln())).filter(|(_, w)| *w > 0.0)
        };
        let weights: Vec<(u32, f32)> = count_words(text).into_iter().filter_map(weight).collect();
        let length = weights.iter().map(|(_, w)| w * w).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        let (indices, values): (Vec<u32>, Vec<f32>) = weights.into_iter().map(|(i, w)| (i, w / length)).unzip();
        json!({"indices": indices, "values": values})
    }
}

fn lines<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Vec<T>, serde_json::Error> {
    text.lines().map(serde_json::from_str).collect()
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
}

/// Each word's hash and how often it occurs.
fn count_words(text: &str) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let hash = word.to_lowercase().bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        *counts.entry(hash).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_and_sentence_has_its_embedding_of_unit_length() {
        let data = Data::bundled().unwrap();
        assert_eq!((data.entries.len(), data.sentences.len()), (4800, 12));
        assert_eq!(data.entry_vectors.len(), 4800 * DIMENSION);
        for i in 0..data.sentences.len() {
            let length: f32 = data.embedding(i).iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 0.01, "{length}");
        }
        assert_eq!(data.records(4790, 200).len(), 10);
    }

    #[test]
    fn a_sentence_is_nearest_to_its_own_entry_or_near_it() {
        let data = Data::bundled().unwrap();
        let own = |q: usize| {
            let i = data.entries.iter().position(|e| e.id == data.sentences[q].from).unwrap();
            data.embedding(q).iter().zip(&data.entry_vectors[i * DIMENSION..]).map(|(a, b)| a * b).sum::<f32>()
        };
        assert!((0..12).all(|q| own(q) > 0.2));
    }

    #[test]
    fn words_are_counted_without_case() {
        assert_eq!(count_words("Run, run; walk").into_values().sum::<u32>(), 3);
        assert_eq!(count_words("Run, run; walk").len(), 2);
        // FNV-1a of "a".
        assert!(count_words("A").contains_key(&0xe40c_292c));
    }
}
