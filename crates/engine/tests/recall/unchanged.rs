//! An answer stays what it is over a restart, whatever the cache holds, and when a namespace is closed in between.

use pinyon_engine::EngineSettings;
use pinyon_model::{Match, Metric};

use crate::{
    block_on,
    data::{Mixture, Norms, Row},
    world::{World, id, number_is, settings},
};

async fn answers(world: &World, queries: &[Row]) -> Vec<Vec<Match>> {
    let mut all = Vec::new();
    for query in queries {
        for k in [1, 10, 100, 1_000] {
            all.push(world.ask(&query.vector, k, None).await);
            all.push(world.ask(&query.vector, k, Some(number_is("tenth", 3))).await);
            all.push(world.ask(&query.vector, k, Some(number_is("part", query.part))).await);
        }
    }
    all
}

#[test]
fn by_restart_and_by_cache() {
    block_on(async {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dotproduct] {
            let mut mixture = Mixture::new(48, Norms::LogNormal, 19);
            let mut world = World::new(48, metric, settings()).await;
            world.store((0..).map(id).zip(mixture.some(2_500))).await;
            world.store((0..).map(|n| id(n * 3)).zip(mixture.some(600))).await;
            world.delete((0..200).map(|n| id(n * 7)).collect()).await;
            world.put((0..).map(|n| id(5_000 + n)).zip(mixture.some(50))).await;
            let queries = mixture.some(8);
            let first = answers(&world, &queries).await;
            assert_eq!(answers(&world, &queries).await, first, "asked again");
            // What is at hand in memory changes nothing: a cache for nothing, for one block, for everything; one thread or two.
            for (cache_bytes, query_threads, query_on_caller) in [(0, 1, false), (1 << 20, 2, false), (256 << 20, 1, true)] {
                world.home.settings = EngineSettings { cache_bytes, query_threads, query_on_caller, ..settings() };
                world.restart().await;
                assert_eq!(answers(&world, &queries).await, first, "{metric:?} after a restart, with a cache of {cache_bytes}");
                // Closes the namespace, which drops its codes.
                world.home.clock.turn_ms(1_000_000);
                tokio::task::yield_now().await;
                assert_eq!(answers(&world, &queries).await, first, "{metric:?} after it was closed");
            }
            assert_eq!(world.engine.check().await.unwrap().damaged, []);
        }
    });
}
