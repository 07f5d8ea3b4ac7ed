//! Chance, which always comes from the operating system.

use aws_lc_rs::rand;
use pinyon_model::{Error, Result};

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    rand::fill(&mut out).map_err(|_| Error::internal("The operating system gave no random bytes"))?;
    Ok(out)
}
