//! Passwords: which may be chosen, and how they are kept and checked: by argon2id, a few at a time.

use std::{fmt, sync::Arc};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use pinyon_model::{Error, Result};
use pinyon_storage::random_bytes;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// OWASP's first choice: 19 MiB, two passes, one lane.
const COST: Cost = Cost { memory_kib: 19 * 1_024, passes: 2, lanes: 1 };
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// Bytes of a password.
const LEN_MIN: usize = 12;
const LEN_MAX: usize = 1_024;
/// How many are computed at once, 19 MiB and one core each.
const RUNNING_MAX: usize = 2;
/// How many may wait behind them: two seconds' worth on a slow machine.
const WAITING_MAX: usize = 32;

/// A password as somebody typed it. Zeroised when dropped; prints as nothing telling.
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// A password that somebody shows: any text.
    pub fn shown(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.to_owned())))
    }

    /// A password that somebody chooses: 12 to 1,024 bytes of UTF-8 without control characters, taken byte for byte.
    pub fn choose(text: &str) -> Result<Self> {
        if !(LEN_MIN..=LEN_MAX).contains(&text.len()) {
            let n = text.len();
            return Err(Error::invalid(format!("A password has {LEN_MIN} to {LEN_MAX} bytes of UTF-8; this one has {n}")));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::invalid("A password has no control characters"));
        }
        Ok(Self::shown(text))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What is kept of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, the PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl PasswordHash {
    fn new(password: &Password) -> Result<Self> {
        let salt: [u8; SALT_LEN] = random_bytes();
        let hash = compute(COST, &salt, password)?;
        let Cost { memory_kib, passes, lanes } = COST;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        Ok(Self(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}", encode(&salt), encode(&*hash))))
    }

    /// The hash that was stored as this text.
    pub(crate) fn from_text(text: String) -> Option<Self> {
        let hash = Self(text);
        hash.parts().is_some().then_some(hash)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> Option<(Cost, [u8; SALT_LEN], [u8; HASH_LEN])> {
        let mut parts = self.0.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut numbers = parts.next()?.split(',').zip(["m=", "t=", "p="]).map(|(text, name)| text.strip_prefix(name)?.parse().ok());
        let mut number = || -> Option<u32> { numbers.next()? };
        let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?.try_into().ok()?;
        let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?.try_into().ok()?;
        parts.next().is_none().then_some((cost, salt, hash))
    }

    /// Whether it was made of this password. Without a hash it takes as long, and never was.
    fn holds(kept: Option<&Self>, password: &Password) -> Result<bool> {
        let parts = kept.and_then(Self::parts);
        let (cost, salt, expected) = parts.unwrap_or((COST, [0; SALT_LEN], [0; HASH_LEN]));
        let hash = compute(cost, &salt, password)?;
        Ok(bool::from(hash[..].ct_eq(&expected)) && parts.is_some())
    }
}

fn compute(cost: Cost, salt: &[u8], password: &Password) -> Result<Zeroizing<[u8; HASH_LEN]>> {
    let Cost { memory_kib, passes, lanes } = cost;
    let broken = |e: argon2::Error| Error::internal(format!("argon2id failed: {e}"));
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_LEN)).map_err(broken)?;
    let mut hash = Zeroizing::new([0; HASH_LEN]);
    // A text longer than a password can be is wrong whatever it says; its hash takes as long as another's.
    let bytes = password.bytes().get(..=LEN_MAX).unwrap_or(password.bytes());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(bytes, salt, &mut *hash).map_err(broken)?;
    Ok(hash)
}

/// Where hashes are computed: two at a time, so that a flood of sign-ins takes neither all cores nor all memory.
pub(crate) struct PasswordPool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Default for PasswordPool {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(RUNNING_MAX)), admitted: Arc::new(Semaphore::new(RUNNING_MAX + WAITING_MAX)) }
    }
}

impl PasswordPool {
    /// What is to be kept of a password. `Unavailable` while too many are computed already.
    pub(crate) async fn hash(&self, password: Password) -> Result<PasswordHash> {
        self.run(move || PasswordHash::new(&password)).await
    }

