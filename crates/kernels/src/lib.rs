//! Exact scores of vectors, as fast as memory delivers them.
//!
//! A score is a sum of `f32` products **in `f64`**: the product of two `f32` is exact in `f64`, so a dot product is exact to
//! the last few roundings of its sum, cancellation included, and every level of the CPU gives the same score within that.
//! A scan of vectors that lie in memory waits for memory either way, so the wider sum costs nothing.
//!
//! A [`Kernels`] value is the proof that the CPU has the instructions of its [`Level`]. Its constructors check, so all that
//! takes one is safe to call; the `unsafe` of the project lies behind it, in this crate alone.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod codes;
mod dots;
mod hadamard;
mod impacts;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pages;
#[cfg(target_arch = "x86_64")]
mod prefetch;
mod quantize;
mod scalar;
mod scan;
mod sparse;

pub use codes::{CodeBits, SCAN_BLOCK_LANES, ScanQuery, SecondQuery, pack_scan_block, scan_block_bytes};
pub use impacts::{IMPACT_ROWS, ImpactPart};
pub use pages::prefer_huge_pages;
pub use quantize::Quantized;

/// The term a sum is made of: the product of two coordinates.
const DOT: bool = false;
/// The term a sum is made of: the square of the difference of two coordinates.
const L2: bool = true;

/// From how many rows on it pays to widen the query to `f64` once instead of once a row.
const ROWS_WORTH_WIDENING: usize = 4;

/// An instruction set that scores can be computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Plain Rust, on any CPU.
    Scalar,
    /// x86-64 with AVX2 and FMA: four `f64` lanes.
    Avx2,
    /// x86-64 with AVX-512 F and VL: eight `f64` lanes. Codes are scanned 64 bytes at a time where there are BW, VBMI and
    /// VNNI too, and as with AVX2 where not.
    Avx512,
    /// 64-bit ARM: two `f64` lanes.
    Neon,
}

/// Proof that this CPU runs the instructions of a [`Level`], and the operations at that level.
///
/// Make one with [`Kernels::detect`] at start and pass it on: it is three bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    /// Private, because the `unsafe` calls below rely on it: only `all_available` sets it to anything but `Scalar`.
    level: Level,
    /// At the level `Avx512`: the CPU also has BW, VBMI and VNNI, for the bytes of codes. Relied on in the same way.
    bytes_in_512: bool,
    /// At the level `Avx512`: the CPU also has BW and VBMI2, which spread packed bytes. Relied on in the same way.
    expand_in_512: bool,
}

impl Kernels {
    /// The fastest level this CPU has.
    pub fn detect() -> Self {
        Self::all_available().pop().unwrap_or(Self::scalar())
    }

    /// The level every CPU has.
    pub fn scalar() -> Self {
        Self::of(Level::Scalar)
    }

    /// Every level this CPU has, slowest first. Never empty.
    pub fn all_available() -> Vec<Self> {
        #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_mut))]
        let mut available = vec![Self::scalar()];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                available.push(Self::of(Level::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                let bytes_in_512 = is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vnni");
                let expand_in_512 = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi2");
                available.push(Self { level: Level::Avx512, bytes_in_512, expand_in_512 });
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            available.push(Self::of(Level::Neon));
        }
        available
    }

    fn of(level: Level) -> Self {
        Self { level, bytes_in_512: false, expand_in_512: false }
    }

    /// The level this value proves.
    pub fn level(self) -> Level {
        self.level
    }

    /// The dot product of two vectors.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot(self, a: &[f32], b: &[f32]) -> f64 {
        self.pair::<DOT>(a, b)
    }

    /// The squared Euclidean distance of two vectors.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn l2_squared(self, a: &[f32], b: &[f32]) -> f64 {
        self.pair::<L2>(a, b)
    }

    /// The squared Euclidean length of a vector.
    pub fn norm_squared(self, a: &[f32]) -> f64 {
        self.pair::<DOT>(a, a)
    }

    /// The dot products of `query` with every row of `rows`, a row-major block of `out.len()` × `query.len()`.
    ///
    /// # Panics
    /// If `rows` has another size.
    pub fn dot_rows(self, query: &[f32], rows: &[f32], out: &mut [f64]) {
        self.rows::<DOT>(query, rows, out);
    }

    /// The squared Euclidean distances of `query` from every row of `rows`, a row-major block of `out.len()` ×
    /// `query.len()`.
    ///
    /// # Panics
    /// If `rows` has another size.
    pub fn l2_squared_rows(self, query: &[f32], rows: &[f32], out: &mut [f64]) {
        self.rows::<L2>(query, rows, out);
    }

    /// The dot product of two sparse vectors, each given by its strictly ascending indices and their values.
    ///
    /// # Panics
    /// If a vector has not as many indices as values.
    pub fn sparse_dot(self, ai: &[u32], av: &[f32], bi: &[u32], bv: &[f32]) -> f64 {
        sparse::dot(ai, av, bi, bv)
    }

    /// Reads every word once, with the widest loads of this level and next to no arithmetic, and returns their exclusive
    /// or. A benchmark holds the speed of a scan against the speed of this.
    pub fn read_words(self, words: &[u64]) -> u64 {
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::read_words(words) },
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::read_words(words) },
            _ => scalar::read_words(words),
        }
    }

    fn pair<const TERM: bool>(self, a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len(), "vectors of different dimension");
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::pair::<TERM>(a, b) },
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::pair::<TERM>(a, b) },
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { neon::pair::<TERM>(a, b) },
            _ => scalar::pair::<TERM>(a, b),
        }
    }

    fn rows<const TERM: bool>(self, query: &[f32], rows: &[f32], out: &mut [f64]) {
        assert_eq!(query.len().checked_mul(out.len()), Some(rows.len()), "the block is not one row a score");
        if query.is_empty() {
            return out.fill(0.0);
        }
        if out.len() < ROWS_WORTH_WIDENING {
            for (score, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
                *score = self.pair::<TERM>(query, row);
            }
            return;
        }
        let query: Vec<f64> = query.iter().copied().map(f64::from).collect();
        match self.level {
            // SAFETY: a value of this level is only made where the CPU was found to have AVX-512 F and VL.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::rows::<TERM>(&query, rows, out) },
            // SAFETY: a value of this level is only made where the CPU was found to have AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::rows::<TERM>(&query, rows, out) },
            // SAFETY: a value of this level is only made where the CPU was found to have NEON.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { neon::rows::<TERM>(&query, rows, out) },
            _ => scalar::rows::<TERM>(&query, rows, out),
        }
    }
}
