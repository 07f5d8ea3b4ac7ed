//! Recall by class of filter and by number asked for, in a namespace that is fresh, half replaced, and largely deleted.

use pinyon_model::{Condition, Filter, Metric, Scalar};

use crate::{
    block_on,
    data::{Mixture, Norms, PARTS, Row},
    naive,
    world::{RANDOM_FIELDS, World, id, number_is, random_field, settings, share},
};

const COUNT: usize = 7_000;
const QUERIES: usize = 120;
/// What is asked for: how many, and by the first of how many queries.
const KS: [(usize, usize); 4] = [(1, QUERIES), (10, QUERIES), (100, 40), (1_000, 15)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    All,
    /// One in so many, at random.
    OneIn(&'static str, usize),
    /// The part of the mixture that the query is from.
    Near,
    /// The part farthest from it.
    Far,
    /// Three parts in five, those farthest from it.
    FarMost,
}

const CLASSES: [Class; 7] = [
    Class::All,
    Class::OneIn(RANDOM_FIELDS[0].0, RANDOM_FIELDS[0].1),
    Class::OneIn(RANDOM_FIELDS[1].0, RANDOM_FIELDS[1].1),
    Class::OneIn(RANDOM_FIELDS[2].0, RANDOM_FIELDS[2].1),
    Class::Near,
    Class::Far,
    Class::FarMost,
];

impl Class {
    /// The parts that match, for those that are about them.
    fn parts(self, mixture: &Mixture, query: &Row) -> Vec<usize> {
        match self {
            Class::Near => vec![query.part],
            Class::Far => mixture.far_from(query.part)[..1].to_vec(),
            Class::FarMost => mixture.far_from(query.part)[..PARTS * 3 / 5].to_vec(),
            _ => Vec::new(),
        }
    }

    fn filter(self, parts: &[usize], n: usize) -> Option<Filter> {
        match self {
            Class::All => None,
            Class::OneIn(field, values) => Some(number_is(field, n % values)),
            _ => {
                let parts = parts.iter().map(|part| Scalar::Number(*part as f64)).collect();
                Some(Filter::Field("part".to_owned(), Condition::In(parts)))
            }
        }
    }

    fn matches(self, parts: &[usize], n: usize, id: &str, row: &Row) -> bool {
        match self {
            Class::All => true,
            Class::OneIn(_, values) => random_field(id, values) == n % values,
            _ => parts.contains(&row.part),
        }
    }
}

/// Asks everything of a namespace as it is; tells what was below its bound.
async fn measure(world: &World, mixture: &Mixture, queries: &[Row], state: &str) -> Vec<String> {
    let mut found = [[(0, 0); KS.len()]; CLASSES.len()];
    for (n, query) in queries.iter().enumerate() {
        let scored = world.scored(&query.vector);
        for (class, found) in CLASSES.into_iter().zip(&mut found) {
            let parts = class.parts(mixture, query);
            let matching: Vec<_> =
                scored.iter().filter(|(scored, row)| class.matches(&parts, n, scored.id, row)).map(|(scored, _)| *scored).collect();
            for ((k, _), found) in KS.into_iter().zip(found).filter(|((_, queries), _)| n < *queries) {
                let answer = world.ask(&query.vector, k, class.filter(&parts, n)).await;
                let (hits, wanted) = naive::judge(world.metric, matching.clone(), k, &answer);
                *found = (found.0 + hits, found.1 + wanted);
            }
        }
    }
    let mut low = Vec::new();
    for (class, found) in CLASSES.iter().zip(found) {
        let shares = found.map(|(found, wanted)| share(found, wanted));
        println!("{state:12} {:24} at 1, 10, 100, 1000: {shares:.4?}", format!("{class:?}"));
        for ((k, _), share) in KS.into_iter().zip(shares) {
            let bound = if *class == Class::All && k == 10 { 0.97 } else { 0.95 };
            // Most of everything but what is near: a filter that is no class of its own, and harder than any.
            if share < bound && *class != Class::FarMost {
                low.push(format!("{state}, {class:?}, top_k {k}: {share}"));
            }
        }
    }
    low
}

fn recall(dimension: usize, metric: Metric, norms: Norms) {
    block_on(async {
        let mut mixture = Mixture::new(dimension, norms, 17);
        let rows = mixture.some(COUNT);
        let other = mixture.some(COUNT / 2);
        let queries = mixture.some(QUERIES);
        let mut world = World::new(dimension, metric, settings()).await;
        let mut low = Vec::new();
        let name = |state: &str| format!("{metric:?} {norms:?} {state}");
        world.store((0..).map(id).zip(rows)).await;
        low.extend(measure(&world, &mixture, &queries, &name("fresh")).await);
        world.store((0..).map(|n| id(n * 2)).zip(other)).await;
        low.extend(measure(&world, &mixture, &queries, &name("half replaced")).await);
        let dead = (0..COUNT).filter(|n| random_field(&id(*n), 5) > 0).map(id).collect();
        world.delete(dead).await;
        low.extend(measure(&world, &mixture, &queries, &name("80 % deleted")).await);
        assert!(low.is_empty(), "{}", low.join("\n"));
    });
}

#[test]
fn cosine() {
    recall(96, Metric::Cosine, Norms::Plain);
}

#[test]
fn euclidean() {
    recall(64, Metric::Euclidean, Norms::Plain);
}

#[test]
fn dotproduct() {
    recall(64, Metric::Dotproduct, Norms::Plain);
}

#[test]
fn dotproduct_of_log_normal_norms() {
    recall(80, Metric::Dotproduct, Norms::LogNormal);
}

#[test]
fn dotproduct_of_norms_over_eight_orders() {
    recall(64, Metric::Dotproduct, Norms::EightOrders);
}

#[test]
fn euclidean_of_norms_over_eight_orders() {
    recall(64, Metric::Euclidean, Norms::EightOrders);
}

/// What lies near the query is dead: as many as were asked for are found all the same, each with its exact score. How many of them are
/// the best is told: no calibration knows of holes.
#[test]
fn the_nearest_are_gone() {
    block_on(async {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dotproduct] {
            let mut mixture = Mixture::new(64, Norms::Plain, 3);
            let rows = mixture.some(5_000);
            let mut world = World::new(64, metric, settings()).await;
            world.store((0..).map(id).zip(rows)).await;
            for gone in 1..=5 {
                let query = mixture.draw();
                world.delete(world.best(&query.vector, 500)).await;
                for k in [1, 10, 100, 1_000] {
                    let recall = world.recall(std::slice::from_ref(&query.vector), k).await;
                    println!("{metric:?} nearest 500 gone {gone} times, top_k {k}: {recall:.3}");
                }
            }
        }
    });
}
