//! Sets that no codes were made for: nothing to tell vectors apart by, or far too much.

use pinyon_engine::{EngineSettings, Kept};
use pinyon_model::{DeleteSelector, Metric};

use crate::{
    block_on,
    data::{Chance, Mixture, Norms, Row},
    support::name,
    world::{World, id, ids, settings},
};

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Euclidean, Metric::Dotproduct];

fn rows(vectors: impl IntoIterator<Item = Vec<f32>>) -> impl Iterator<Item = (String, Row)> {
    (0..).map(id).zip(vectors.into_iter().map(|vector| Row { vector, part: 0 }))
}

fn vectors(rows: Vec<Row>) -> Vec<Vec<f32>> {
    rows.into_iter().map(|row| row.vector).collect()
}

async fn world_of(metric: Metric, vectors: Vec<Vec<f32>>) -> World {
    let mut world = World::new(vectors[0].len(), metric, settings()).await;
    world.store(rows(vectors)).await;
    world
}

/// All are found as the naive model finds them, in the same order.
async fn assert_exact(world: &World, query: &[f32], k: usize, what: &str) {
    let found = world.ask(query, k, None).await;
    assert_eq!(ids(&found), world.best(query, k), "{:?} {what}, top_k {k}", world.metric);
}

#[test]
fn zero_vectors_and_zero_queries() {
    block_on(async {
        for metric in METRICS {
            let zeros = world_of(metric, vec![vec![0.0; 8]; 1_000]).await;
            for k in [1, 10, 300] {
                assert_exact(&zeros, &[1.0; 8], k, "all zero").await;
                assert_exact(&zeros, &[0.0; 8], k, "all zero, and the query").await;
            }
            let mut some = vectors(Mixture::new(8, Norms::Plain, 1).some(2_000));
            some.iter_mut().step_by(3).for_each(|vector| vector.fill(0.0));
            let some = world_of(metric, some).await;
            for k in [1, 10, 300] {
                assert_exact(&some, &[0.0; 8], k, "a third zero, and the query").await;
            }
            let queries = vectors(Mixture::new(8, Norms::Plain, 1).some(2_050)).split_off(2_000);
            for k in [1, 10, 100] {
                let recall = some.recall(&queries, k).await;
                assert!(recall >= if k == 10 { 0.97 } else { 0.95 }, "{metric:?} a third zero, top_k {k}: {recall}");
            }
        }
    });
}

#[test]
fn identical_vectors_come_by_their_ids() {
    block_on(async {
        for metric in METRICS {
            let mut mixture = Mixture::new(24, Norms::Plain, 5);
            let one = mixture.draw().vector;
            let same = world_of(metric, vec![one.clone(); 4_000]).await;
            let query = mixture.draw().vector;
            for k in [1, 10, 100, 1_000] {
                assert_exact(&same, &one, k, "identical, asked for itself").await;
                assert_exact(&same, &query, k, "identical").await;
            }
            // The copies lie among others.
            let mut mixed = vectors(mixture.some(4_000));
            mixed.iter_mut().skip(7).step_by(2).for_each(|vector| vector.clone_from(&one));
            let mixed = world_of(metric, mixed).await;
            for k in [1, 10, 100, 1_000] {
                let query: Vec<f32> = one.iter().map(|value| value * 100.0).collect();
                let query = if metric == Metric::Euclidean { &one } else { &query };
                let found = mixed.ask(query, k, None).await;
                if metric == Metric::Dotproduct {
                    let recall = mixed.recall(std::slice::from_ref(query), k).await;
                    assert!(recall >= 0.95, "{metric:?} copies among others, top_k {k}: {recall}");
                } else {
                    assert_eq!(ids(&found), mixed.best(query, k), "{metric:?} copies among others, top_k {k}");
                }
            }
        }
    });
}

/// Of the giant cluster, in distances of its middle from zero.
const SPREAD: f64 = 0.3;

#[test]
fn one_giant_cluster_and_outliers() {
    block_on(async {
        for metric in METRICS {
            let mut chance = Chance(9);
            let mut near = |spread: f64| -> Vec<f32> { (0..48).map(|_| (1.0 + spread * chance.normal()) as f32).collect() };
            let mut all: Vec<Vec<f32>> = (0..5_000).map(|_| near(SPREAD)).collect();
            let outliers: Vec<Vec<f32>> = (0..40).map(|_| near(30.0)).collect();
            let mut queries: Vec<Vec<f32>> = (0..40).map(|_| near(SPREAD)).collect();
            // Near an outlier, as a query for it would be.
            queries.extend(outliers.iter().take(20).map(|outlier| outlier.iter().zip(near(3.0)).map(|(a, b)| a + b).collect()));
            all.extend(outliers);
            let world = world_of(metric, all).await;
            for k in [1, 10, 100] {
                let (inside, outside) = (world.recall(&queries[..40], k).await, world.recall(&queries[40..], k).await);
                println!("{metric:?} giant cluster, top_k {k}: inside {inside:.4}, outside {outside:.4}");
                assert!(inside >= 0.95, "{metric:?} top_k {k}: {inside}");
            }
        }
    });
}

