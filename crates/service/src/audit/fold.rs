//! Repeats are counted, not written: a flood of refusals costs memory for the kinds it has, and one entry a minute for each.

use std::collections::HashMap;

use pinyon_model::{AuditActor, AuditEvent, AuditOutcome};

use super::event::unknown_actor;

/// How long a refusal stands for the ones like it.
const WINDOW_MS: u64 = 60_000;
/// Sources of unknown keys that are told apart in a minute; the others share one entry.
const SOURCES_MAX: usize = 64;
/// Kinds of refusals that are counted at a time; past it they are written one by one.
const KINDS_MAX: usize = 4_096;

/// What makes two refusals alike.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    actor: AuditActor,
    action: String,
    resource_type: String,
    error_code: String,
}

struct Window {
    ends_ms: u64,
    /// Repeats since the entry that opened the window.
    repeats: u64,
    latest: AuditEvent,
}

/// The refusals of the last minute.
#[derive(Default)]
pub(super) struct Folds {
    kinds: HashMap<Kind, Window>,
    /// Unknown keys: when the minute ends, and how many from where.
    unknown_ends_ms: Option<u64>,
    unknown: HashMap<String, u64>,
}

impl Folds {
    /// The refusal itself when it is the first of its kind in a minute, to be written before the answer; else it is counted.
    pub(super) fn refused(&mut self, event: AuditEvent, now_ms: u64) -> Option<AuditEvent> {
        let error_code = match &event.outcome {
            AuditOutcome::Failure { error_code, .. } => error_code.clone(),
            AuditOutcome::Success => return Some(event),
        };
        let kind =
            Kind { actor: event.actor.clone(), action: event.action.clone(), resource_type: event.resource_type.clone(), error_code };
        match self.kinds.get_mut(&kind) {
            Some(window) if now_ms < window.ends_ms => {
                window.repeats += 1;
                window.latest = event;
                None
            }
            // Its minute is over but was not collected yet: the repeats go out with this one's successors.
            Some(window) => {
                window.ends_ms = now_ms + WINDOW_MS;
                Some(event)
            }
            None => {
                if self.kinds.len() < KINDS_MAX {
                    self.kinds.insert(kind, Window { ends_ms: now_ms + WINDOW_MS, repeats: 0, latest: event.clone() });
                }
                Some(event)
            }
        }
    }

    pub(super) fn unknown_key(&mut self, source: &str, now_ms: u64) {
        self.unknown_ends_ms.get_or_insert(now_ms + WINDOW_MS);
        let known = self.unknown.contains_key(source) || self.unknown.len() < SOURCES_MAX;
        let source: String = if known { source.chars().take(64).collect() } else { "other sources".to_owned() };
        *self.unknown.entry(source).or_default() += 1;
    }

    /// The entries whose minute is over; with `all`, every one.
    pub(super) fn due(&mut self, now_ms: u64, all: bool, mut new_id: impl FnMut() -> [u8; 16]) -> Vec<AuditEvent> {
        let mut out = Vec::new();
        self.kinds.retain(|_, window| {
            let over = all || now_ms >= window.ends_ms;
            if over && window.repeats > 0 {
                let mut event = std::mem::take(&mut window.latest);
                event.id = new_id();
                event.count = window.repeats;
                out.push(event);
            }
            !over
        });
        if self.unknown_ends_ms.is_some_and(|ends| all || now_ms >= ends) {
            self.unknown_ends_ms = None;
            out.extend(self.unknown.drain().map(|(source, count)| AuditEvent {
                id: new_id(),
                source,
                actor: unknown_actor(),
                time_ms: now_ms,
                action: "login".to_owned(),
                resource_type: "api-key".to_owned(),
                outcome: AuditOutcome::Failure { reason: "Invalid API key.".to_owned(), error_code: "Unauthenticated".to_owned() },
                count,
                ..AuditEvent::default()
            }));
        }
        out
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&mut self, events: Vec<AuditEvent>, now_ms: u64) {
        for event in events {
            if event.actor == unknown_actor() {
                self.unknown_ends_ms.get_or_insert(now_ms);
                *self.unknown.entry(event.source).or_default() += event.count;
                continue;
            }
            let AuditOutcome::Failure { error_code, .. } = &event.outcome else { continue };
            let kind = Kind {
                actor: event.actor.clone(),
                action: event.action.clone(),
                resource_type: event.resource_type.clone(),
                error_code: error_code.clone(),
            };
            let window = self.kinds.entry(kind).or_insert(Window { ends_ms: now_ms, repeats: 0, latest: AuditEvent::default() });
            window.repeats += event.count;
            window.latest = event;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(principal: &str, action: &str) -> AuditEvent {
        AuditEvent {
            actor: AuditActor { principal_id: principal.into(), ..AuditActor::default() },
            action: action.into(),
            outcome: AuditOutcome::Failure { reason: "no".into(), error_code: "Forbidden".into() },
            count: 1,
            ..AuditEvent::default()
        }
    }

    #[test]
    fn a_minute_of_repeats_is_two_entries() {
        let mut folds = Folds::default();
        assert!(folds.refused(refusal("a", "create"), 0).is_some());
        for t in 1..1_000 {
            assert!(folds.refused(refusal("a", "create"), t).is_none());
        }
        assert!(folds.refused(refusal("b", "create"), 5).is_some(), "another principal");
        assert!(folds.refused(refusal("a", "delete"), 5).is_some(), "another act");
        assert!(folds.due(WINDOW_MS - 1, false, || [0; 16]).is_empty());
        let due = folds.due(WINDOW_MS + 5, false, || [0; 16]);
        assert_eq!(due.iter().map(|e| e.count).collect::<Vec<_>>(), [999], "kinds without repeats say nothing more");
        assert!(folds.refused(refusal("a", "create"), WINDOW_MS + 6).is_some(), "a new minute");
    }

    #[test]
    fn unknown_keys_are_counted_per_source_in_bounded_memory() {
        let mut folds = Folds::default();
        for n in 0..10_000 {
            folds.unknown_key(&format!("10.0.{}.{}", n / 256, n % 256), 0);
        }
        folds.unknown_key("10.0.0.0", 1);
        let due = folds.due(WINDOW_MS, false, || [0; 16]);
        assert_eq!(due.len(), SOURCES_MAX + 1);
        assert_eq!(due.iter().map(|e| e.count).sum::<u64>(), 10_001);
        assert_eq!(due.iter().find(|e| e.source == "10.0.0.0").unwrap().count, 2);
        assert!(folds.due(u64::MAX, true, || [0; 16]).is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_counted_on() {
        let mut folds = Folds::default();
        folds.refused(refusal("a", "create"), 0);
        folds.refused(refusal("a", "create"), 1);
        folds.unknown_key("s", 1);
        let due = folds.due(WINDOW_MS * 2, false, || [0; 16]);
        folds.put_back(due, WINDOW_MS * 2);
        let again = folds.due(WINDOW_MS * 2, false, || [0; 16]);
        assert_eq!(again.iter().map(|e| e.count).collect::<Vec<_>>(), [1, 1]);
    }
}
