//! Every level gives what naive loops over unpacked codes give: the same bits for scans, sums, transforms and codes, products of
//! matrices within their rounding.

use pinyon_kernels::{CodeBits, Kernels, Quantized, SCAN_BLOCK_LANES, ScanQuery, SecondQuery, pack_scan_block, scan_block_bytes};
use proptest::prelude::*;

const PADDED: [usize; 11] = [64, 128, 192, 320, 384, 448, 1_024, 1_088, 1_536, 3_072, 20_032];

/// Made-up numbers, the same for a seed.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Roughly normal: the sum of four uniform ones.
    fn value(&mut self) -> f32 {
        let bits = self.next();
        (0..4).map(|at| (bits >> (16 * at) & 0xFFFF) as f32 / 65_536.0 - 0.5).sum()
    }

    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// Vectors of 1-bit codes, unpacked and as the blocks a scan reads.
struct Codes {
    rows: Vec<Vec<u8>>,
    constants: Vec<(f32, f32)>,
    blocks: Vec<u8>,
}

impl Codes {
    fn new(padded: usize, count: usize, numbers: &mut Numbers) -> Self {
        let rows: Vec<Vec<u8>> = (0..count).map(|_| numbers.bytes(padded / 8)).collect();
        let constants: Vec<(f32, f32)> = (0..count).map(|_| (numbers.value(), numbers.value() + 2.0)).collect();
        Self::of(padded, rows, constants)
    }

    fn of(padded: usize, rows: Vec<Vec<u8>>, constants: Vec<(f32, f32)>) -> Self {
        let mut blocks = Vec::new();
        for (rows, constants) in rows.chunks(SCAN_BLOCK_LANES).zip(constants.chunks(SCAN_BLOCK_LANES)) {
            let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let mut block = vec![0xAA; 4 * padded];
            pack_scan_block(&rows, padded, &mut block);
            let lane = |at: usize| constants.get(at).copied().unwrap_or((f32::NEG_INFINITY, 0.0));
            block.extend((0..SCAN_BLOCK_LANES).flat_map(|at| lane(at).0.to_le_bytes()));
            block.extend((0..SCAN_BLOCK_LANES).flat_map(|at| lane(at).1.to_le_bytes()));
            assert_eq!(block.len(), scan_block_bytes(padded));
            blocks.extend(block);
        }
        Self { rows, constants, blocks }
    }

    /// What a scan should append: straight from the signs of the rows, without the layout.
    fn estimates(&self, query: &ScanQuery, first: u32, base: f32, floor: f32) -> Vec<(u32, f32)> {
        let of_row = |(row, (addend, factor)): (&Vec<u8>, &(f32, f32))| {
            let pattern = |group: usize| usize::from(row[group / 2] >> (group % 2 * 4) & 15);
            let sum: u32 = (0..query.table.len() / 16).map(|group| u32::from(query.table[16 * group + pattern(group)])).sum();
            base + (addend + factor * (query.scale * sum as f32 + query.offset))
        };
        let estimates = self.rows.iter().zip(&self.constants).map(of_row);
        (first..).zip(estimates).filter(|(_, estimate)| *estimate >= floor && *estimate > f32::NEG_INFINITY).collect()
    }
}

fn bits(found: &[(u32, f32)]) -> Vec<(u32, u32)> {
    found.iter().map(|(position, estimate)| (*position, estimate.to_bits())).collect()
}

#[track_caller]
fn assert_scans(query: &ScanQuery, codes: &Codes, first: u32, base: f32, floor: f32) {
    let before = (7, 0.5);
    let expected: Vec<_> = std::iter::once(before).chain(codes.estimates(query, first, base, floor)).collect();
    for kernels in Kernels::all_available() {
        let mut found = vec![before];
        kernels.scan_codes(query, &codes.blocks, first, base, floor, &mut found);
        let what = format!("{:?}, {} dimensions, {} rows, floor {floor}", kernels.level(), query.padded(), codes.rows.len());
        assert_eq!(bits(&found), bits(&expected), "{what}");
        // What is scanned next changes nothing, whatever its length.
        for len in [1, codes.blocks.len() / 2, codes.blocks.len(), codes.blocks.len() + 5_000] {
            let mut again = vec![before];
            kernels.scan_codes_before(&vec![0; len], query, &codes.blocks, first, base, floor, &mut again);
            assert_eq!(bits(&again), bits(&expected), "{what}, and then {len} bytes");
        }
    }
}

