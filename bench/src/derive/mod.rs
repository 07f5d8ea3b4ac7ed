//! Sets made from another one: a larger one of the same kind, and one of its leading principal components.

mod components;
mod grow;

use std::path::PathBuf;

use pinyon_model::Metric;
use serde_json::json;

use self::{components::Components, grow::Grown};
use crate::{
    Failure,
    sets::{
        matrix::{Matrix, unit},
        npy::{Kind, Writer},
        read_vectors,
        truth::{Exact, Placed, fingerprint, kept},
    },
};

/// What to make.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// Vectors to start from, one a row: .npy or .fvecs
    #[arg(long)]
    base: PathBuf,
    /// Queries, which the components are taken of too
    #[arg(long)]
    query: PathBuf,
    /// Folder to write to
    #[arg(long)]
    out: PathBuf,
    /// Make a set of so many new rows, none of them an old one: 0.7 × a row + 0.3 × one of its 50 nearest + noise of norm 0.2, at unit length
    #[arg(long)]
    grow: Option<usize>,
    /// Make a set of so many leading principal components of the rows, at unit length, and of the queries alike
    #[arg(long)]
    components: Option<usize>,
    /// What the random numbers begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let (base, queries) = (read_vectors(&settings.base)?, read_vectors(&settings.query)?);
    if base.dimension() != queries.dimension() || base.rows() < 2 {
        return Err("there must be two rows at least, and the queries must have their dimension".into());
    }
    std::fs::create_dir_all(&settings.out)?;
    if let Some(count) = settings.components {
        let components = Components::of(&base, count)?;
        write(
            &settings.out.join(format!("components-{count}.base.f16.npy")),
            base.rows(),
            count,
            base.iter().map(|row| components.project(row)),
        )?;
        write(
            &settings.out.join(format!("components-{count}.query.f16.npy")),
            queries.rows(),
            count,
            queries.iter().map(|row| components.project(row)),
        )?;
        println!("{}", json!({ "derived": "components", "count": count, "share_of_variance": components.share() }));
    }
    if let Some(rows) = settings.grow {
        let neighbours = neighbours(settings, &base)?;
        let mut grown = Grown::new(&base, &neighbours, settings.seed);
        write(&settings.out.join(format!("grown-{rows}.base.f16.npy")), rows, base.dimension(), (0..rows).map(|_| grown.next_row()))?;
        write(
            &settings.out.join(format!("grown-{rows}.query.f16.npy")),
            queries.rows(),
            base.dimension(),
            queries.iter().map(<[f32]>::to_vec),
        )?;
    }
    Ok(())
}

/// Every row's nearest other rows.
fn neighbours(settings: &Settings, base: &Matrix) -> Result<Vec<Vec<u32>>, Failure> {
    let name = format!("neighbours-of-rows-{:016x}", fingerprint([base.values()].into_iter()));
    kept(Some(&settings.out), &name, || {
        let rows: Vec<u32> = (0..base.rows() as u32).collect();
        let records: Vec<Placed> = rows.iter().map(|row| Placed { row: *row, vector: *row }).collect();
        let mut lines = Exact { base, queries: base, metric: Metric::Cosine }.nearest(&records, &rows, grow::NEIGHBOURS + 1);
        for (row, line) in lines.iter_mut().enumerate() {
            // Among many equal rows it need not be found itself.
            line.retain(|other| *other != row as u32);
            line.truncate(grow::NEIGHBOURS);
        }
        lines
    })
}

/// Writes rows at unit length, as float16.
fn write(path: &std::path::Path, rows: usize, columns: usize, values: impl Iterator<Item = Vec<f32>>) -> Result<(), Failure> {
    let mut writer = Writer::create(path, Kind::F16, rows, columns)?;
    for mut row in values {
        unit(&mut row);
        writer.write(&row)?;
    }
    writer.finish()?;
    println!("{}", json!({ "written": path.display().to_string(), "rows": rows, "dimension": columns }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::vectors::Values;

    #[test]
    fn derived_sets_are_written_at_unit_length_and_the_same_each_time() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("base.npy");
        let mut writer = Writer::create(&path, Kind::F32, 120, 10).expect("it opens");
        writer.write(&Values::new(5).take(1_200)).expect("it fits");
        writer.finish().expect("it is full");
        let make = |out: &str| {
            let out = folder.path().join(out);
            let settings =
                Settings { base: path.clone(), query: path.clone(), out: out.clone(), grow: Some(300), components: Some(4), seed: 1 };
            run(&settings).expect("it is made");
            let read = |name: &str| read_vectors(&out.join(name)).expect("it is sound");
            (read("grown-300.base.f16.npy"), read("components-4.base.f16.npy"), read("components-4.query.f16.npy"))
        };
        let ((grown, base, query), again) = (make("a"), make("b"));
        assert_eq!((grown.rows(), grown.dimension(), base.rows(), base.dimension()), (300, 10, 120, 4));
        for row in grown.iter().chain(base.iter()) {
            assert!((row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 0.01);
        }
        assert_eq!(base.values(), query.values());
        assert_eq!((grown.values(), base.values()), (again.0.values(), again.1.values()));
    }
}
