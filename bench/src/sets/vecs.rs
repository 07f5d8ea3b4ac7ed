//! `.fvecs` and `.ivecs` files: each row is its length as a little-endian int32, then as many float32 or int32.

use std::path::Path;

use super::matrix::Matrix;
use crate::Failure;

/// The rows of a file as words of four bytes, all of one length.
fn read_words(path: &Path) -> Result<(Vec<[u8; 4]>, usize), Failure> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |what: &str| -> Failure { format!("{}: {what}", path.display()).into() };
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(wrong("its size is no multiple of 4"));
    }
    let Some(first) = words.first() else { return Err(wrong("it is empty")) };
    let columns = usize::try_from(i32::from_le_bytes(*first)).map_err(|_| wrong("its first row has a negative length"))?;
    if words.len() % (columns + 1) != 0 || words.chunks_exact(columns + 1).any(|row| row[0] != *first) {
        return Err(wrong("its rows are not all equally long"));
    }
    Ok((words.chunks_exact(columns + 1).flat_map(|row| row[1..].to_vec()).collect(), columns))
}

/// Vectors, one a row.
pub(crate) fn read_vectors(path: &Path) -> Result<Matrix, Failure> {
    let (words, columns) = read_words(path)?;
    Matrix::new(words.into_iter().map(f32::from_le_bytes).collect(), columns)
}

/// Row numbers, a line for each query; a negative number ends a line early.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    let (words, columns) = read_words(path)?;
    let line = |line: &[[u8; 4]]| line.iter().map_while(|word| u32::try_from(i32::from_le_bytes(*word)).ok()).collect();
    Ok(words.chunks_exact(columns.max(1)).map(line).collect())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn rows_carry_their_length() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("set.fvecs");
        let row = |values: [f32; 2]| [2i32.to_le_bytes(), values[0].to_le_bytes(), values[1].to_le_bytes()].concat();
        std::fs::write(&path, [row([1.0, 2.0]), row([-3.0, 0.5])].concat()).expect("it is written");
        let read = read_vectors(&path).expect("it is sound");
        assert_eq!((read.rows(), read.row(1)), (2, &[-3.0, 0.5][..]));

        let numbers: Vec<u8> = [3, 5, 0, 9, 3, 8, 2, -1].iter().flat_map(|number: &i32| number.to_le_bytes()).collect();
        std::fs::write(&path, &numbers).expect("it is written");
        assert_eq!(read_rows(&path).expect("it is sound"), [vec![5, 0, 9], vec![8, 2]]);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("set.fvecs");
        let words = |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        for bytes in [vec![], vec![1, 0, 0], words(&[-1, 5]), words(&[2, 1]), words(&[1, 7, 2, 7]), words(&[2, 1, 1, 3, 1, 1])] {
            std::fs::write(&path, &bytes).expect("it is written");
            assert!(read_vectors(&path).is_err(), "{bytes:?}");
        }
    }
}