/// A query whose sums are as large as they get where the code has ones.
fn full_query(padded: usize) -> ScanQuery {
    ScanQuery { table: vec![255; 4 * padded], scale: 0.5, offset: -1.0 }
}

#[test]
fn every_dimension_and_count_scans_as_the_reference_does() {
    let mut numbers = Numbers::new(1);
    for padded in PADDED {
        let query = ScanQuery::new(&numbers.values(padded));
        for count in [0, 1, 31, 32, 33, 64, 65, 100, 160] {
            let codes = Codes::new(padded, count, &mut numbers);
            let mut all: Vec<f32> = codes.estimates(&query, 0, 0.25, f32::MIN).iter().map(|(_, estimate)| *estimate).collect();
            assert_eq!(all.len(), count);
            assert_scans(&query, &codes, 0, 0.25, f32::NEG_INFINITY);
            assert_scans(&query, &codes, 1_000, 0.25, f32::INFINITY);
            all.sort_by(f32::total_cmp);
            // At an estimate itself, and a hair above it.
            for floor in [all.first(), all.get(count / 2), all.last()].into_iter().flatten() {
                assert_scans(&query, &codes, 5, 0.25, *floor);
                assert_scans(&query, &codes, u32::MAX - 200, 0.25, floor.next_up());
            }
        }
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    for padded in PADDED {
        let codes = Codes::new(padded, 70, &mut Numbers::new(2));
        assert_scans(&full_query(padded), &codes, 0, 1.0, f32::MIN);
        let found = codes.estimates(&full_query(padded), 0, 0.0, f32::MIN);
        let (addend, factor) = codes.constants[0];
        assert_eq!(found[0].1, addend + factor * (0.5 * (255 * padded / 4) as f32 - 1.0));
    }
}

/// A scan that is long enough to ask for memory ahead, and for its end.
#[test]
fn a_long_scan_finds_all_rows() {
    let mut numbers = Numbers::new(3);
    let query = ScanQuery::new(&numbers.values(128));
    assert_scans(&query, &Codes::new(128, 3_000, &mut numbers), 0, 0.0, 0.5);
}

#[test]
fn lanes_that_are_not_used_are_never_found() {
    let mut numbers = Numbers::new(4);
    let rows: Vec<_> = (0..40).map(|_| numbers.bytes(8)).collect();
    let constants = (0..40).map(|at| if at % 3 == 0 { (f32::NEG_INFINITY, 1.0) } else { (0.0, 1.0) }).collect();
    let codes = Codes::of(64, rows, constants);
    assert_scans(&ScanQuery::new(&numbers.values(64)), &codes, 0, 0.0, f32::NEG_INFINITY);
    let query = ScanQuery::new(&numbers.values(64));
    for kernels in Kernels::all_available() {
        let mut found = Vec::new();
        kernels.scan_codes(&query, &codes.blocks, 0, 0.0, f32::NEG_INFINITY, &mut found);
        assert_eq!(found.len(), 26, "{:?}", kernels.level());
    }
}

/// The promise of a query: its sums stand for the dot product with the signs, to the rounding of its entries.
#[test]
fn a_scan_estimates_the_dot_product_with_the_signs() {
    let mut numbers = Numbers::new(5);
    for padded in PADDED {
        let rotated = numbers.values(padded);
        let query = ScanQuery::new(&rotated);
        let row = numbers.bytes(padded / 8);
        let exact: f64 =
            rotated.iter().enumerate().map(|(at, value)| f64::from(if row[at / 8] >> (at % 8) & 1 == 1 { *value } else { -value })).sum();
        let codes = Codes::of(padded, vec![row], vec![(0.0, 1.0)]);
        let estimate = codes.estimates(&query, 0, 0.0, f32::MIN)[0].1;
        // Half a step for each entry, and the rounding of sums in f32.
        let allowed = f64::from(query.scale) * padded as f64 / 8.0 + f64::from(query.offset.abs()) * 1e-4;
        assert!((f64::from(estimate) - exact).abs() <= allowed, "{padded}: {estimate}, exactly {exact}");
        // In truth the errors cancel: their spread is that of an even distribution.
        let likely = 6.0 * f64::from(query.scale) * (padded as f64 / 48.0).sqrt() + f64::from(query.offset.abs()) * 1e-4;
        assert!((f64::from(estimate) - exact).abs() <= likely, "{padded}: {estimate}, exactly {exact}");
    }
}

#[test]
fn a_query_of_zeros_estimates_zero() {
    let codes = Codes::new(64, 3, &mut Numbers::new(6));
    let query = ScanQuery::new(&[0.0; 64]);
    assert_scans(&query, &codes, 0, 0.0, f32::MIN);
    assert_eq!((query.scale, query.offset), (0.0, 0.0));
    let second = SecondQuery::new(&[0.0; 64], CodeBits::Four);
    assert_eq!(second, SecondQuery { values: vec![0; 64], scale: 0.0, offset: 0.0 });
}

/// The code of dimension `at`.
fn code_value(bits: CodeBits, code: &[u8], at: usize) -> u8 {
    match bits {
        CodeBits::Four if at < code.len() => code[at] & 15,
        CodeBits::Four => code[at - code.len()] >> 4,
        CodeBits::Eight => code[at],
    }
}

/// The grid point of dimension `at`.
fn grid_point(bits: CodeBits, code: &[u8], at: usize) -> f64 {
    let shift = if bits == CodeBits::Four { 7.5 } else { 127.5 };
    f64::from(code_value(bits, code, at)) - shift
}

#[track_caller]
fn assert_sums(bits: CodeBits, query: &[i8], codes: &[u8], stride: usize, positions: &[u32]) {
    let expected: Vec<i32> = positions
        .iter()
        .map(|position| {
            let code = &codes[*position as usize * stride..][..bits.code_bytes(query.len())];
            query.iter().enumerate().map(|(at, value)| i32::from(code_value(bits, code, at)) * i32::from(*value)).sum()
        })
        .collect();
    for kernels in Kernels::all_available() {
        let mut sums = vec![-1; positions.len()];
        kernels.code_sums(bits, query, codes, stride, positions, &mut sums);
        assert_eq!(sums, expected, "{:?}, {bits:?}, {} dimensions", kernels.level(), query.len());
    }
}

#[test]
fn code_sums_are_exact_at_every_dimension() {
    let mut numbers = Numbers::new(7);
    for bits in [CodeBits::Four, CodeBits::Eight] {
        for padded in PADDED {
            for gap in [0, 8] {
                let stride = bits.code_bytes(padded) + gap;
                // Nothing need follow the last code.
                let codes = numbers.bytes(stride * 20 - gap);
                let query: Vec<i8> = numbers.bytes(padded).into_iter().map(u8::cast_signed).collect();
                for count in [0, 1, 2, 9, 30] {
                    let positions: Vec<u32> = (0..count).map(|_| (numbers.next() % 20) as u32).chain([19]).collect();
                    assert_sums(bits, &query, &codes, stride, &positions);
                }
            }
        }
    }
}

#[test]
fn the_largest_products_do_not_saturate() {
    for bits in [CodeBits::Four, CodeBits::Eight] {
        for padded in PADDED {
            let codes = vec![255; bits.code_bytes(padded)];
            for value in [i8::MIN, i8::MAX] {
                assert_sums(bits, &vec![value; padded], &codes, codes.len(), &[0]);
            }
        }
    }
}

#[test]
#[should_panic(expected = "range")]
fn a_position_behind_the_last_code_is_refused() {
    Kernels::detect().code_sums(CodeBits::Four, &[1; 64], &[0; 64], 32, &[0, 2], &mut [0, 0]);
}

#[test]
#[should_panic(expected = "not whole blocks")]
fn half_a_block_is_refused() {
    Kernels::detect().scan_codes(&ScanQuery::new(&[1.0; 64]), &[0; 300], 0, 0.0, 0.0, &mut Vec::new());
}

#[test]
#[should_panic(expected = "not padded")]
fn a_query_that_is_not_padded_is_refused() {
    ScanQuery::new(&[1.0; 60]);
}

/// The code of one residual, the same on all levels.
#[track_caller]
fn quantized(bits: CodeBits, residual: &[f32]) -> (Vec<u8>, Quantized) {
    let of = |kernels: Kernels| {
        let mut code = vec![0xAA; bits.code_bytes(residual.len())];
        let quantized = kernels.quantize(bits, residual, &mut code);
        (code, quantized)
    };
    let expected = of(Kernels::scalar());
    for kernels in Kernels::all_available() {
        assert_eq!(of(kernels), expected, "{:?}, {bits:?}, {} dimensions", kernels.level(), residual.len());
    }
    expected
}

#[test]
fn a_code_says_what_its_grid_points_are() {
    let mut numbers = Numbers::new(8);
    for (bits, least_cosine) in [(CodeBits::Four, 0.993), (CodeBits::Eight, 0.99997)] {
        for padded in PADDED {
            let residual = numbers.values(padded);
            let (code, found) = quantized(bits, &residual);
            let points: Vec<f64> = (0..padded).map(|at| grid_point(bits, &code, at)).collect();
            let dot: f64 = points.iter().zip(&residual).map(|(point, value)| point * f64::from(*value)).sum();
            let square: f64 = points.iter().map(|point| point * point).sum();
            assert!((f64::from(found.norm_dot) / dot - 1.0).abs() < 1e-4, "{padded}: {found:?}, exactly {dot}");
            assert!((f64::from(found.norm_squared) / square - 1.0).abs() < 1e-4, "{padded}: {found:?}, exactly {square}");
            let norm: f64 = residual.iter().map(|value| f64::from(*value).powi(2)).sum();
            let cosine = dot / (norm * square).sqrt();
            assert!(cosine > least_cosine, "{bits:?}, {padded}: cosine {cosine}");
        }
    }
}

/// A second query's promise: `<u, q> ≈ scale · sum + offset`.
#[test]
fn a_sum_stands_for_the_dot_product_with_the_grid_points() {
    let mut numbers = Numbers::new(9);
    for bits in [CodeBits::Four, CodeBits::Eight] {
        for padded in PADDED {
            let (rotated, residual) = (numbers.values(padded), numbers.values(padded));
            let (code, _) = quantized(bits, &residual);
            let query = SecondQuery::new(&rotated, bits);
            let mut sums = [0];
            Kernels::detect().code_sums(bits, &query.values, &code, code.len(), &[0], &mut sums);
            let estimate = f64::from(query.scale) * f64::from(sums[0]) + f64::from(query.offset);
            let exact: f64 = rotated.iter().enumerate().map(|(at, value)| grid_point(bits, &code, at) * f64::from(*value)).sum();
            let size: f64 = (0..padded).map(|at| grid_point(bits, &code, at).powi(2)).sum();
            // The values' roundings, each half a step at most, cancel like even errors; and the offset is an f32.
            let likely = 6.0 * f64::from(query.scale) * (size / 12.0).sqrt() + f64::from(query.offset.abs()) * 1e-6;
            assert!((estimate - exact).abs() <= likely, "{bits:?}, {padded}: {estimate}, exactly {exact}");
        }
    }
}

#[test]
fn a_residual_of_zeros_or_next_to_it_has_a_code() {
    for bits in [CodeBits::Four, CodeBits::Eight] {
        let (code, found) = quantized(bits, &[0.0; 64]);
        assert_eq!((found.norm_dot, found.norm_squared), (0.0, 16.0));
        assert!((0..64).all(|at| grid_point(bits, &code, at) == 0.5));
        for tiny in [1e-45, 1e-40, 1e-38, 1e-30] {
            let mut residual = [0.0; 64];
            residual[3] = -tiny;
            let (_, found) = quantized(bits, &residual);
            assert!(found.norm_dot >= 0.0 && found.norm_squared > 0.0 && found.norm_squared.is_finite(), "{tiny}: {found:?}");
        }
    }
}

/// The Hadamard matrix has +1 where row and column share an even number of bits.
#[test]
fn the_transform_is_the_hadamard_matrix() {
    let mut numbers = Numbers::new(10);
    for len in (0..9).map(|power| 1 << power) {
        let values = numbers.values(len);
        for kernels in Kernels::all_available() {
            let mut got = values.clone();
            kernels.hadamard(&mut got);
            for (row, got) in got.iter().enumerate() {
                let signed = |(column, value): (usize, &f32)| f64::from(if (row & column).count_ones() % 2 == 0 { *value } else { -value });
                let expected: f64 = values.iter().enumerate().map(signed).sum();
                assert!((f64::from(*got) - expected).abs() < 1e-4, "{:?}, {len}, row {row}: {got}, expected {expected}", kernels.level());
            }
        }
    }
}

#[test]
fn the_transform_has_the_same_bits_on_every_level_and_undoes_itself() {
    for len in (0..15).map(|power| 1 << power) {
        let values = Numbers::new(11).values(len);
        let transformed = |kernels: Kernels| {
            let mut values = values.clone();
            kernels.hadamard(&mut values);
            values
        };
        let expected = transformed(Kernels::scalar());
        for kernels in Kernels::all_available() {
            let mut got = transformed(kernels);
            assert!(got.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{:?}, {len} values", kernels.level());
            kernels.hadamard(&mut got);
            assert!(got.iter().zip(&values).all(|(twice, once)| (twice / len as f32 - once).abs() < 1e-4), "{:?}, {len}", kernels.level());
        }
    }
}

#[test]
#[should_panic(expected = "transform of 48 values")]
fn a_transform_of_another_length_is_refused() {
    Kernels::detect().hadamard(&mut [0.0; 48]);
}

#[track_caller]
fn assert_dots(dimension: usize, m: usize, k: usize, numbers: &mut Numbers) {
    let (rows, columns) = (numbers.values(m * dimension), numbers.values(k * dimension));
    for kernels in Kernels::all_available() {
        let mut out = vec![f32::NAN; m * k];
        kernels.dots_f32(dimension, &rows, &columns, &mut out);
        for (at, got) in out.iter().enumerate() {
            let (row, column) = (&rows[at / k * dimension..][..dimension], &columns[at % k * dimension..][..dimension]);
            let terms = row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let allowed = (dimension as f64 + 4.0) * f64::from(f32::EPSILON) * size;
            let what = format!("{:?}, {m} × {k} of {dimension} at {at}", kernels.level());
            assert!((f64::from(*got) - sum).abs() <= allowed, "{what}: {got}, expected {sum} within {allowed}");
        }
    }
}

#[test]
fn products_of_matrices_are_those_of_their_vectors() {
    let mut numbers = Numbers::new(12);
    for dimension in [1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 384] {
        for m in [0, 1, 2, 3, 4, 5, 9] {
            for k in [0, 1, 2, 3, 4, 5, 8, 9, 17] {
                assert_dots(dimension, m, k, &mut numbers);
            }
        }
    }
    // More rows than are taken at a time, and rows too long for that.
    assert_dots(384, 70, 11, &mut numbers);
    assert_dots(20_032, 6, 5, &mut numbers);
    assert_dots(0, 0, 0, &mut numbers);
}

#[test]
#[should_panic(expected = "not one dot product")]
fn products_of_another_number_are_refused() {
    Kernels::detect().dots_f32(2, &[1.0, 2.0], &[1.0, 2.0], &mut [0.0, 0.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_scan_is_as_the_reference_says(
        sixty_fours in 1usize..26, count in 0usize..140, seed: u64, first in 0u32..1_000_000, base in -2.0f32..2.0, rank in 0.0f64..1.0,
    ) {
        let mut numbers = Numbers::new(seed);
        let padded = 64 * sixty_fours;
        let query = ScanQuery::new(&numbers.values(padded));
        let mut codes = Codes::new(padded, count, &mut numbers);
        for constants in codes.constants.iter_mut().filter(|_| numbers.next().is_multiple_of(5)) {
            constants.0 = f32::NEG_INFINITY;
        }
        let codes = Codes::of(padded, codes.rows, codes.constants);
        let mut all: Vec<f32> = codes.estimates(&query, 0, base, f32::MIN).iter().map(|(_, estimate)| *estimate).collect();
        all.sort_by(f32::total_cmp);
        let floor = all.get((rank * all.len() as f64) as usize).copied().unwrap_or(f32::MIN);
        assert_scans(&query, &codes, first, base, floor);
    }

    #[test]
    fn any_code_sums_are_exact(sixty_fours in 1usize..26, eight: bool, gap in 0usize..20, count in 0usize..40, seed: u64) {
        let mut numbers = Numbers::new(seed);
        let bits = if eight { CodeBits::Eight } else { CodeBits::Four };
        let stride = bits.code_bytes(64 * sixty_fours) + gap;
        let codes = numbers.bytes(stride * 30);
        let query: Vec<i8> = numbers.bytes(64 * sixty_fours).into_iter().map(u8::cast_signed).collect();
        let positions: Vec<u32> = (0..count).map(|_| (numbers.next() % 30) as u32).collect();
        assert_sums(bits, &query, &codes, stride, &positions);
    }

    #[test]
    fn any_products_are_those_of_their_vectors(dimension in 1usize..100, m in 0usize..20, k in 0usize..30, seed: u64) {
        assert_dots(dimension, m, k, &mut Numbers::new(seed));
    }
}
