//! `.npy` files, as far as sets of vectors need them: one- or two-dimensional, C order, little-endian, float16, float32, int32.
//!
//! ```text
//! 0   6  "\x93NUMPY"        6  2  version (1.0, 2.0 or 3.0)
//! 8   2 or 4  length of the text, little-endian (2 bytes in version 1.0)
//!     the text: {'descr': '<f2', 'fortran_order': False, 'shape': (117659, 384), }, padded with spaces to a multiple of 64
//!     the values, row after row
//! ```

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

use half::f16;

use super::matrix::Matrix;
use crate::Failure;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is believed: a real one has some hundred bytes.
const HEADER_MAX: usize = 65_536;

/// How one value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F16,
    F32,
    I32,
}

impl Kind {
    fn size(self) -> usize {
        if self == Kind::F16 { 2 } else { 4 }
    }

    fn descr(self) -> &'static str {
        match self {
            Kind::F16 => "<f2",
            Kind::F32 => "<f4",
            Kind::I32 => "<i4",
        }
    }
}

/// What the head of a file says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    kind: Kind,
    rows: usize,
    columns: usize,
}

impl Header {
    /// Reads the text of a header.
    fn parse(text: &str) -> Result<Self, Failure> {
        let descr = value_of(text, "descr")?.trim_matches(['\'', '"']);
        let kind = [Kind::F16, Kind::F32, Kind::I32]
            .into_iter()
            .find(|kind| kind.descr() == descr)
            .ok_or_else(|| format!("its values are {descr}; they must be <f2, <f4 or <i4"))?;
        if value_of(text, "fortran_order")? != "False" {
            return Err("its order is Fortran's; it must be C's".into());
        }
        let shape = value_of(text, "shape")?.trim_matches(['(', ')']);
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes =
            sizes.map(|size| size.parse::<usize>().map_err(|_| format!("its shape is ({shape})"))).collect::<Result<Vec<_>, _>>()?;
        let (rows, columns) = match sizes[..] {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => return Err(format!("its shape is ({shape}); it must have one or two dimensions").into()),
        };
        Ok(Self { kind, rows, columns })
    }

    /// The bytes before the values.
    fn bytes(&self) -> Vec<u8> {
        let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}", self.kind.descr(), self.rows, self.columns);
        let before = MAGIC.len() + 4;
        let length = (before + text.len() + 1).next_multiple_of(64) - before;
        let mut head = MAGIC.to_vec();
        head.extend([1, 0]);
        head.extend(u16::try_from(length).expect("a header of two numbers is short").to_le_bytes());
        head.extend(format!("{text:<width$}\n", width = length - 1).bytes());
        head
    }
}

/// The text of a value of the header's dictionary, up to the comma or brace that ends it.
fn value_of<'a>(text: &'a str, key: &str) -> Result<&'a str, Failure> {
    let at = [format!("'{key}'"), format!("\"{key}\"")].iter().find_map(|quoted| text.find(quoted).map(|at| at + quoted.len()));
    let rest = at.and_then(|at| text[at..].trim_start().strip_prefix(':')).ok_or_else(|| format!("its header has no {key}"))?.trim_start();
    let end = if rest.starts_with('(') { rest.find(')').map(|end| end + 1) } else { rest.find([',', '}']) };
    Ok(rest[..end.ok_or_else(|| format!("its header breaks off in {key}"))?].trim())
}

fn read_header(file: &mut impl Read) -> Result<Header, Failure> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if &start[..6] != MAGIC {
        return Err("it is no .npy file".into());
    }
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            file.read_exact(&mut length)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            file.read_exact(&mut length)?;
            u32::from_le_bytes(length) as usize
        }
        version => return Err(format!("its version is {version}; 1 to 3 are known").into()),
    };
    if length > HEADER_MAX {
        return Err(format!("its header has {length} bytes").into());
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    Header::parse(std::str::from_utf8(&text)?)
}

/// The values of a file, and their shape.
fn read_values(path: &Path) -> Result<(Header, Vec<u8>), Failure> {
    let mut file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let of_file = |error: Failure| -> Failure { format!("{}: {error}", path.display()).into() };
    let header = read_header(&mut file).map_err(of_file)?;
    let expected = header.rows.checked_mul(header.columns).and_then(|count| count.checked_mul(header.kind.size()));
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if expected != Some(bytes.len()) {
        let Header { rows, columns, .. } = header;
        return Err(of_file(format!("its values are {} bytes, which {rows} × {columns} do not take", bytes.len()).into()));
    }
    Ok((header, bytes))
}

/// Vectors, one a row. float16 becomes float32.
pub(crate) fn read_vectors(path: &Path) -> Result<Matrix, Failure> {
    let (header, bytes) = read_values(path)?;
    let values = match header.kind {
        Kind::F16 => bytes.chunks_exact(2).map(|two| f16::from_le_bytes([two[0], two[1]]).to_f32()).collect(),
        Kind::F32 => bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect(),
        Kind::I32 => return Err(format!("{}: whole numbers are no vectors", path.display()).into()),
    };
    Matrix::new(values, header.columns)
}

