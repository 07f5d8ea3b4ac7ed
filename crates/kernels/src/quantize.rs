//! Makes second codes: a vector to the grid points of the least angle to it.
//!
//! One loop serves all levels, compiled with the instructions of each; its sums are fixed, so that all give the same code.

use crate::{CodeBits, Kernels};

/// What is known of a code that was made: `u` are its grid points, `r` is the residual it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantized {
    /// `<u, r>`; 0 for a residual of zeros.
    pub norm_dot: f32,
    /// `|u|²`, never 0.
    pub norm_squared: f32,
}

/// The width of a grid step, by which the largest value of the residual falls to the outermost grid point, times these: a
/// narrower grid is finer for most values, at the cost of the few that lie outside.
const WIDTHS_4: [f32; 12] = [0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];
const WIDTHS_8: [f32; 3] = [0.9, 0.95, 1.0];

impl Kernels {
    /// Writes the code of a residual of P dimensions, in the layout of `bits`: of several grids the one whose points make the
    /// greatest cosine with the residual. The same bits on every level.
    ///
    /// With a [`SecondQuery`] the dot product of the grid points with a query is `<u, q> ≈ scale · sum + offset`.
    ///
    /// # Panics
    /// If P is no multiple of 64 or `out` is not as long as a code.
    ///
    /// [`SecondQuery`]: crate::SecondQuery
    pub fn quantize(self, bits: CodeBits, residual: &[f32], out: &mut [u8]) -> Quantized {
        assert!(residual.len().is_multiple_of(64), "{} dimensions are not padded", residual.len());
        assert_eq!(out.len(), bits.code_bytes(residual.len()), "a code has another length");
        match self.level {
            // SAFETY: values of these levels are only made where the CPU was found to have AVX2.
            #[cfg(target_arch = "x86_64")]
            crate::Level::Avx512 | crate::Level::Avx2 => unsafe { quantize_avx2(bits, residual, out) },
            _ => quantize(bits, residual, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_avx2(bits: CodeBits, residual: &[f32], out: &mut [u8]) -> Quantized {
    quantize(bits, residual, out)
}

#[inline(always)]
fn quantize(bits: CodeBits, residual: &[f32], out: &mut [u8]) -> Quantized {
    match bits {
        CodeBits::Four => quantize_4(residual, out),
        CodeBits::Eight => quantize_8(residual, out),
    }
}

#[inline(always)]
fn quantize_4(residual: &[f32], out: &mut [u8]) -> Quantized {
    let (steps_per_unit, quantized) = best_grid::<8>(residual, &WIDTHS_4);
    let (low, high) = residual.split_at(out.len());
    for ((byte, low), high) in out.iter_mut().zip(low).zip(high) {
        let (low, high) = (cell::<8>(low * steps_per_unit), cell::<8>(high * steps_per_unit));
        *byte = (low + 8.0) as u8 | ((high + 8.0) as u8) << 4;
    }
    quantized
}

#[inline(always)]
fn quantize_8(residual: &[f32], out: &mut [u8]) -> Quantized {
    let (steps_per_unit, quantized) = best_grid::<128>(residual, &WIDTHS_8);
    for (byte, value) in out.iter_mut().zip(residual) {
        *byte = (cell::<128>(value * steps_per_unit) + 128.0) as u8;
    }
    quantized
}

/// The grid cell of a value in steps, `HALF` cells on either side of zero. Its grid point is half a step above.
#[inline(always)]
fn cell<const HALF: i32>(steps: f32) -> f32 {
    steps.floor().max(-HALF as f32).min((HALF - 1) as f32)
}

/// Of the grids of all widths that of the greatest cosine, in steps per unit, and what its points give.
#[inline(always)]
fn best_grid<const HALF: i32>(residual: &[f32], widths: &[f32]) -> (f32, Quantized) {
    let most = residual.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let widest = HALF as f32 / most;
    let mut best = (0.0, Quantized { norm_dot: 0.0, norm_squared: residual.len() as f32 * 0.25 });
    // Values so small that their steps overflow are as good as zero.
    if !(4.0 * widest).is_finite() {
        return best;
    }
    let mut most = 0.0;
    for width in widths {
        let steps_per_unit = widest / width;
        let quantized = grid::<HALF>(residual, steps_per_unit);
        let cosine = quantized.norm_dot / quantized.norm_squared.sqrt();
        if cosine > most {
            (most, best) = (cosine, (steps_per_unit, quantized));
        }
    }
    best
}

const LANES: usize = 32;

#[inline(always)]
fn grid<const HALF: i32>(residual: &[f32], steps_per_unit: f32) -> Quantized {
    let (mut dots, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
    for values in residual.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let point = cell::<HALF>(values[lane] * steps_per_unit) + 0.5;
            dots[lane] += point * values[lane];
            squares[lane] += point * point;
        }
    }
    Quantized { norm_dot: dots.iter().sum(), norm_squared: squares.iter().sum() }
}
