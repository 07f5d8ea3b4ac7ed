//! Stored files in each other's place: between objects, namespaces and projects.

use super::*;

/// What a query of a namespace finds, by the text of its records; none if it is refused as damaged.
async fn texts(service: &Service, ctx: &OpContext, index: &IndexRef, name: &str) -> Option<Vec<String>> {
    match service.query(ctx, index, &namespace(name), query([1.0, 0.0, 0.0])).await {
        Ok(answer) => {
            let text = |m: pinyon_model::Match| m.metadata.unwrap().get("from").map(|v| format!("{v:?}")).unwrap();
            Some(answer.matches.into_iter().map(text).collect())
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::DataLoss, "{error}");
            None
        }
    }
}

#[tokio::test]
async fn what_is_sealed_opens_in_no_other_place() {
    let at = Customers::new();
    let options = || {
        let mut options = at.options();
        (options.engine.memtable_bytes, options.engine.log_bytes) = (8 << 10, 16 << 10);
        options
    };
    let service = at.house.open_with(options()).await.unwrap();
    let mut places = Vec::new();
    for n in 1..=2 {
        let project = at.project(&service, &format!("project-{n}")).await;
        at.add(&service, project, "main", n).await.unwrap();
        let index = at.index(&service, project, "movies").await;
        for name in ["ns-a", "ns-b"] {
            for round in 0..40 {
                let from = format!("project-{n} {name}");
                let mut record = record(&format!("r{round}"), [1.0, 0.0, 0.0]);
                record.metadata = crate::common::metadata(&[("from", &from), ("filler", &"x".repeat(1_000))]);
                service.upsert(&at.me(), &index, &namespace(name), vec![record]).await.unwrap();
            }
            places.push((project, name));
        }
    }
    close(service).await;
    // What was superseded goes with the next use.
    let service = at.house.open_with(options()).await.unwrap();
    service.refresh_cmeks().await;
    assert!(service.check(&at.me()).await.unwrap().damaged.is_empty());
    close(service).await;
    let whole = crate::common::files(at.house.path());
    // Segments, logs, manifests and lists of namespaces, by the folder that they are in.
    let is_data = |path: &&std::path::PathBuf| path.components().any(|c| c.as_os_str() == "indexes") && !path.ends_with("descriptor");
    let objects: Vec<_> = whole.keys().filter(is_data).collect();
    assert!(objects.len() > 12, "{objects:?}");
    let mut numbers = crate::common::Numbers::new(5);
    let mut refused = 0;
    for _ in 0..crate::common::rounds(40) {
        let (a, b) = (objects[numbers.below(objects.len())], objects[numbers.below(objects.len())]);
        if whole[a] == whole[b] {
            continue;
        }
        std::fs::write(a, &whole[b]).unwrap();
        std::fs::write(b, &whole[a]).unwrap();
        let service = at.house.open_with(options()).await.unwrap();
        service.refresh_cmeks().await;
        let mut found = 0;
        for (n, (project, name)) in places.iter().enumerate() {
            let ctx = at.in_project(*project);
            let index = service.find_index(&ctx, "movies").await.unwrap();
            if let Some(texts) = texts(&service, &ctx, &index, name).await {
                let own = format!("project-{} {name}", 1 + n / 2);
                assert!(texts.iter().all(|text| text.contains(&own)), "{own} answered {texts:?} after {a:?} was swapped with {b:?}");
                found += usize::from(texts.len() == 10);
            }
        }
        let damaged = service.check(&at.me()).await.unwrap().damaged;
        assert!(found < places.len() || !damaged.is_empty(), "{a:?} swapped with {b:?} went unnoticed");
        refused += 1;
        close(service).await;
        crate::common::restore(at.house.path(), &whole);
    }
    println!("{refused} swaps of two stored files, all refused");
}