#[test]
fn equal_norms() {
    block_on(async {
        for metric in METRICS {
            let mut mixture = Mixture::new(64, Norms::Equal, 7);
            let world = world_of(metric, vectors(mixture.some(4_000))).await;
            let queries = vectors(mixture.some(100));
            for k in [1, 10, 100] {
                let recall = world.recall(&queries, k).await;
                println!("{metric:?} equal norms, top_k {k}: {recall:.4}");
                assert!(recall >= if k == 10 { 0.97 } else { 0.95 }, "{metric:?} top_k {k}: {recall}");
            }
        }
    });
}

#[test]
fn every_dimension() {
    block_on(async {
        let sizes = [(1, 2_000), (2, 2_000), (3, 2_000), (63, 2_000), (64, 2_000), (65, 2_000), (1_536, 600), (3_072, 400), (20_000, 150)];
        for (dimension, count) in sizes {
            for metric in METRICS {
                let mut mixture = Mixture::new(dimension, Norms::Plain, 11);
                let mut world = World::new(dimension, metric, EngineSettings { coded_vectors: 50, ..settings() }).await;
                world.store(rows(vectors(mixture.some(count)))).await;
                let queries = vectors(mixture.some(if dimension > 1_000 { 20 } else { 60 }));
                for k in [1, 10] {
                    let recall = world.recall(&queries, k).await;
                    println!("{metric:?} {count} of {dimension} dimensions, top_k {k}: {recall:.4}");
                    assert!(recall >= 0.95, "{metric:?} {dimension} dimensions, top_k {k}: {recall}");
                }
            }
        }
    });
}

#[test]
fn numbers_too_large_or_small_for_codes_are_searched_exactly() {
    block_on(async {
        for metric in METRICS {
            for by in [1e20f32, 1e-20] {
                let mut mixture = Mixture::new(16, Norms::Equal, 13);
                let scaled = |row: &Row| -> Vec<f32> { row.vector.iter().map(|value| value * by).collect() };
                let mut some: Vec<Vec<f32>> = mixture.some(1_500).iter().map(scaled).collect();
                some.iter_mut().step_by(10).for_each(|vector| vector.iter_mut().for_each(|value| *value *= 0.5));
                let all = world_of(metric, some).await;
                let queries = mixture.some(10);
                for query in &queries {
                    for query in [scaled(query), query.vector.clone()] {
                        let recall = all.recall(&[query], 10).await;
                        // Cosines know no length, and go by codes.
                        assert!(recall == 1.0 || metric == Metric::Cosine && recall >= 0.9, "{metric:?} {by}: {recall}");
                    }
                }
            }
            // One that is too long among many that are not; and a query that is.
            let mut mixture = Mixture::new(16, Norms::Plain, 13);
            let mut some = vectors(mixture.some(1_500));
            let queries = vectors(mixture.some(10));
            let fine = world_of(metric, some.clone()).await;
            some[700].iter_mut().for_each(|value| *value *= 1e20);
            let one = world_of(metric, some).await;
            for query in queries {
                let long: Vec<f32> = query.iter().map(|value| value * 1e20).collect();
                let (found, none_long) = (one.recall(&[query], 10).await, fine.recall(&[long], 10).await);
                assert!(metric == Metric::Cosine || found == 1.0 && none_long == 1.0, "{metric:?}: {found} {none_long}");
                assert!(found >= 0.9 && none_long >= 0.9, "{metric:?}: {found} {none_long}");
            }
        }
    });
}

#[test]
fn empty_large_empty_large() {
    block_on(async {
        let mut mixture = Mixture::new(32, Norms::Plain, 15);
        // As in production: what is largely dead is written anew.
        let settings = EngineSettings { compact_segments: 4, compact_dead_percent: 30, ..settings() };
        let mut world = World::new(32, Metric::Euclidean, settings).await;
        let queries = vectors(mixture.some(60));
        for round in 0..4 {
            world.store((0..).map(id).zip(mixture.some(2_500))).await;
            for k in [1, 10, 100] {
                let recall = world.recall(&queries, k).await;
                assert!(recall >= 0.95, "round {round}, top_k {k}: {recall}");
            }
            match round {
                0 => drop(world.index.delete(&name("ns"), DeleteSelector::All).await.unwrap()),
                1 => world.delete((0..2_500).map(id).collect()).await,
                2 => world.index.delete_namespace(&name("ns"), Kept::NoLonger).await.unwrap(),
                _ => {
                    let filter = pinyon_model::Filter::Field("part".into(), pinyon_model::Condition::Exists(true));
                    world.index.delete(&name("ns"), DeleteSelector::Filter(filter)).await.unwrap();
                }
            }
            world.rows.clear();
            assert_eq!(world.ask(&queries[0], 10, None).await, []);
            if round % 2 == 0 {
                world.engine.flush_all().await.unwrap();
                world.restart().await;
                assert_eq!(world.ask(&queries[0], 10, None).await, []);
            }
        }
        assert_eq!(world.engine.check().await.unwrap().damaged, []);
    });
}