/// Row numbers, a line for each query; a negative number ends a line early.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    let (header, bytes) = read_values(path)?;
    if header.kind != Kind::I32 {
        return Err(format!("{}: row numbers must be <i4", path.display()).into());
    }
    let line = |bytes: &[u8]| {
        let numbers = bytes.chunks_exact(4).map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        numbers.map_while(|number| u32::try_from(number).ok()).collect()
    };
    Ok(if header.columns == 0 { vec![Vec::new(); header.rows] } else { bytes.chunks_exact(header.columns * 4).map(line).collect() })
}

/// Writes row numbers; shorter lines are filled with -1.
pub(crate) fn write_rows(path: &Path, lines: &[Vec<u32>]) -> Result<(), Failure> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&Header { kind: Kind::I32, rows: lines.len(), columns }.bytes())?;
    for line in lines {
        for at in 0..columns {
            let number = line.get(at).map_or(Ok(-1), |row| i32::try_from(*row))?;
            file.write_all(&number.to_le_bytes())?;
        }
    }
    Ok(file.flush()?)
}

/// A file of vectors that is written row by row.
pub(crate) struct Writer {
    file: BufWriter<File>,
    kind: Kind,
    values_left: usize,
}

impl Writer {
    /// Begins a file of so many rows.
    pub(crate) fn create(path: &Path, kind: Kind, rows: usize, columns: usize) -> Result<Self, Failure> {
        let mut file = BufWriter::new(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?);
        file.write_all(&Header { kind, rows, columns }.bytes())?;
        Ok(Self { file, kind, values_left: rows * columns })
    }

    /// Adds values in order.
    pub(crate) fn write(&mut self, values: &[f32]) -> Result<(), Failure> {
        self.values_left = self.values_left.checked_sub(values.len()).ok_or("more values than the header says")?;
        for value in values {
            match self.kind {
                Kind::F16 => self.file.write_all(&f16::from_f32(*value).to_le_bytes())?,
                Kind::F32 => self.file.write_all(&value.to_le_bytes())?,
                Kind::I32 => self.file.write_all(&(*value as i32).to_le_bytes())?,
            }
        }
        Ok(())
    }

    /// Ends the file, which must be full.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.file.flush()?;
        if self.values_left == 0 { Ok(()) } else { Err(format!("{} values are missing", self.values_left).into()) }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn parse(text: &str) -> Result<Header, String> {
        Header::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_header_as_numpy_writes_it() {
        let text = "{'descr': '<f2', 'fortran_order': False, 'shape': (117659, 384), }          \n";
        assert_eq!(parse(text), Ok(Header { kind: Kind::F16, rows: 117_659, columns: 384 }));
        assert_eq!(parse("{'shape': (5,), 'fortran_order': False, 'descr': \"<i4\"}"), Ok(Header { kind: Kind::I32, rows: 5, columns: 1 }));
    }

    #[test]
    fn a_header_of_something_else_says_what_is_wrong() {
        let wrong = |text: &str, with: &str| {
            let said = parse(text).expect_err(text);
            assert!(said.contains(with), "{said}");
        };
        wrong("{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1)}", "<f4");
        wrong("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1)}", "Fortran");
        wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1)}", "dimensions");
        wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (1, x)}", "shape");
        wrong("{'descr': '<f4', 'fortran_order': False, 'shape': (1", "breaks off");
        wrong("{'descr': '<f4', 'shape': (1, 1)}", "fortran_order");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("vectors.npy");
        for kind in [Kind::F16, Kind::F32] {
            let mut writer = Writer::create(&path, kind, 2, 3).expect("it opens");
            writer.write(&[1.0, -2.5, 0.0]).expect("it fits");
            writer.write(&[4.0, 0.5, -0.25]).expect("it fits");
            assert!(writer.write(&[1.0]).is_err(), "the file is full");
            writer.finish().expect("it is full");
            let read = read_vectors(&path).expect("it is sound");
            assert_eq!((read.dimension(), read.row(0), read.row(1)), (3, &[1.0, -2.5, 0.0][..], &[4.0, 0.5, -0.25][..]));
        }
        let length = std::fs::read(&path).expect("it is there").len();
        assert_eq!(length % 64, 24, "the values begin at a multiple of 64");
        let rows = vec![vec![3, 1, 2], vec![7], vec![]];
        write_rows(&path, &rows).expect("it is written");
        assert_eq!(read_rows(&path).expect("it is sound"), rows);
        assert!(read_vectors(&path).is_err());
    }

    #[test]
    fn a_file_that_breaks_off_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("short.npy");
        let mut writer = Writer::create(&path, Kind::F32, 2, 2).expect("it opens");
        writer.write(&[1.0, 2.0, 3.0]).expect("it fits");
        assert!(writer.finish().is_err());
        assert!(read_vectors(&path).is_err_and(|error| error.to_string().contains("2 × 2")));
        std::fs::write(&path, b"something else").expect("it is written");
        assert!(read_vectors(&path).is_err());
    }
}