    /// Whether what is kept was made of this password; without anything kept it takes as long. `Unavailable` as above.
    pub(crate) async fn holds(&self, kept: Option<PasswordHash>, password: Password) -> Result<bool> {
        self.run(move || PasswordHash::holds(kept.as_ref(), &password)).await
    }

    async fn run<T: Send + 'static>(&self, compute: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let busy = |_| Error::unavailable("Too many passwords are being checked at once; try again in a moment");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(busy)?;
        let closed = |_| Error::unavailable("The server is stopping");
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(closed)?;
        // The permits go with the work, which goes on when nobody waits for it any more.
        let work = move || {
            let _permits = (admitted, running);
            compute()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Error::internal("A password could not be checked")))
    }
}

#[cfg(test)]
mod tests {
    use pinyon_model::ErrorCode;

    use super::*;

    #[test]
    fn what_may_be_chosen() {
        for good in ["x".repeat(12), "x".repeat(1_024), "ééééé-1".to_owned(), " leading and trailing ".to_owned()] {
            assert!(Password::choose(&good).is_ok(), "{good}");
        }
        for bad in ["", &"x".repeat(11), &"x".repeat(1_025), "twelve\nbytes", "twelve\0bytes!"] {
            let error = Password::choose(bad).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{bad:?}");
            assert!(bad.is_empty() || !error.message.contains(bad));
        }
        assert_eq!(format!("{:?}", Password::shown("hunter2")), "Password(..)");
    }

    #[test]
    fn a_hash_reads_back_and_holds_its_password_alone() {
        let password = Password::choose("correct horse battery").unwrap();
        let hash = PasswordHash::new(&password).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(PasswordHash::new(&password).unwrap(), hash, "salted");
        let read = PasswordHash::from_text(hash.as_str().to_owned()).unwrap();
        assert!(PasswordHash::holds(Some(&read), &password).unwrap());
        for wrong in ["correct horse batterY", "", "correct horse battery ", &"x".repeat(5_000)] {
            assert!(!PasswordHash::holds(Some(&read), &Password::shown(wrong)).unwrap(), "{wrong}");
        }
        assert!(!PasswordHash::holds(None, &password).unwrap());
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    /// The answer of the reference implementation (argon2-cffi).
    #[test]
    fn it_is_argon2id() {
        let hash = compute(COST, b"somesaltsomesalt", &Password::shown("password")).unwrap();
        let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, REFERENCE);
    }
    const REFERENCE: &str = "2b5dc4054886ec957ef59c73b661c54dd6fb274590b278f657c6d96aac8fa6d1";

    /// Whether there is anything to compare with must not show in the time: at their fastest, both take about as long.
    #[test]
    fn nobodys_password_takes_as_long() {
        let password = Password::shown("correct horse battery");
        let kept = PasswordHash::new(&password).unwrap();
        let time = |kept: Option<&PasswordHash>| {
            let began = std::time::Instant::now();
            PasswordHash::holds(kept, &password).unwrap();
            began.elapsed()
        };
        // One after the other, so that whatever else the machine does meets both.
        let times: Vec<_> = (0..12).map(|_| (time(Some(&kept)), time(None))).collect();
        let some = times.iter().map(|t| t.0).min().unwrap();
        let none = times.iter().map(|t| t.1).min().unwrap();
        assert!(none * 2 > some && some * 2 > none, "{some:?} and {none:?}");
    }

    #[test]
    fn what_is_no_hash() {
        let good = PasswordHash::new(&Password::shown("p")).unwrap().0;
        let cut = &good[..good.len() - 1];
        for bad in ["", "$argon2id$v=19$", &good.replace("argon2id", "argon2i"), &good.replace("m=", "n="), cut, &format!("{good}$x")] {
            assert!(PasswordHash::from_text(bad.to_owned()).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let pool = PasswordPool::default();
        let _all = Arc::clone(&pool.admitted).try_acquire_many_owned((RUNNING_MAX + WAITING_MAX - 1) as u32).unwrap();
        assert!(pool.hash(Password::shown("p")).await.is_ok(), "the last place");
        let _last = Arc::clone(&pool.admitted).try_acquire_owned().unwrap();
        assert_eq!(pool.hash(Password::shown("p")).await.unwrap_err().code, ErrorCode::Unavailable);
    }
}
