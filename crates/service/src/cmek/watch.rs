//! What is known of one project key's provider, and what follows from it: the table of RFC 0008, without anything that waits.

use pinyon_model::{CmekId, CmekStatus};

use super::{CmekOptions, KeyFault};

/// After a failure a key is asked again in this time, and after many failures less often.
const RETRY_MS: u64 = 10_000;
const RETRY_MAX_MS: u64 = 60_000;
/// Failures until then.
const RETRIES_AT_FIRST: u32 = 12;
/// How long an answer that is overdue may be waited for while the last one counts.
const OVERDUE_MS: u64 = 60_000;

/// One project key.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) cmek: CmekId,
    /// The customer's key's name, for those who are refused.
    pub(super) name: String,
    pub(super) status: CmekStatus,
    pub(super) reason: Option<String>,
    /// Whether the key store holds it open.
    pub(super) held: bool,
    /// When the last question was asked that was answered well. Of this process alone.
    pub(super) last_good_ms: Option<u64>,
    due_ms: u64,
    failures: u32,
    asking: bool,
    pub(super) asked: u64,
    pub(super) denied: u64,
    pub(super) unreachable: u64,
}

impl Watch {
    /// Of a key that was not asked for yet.
    pub(super) fn new(cmek: CmekId, name: String) -> Self {
        Self {
            cmek,
            name,
            status: CmekStatus::Unreachable,
            reason: Some("it was not asked since this server's start".to_owned()),
            held: false,
            last_good_ms: None,
            due_ms: 0,
            failures: 0,
            asking: false,
            asked: 0,
            denied: 0,
            unreachable: 0,
        }
    }

    /// Whether to ask now; who is told so, asks.
    pub(super) fn begin(&mut self, now_ms: u64) -> bool {
        let begins = !self.asking && self.due_ms <= now_ms;
        self.asking |= begins;
        begins
    }

    /// It answered a question that was asked at this time.
    pub(super) fn good(&mut self, asked_at_ms: u64, options: &CmekOptions) {
        (self.asking, self.held, self.failures) = (false, true, 0);
        (self.status, self.reason) = (CmekStatus::Ready, None);
        self.last_good_ms = Some(asked_at_ms);
        self.due_ms = asked_at_ms.saturating_add(options.lifetime_ms);
        self.asked += 1;
    }

    /// It was refused, or nobody answered. Whether what is held must be let go of now.
    pub(super) fn failed(&mut self, fault: &KeyFault, now_ms: u64, options: &CmekOptions) -> bool {
        self.asking = false;
        self.asked += 1;
        self.failures = self.failures.saturating_add(1);
        let wait = if self.failures <= RETRIES_AT_FIRST { RETRY_MS } else { RETRY_MAX_MS };
        self.due_ms = now_ms.saturating_add(wait.min(options.lifetime_ms));
        self.reason = Some(fault.reason().to_owned());
        match fault {
            KeyFault::Denied(_) => {
                self.denied += 1;
                self.status = CmekStatus::Denied;
            }
            KeyFault::Unreachable(_) => {
                self.unreachable += 1;
                // Who was refused is not let in because the door cannot be found now.
                if self.status != CmekStatus::Denied {
                    self.status = CmekStatus::Unreachable;
                }
            }
        }
        self.drop_if_over(now_ms, options)
    }

    /// Lets go when its time is over; whether it did so now.
    pub(super) fn drop_if_over(&mut self, now_ms: u64, options: &CmekOptions) -> bool {
        let drops = self.held && !self.is_served(now_ms, options);
        self.held &= !drops;
        drops
    }

    /// Whether what lies under the key is served.
    pub(super) fn is_served(&self, now_ms: u64, options: &CmekOptions) -> bool {
        let age = self.last_good_ms.map_or(u64::MAX, |at| now_ms.saturating_sub(at));
        self.held
            && match self.status {
                CmekStatus::Ready => age <= options.grace_ms.max(options.lifetime_ms.saturating_add(OVERDUE_MS)),
                CmekStatus::Unreachable => age <= options.grace_ms,
                CmekStatus::Denied => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: CmekOptions = CmekOptions { provider: None, endpoints: String::new(), lifetime_ms: 300_000, grace_ms: 3_600_000 };

    fn ready(at_ms: u64) -> Watch {
        let mut watch = Watch::new(CmekId::from_bytes([1; 16]), "main".into());
        assert!(watch.begin(at_ms) && !watch.begin(at_ms), "one question at a time");
        watch.good(at_ms, &OPTIONS);
        watch
    }

    fn denied() -> KeyFault {
        KeyFault::Denied("AccessDenied".into())
    }

    fn unreachable() -> KeyFault {
        KeyFault::Unreachable("timed out".into())
    }

    #[test]
    fn a_ready_key_is_held_for_its_lifetime_and_asked_again() {
        let mut watch = ready(1_000);
        assert!(watch.is_served(1_000, &OPTIONS) && !watch.begin(300_999) && watch.begin(301_000));
        assert!(watch.is_served(301_000, &OPTIONS), "while it is asked");
        watch.good(301_000, &OPTIONS);
        assert_eq!((watch.asked, watch.last_good_ms, watch.begin(600_999)), (2, Some(301_000), false));
    }

    #[test]
    fn a_denied_key_goes_at_once_and_comes_back() {
        let mut watch = ready(0);
        assert!(watch.begin(300_000) && watch.failed(&denied(), 300_100, &OPTIONS), "let go of");
        assert!(!watch.is_served(300_100, &OPTIONS) && !watch.begin(310_099));
        assert_eq!((watch.status, watch.reason.as_deref(), watch.denied), (CmekStatus::Denied, Some("AccessDenied"), 1));
        assert!(watch.begin(310_100) && !watch.failed(&unreachable(), 310_200, &OPTIONS));
        assert_eq!(watch.status, CmekStatus::Denied, "and nobody answering is no permission");
        assert!(watch.begin(320_200));
        watch.good(320_200, &OPTIONS);
        assert!(watch.is_served(320_200, &OPTIONS) && watch.reason.is_none());
    }

    #[test]
    fn an_unreachable_key_is_served_for_the_grace_since_the_last_good_answer() {
        let mut watch = ready(1_000);
        let mut now = 301_000;
        while now <= 3_601_000 {
            assert!(watch.is_served(now, &OPTIONS), "{now}");
            if watch.begin(now) {
                assert!(!watch.failed(&unreachable(), now, &OPTIONS));
            }
            now += 1_000;
        }
        assert_eq!(watch.status, CmekStatus::Unreachable);
        assert!(watch.is_served(3_601_000, &OPTIONS) && !watch.is_served(3_601_001, &OPTIONS));
        assert!(!watch.drop_if_over(3_601_000, &OPTIONS) && watch.drop_if_over(3_601_001, &OPTIONS));
        assert!(!watch.drop_if_over(3_601_002, &OPTIONS), "once");
        // Every ten seconds at first, then each minute.
        assert!((40..80).contains(&watch.unreachable), "{}", watch.unreachable);
    }

    #[test]
    fn without_a_grace_nothing_is_served_once_nobody_answers() {
        let none = CmekOptions { grace_ms: 0, ..OPTIONS };
        let mut watch = ready(1_000);
        assert!(watch.is_served(300_000, &none));
        assert!(watch.begin(301_000) && watch.failed(&unreachable(), 301_010, &none));
        assert!(!watch.is_served(301_010, &none));
        // A question that nobody ever answers, not even by failing.
        let stuck = ready(1_000);
        assert!(stuck.is_served(361_000, &none) && !stuck.is_served(361_001, &none));
    }

    #[test]
    fn a_key_that_was_never_good_is_not_served() {
        let mut watch = Watch::new(CmekId::from_bytes([1; 16]), "main".into());
        assert!(!watch.is_served(0, &OPTIONS) && watch.begin(0));
        assert!(!watch.failed(&unreachable(), 0, &OPTIONS) && !watch.is_served(0, &OPTIONS));
    }

    #[test]
    fn retries_are_within_a_short_lifetime() {
        let short = CmekOptions { lifetime_ms: 1_000, ..OPTIONS };
        let mut watch = ready(0);
        assert!(watch.begin(300_000));
        watch.failed(&denied(), 300_000, &short);
        assert!(!watch.begin(300_999) && watch.begin(301_000));
    }
}
