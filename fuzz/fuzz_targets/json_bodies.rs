#![no_main]
//! Each body of the REST API; the first byte chooses which.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    use pinyon_wire::fuzz::*;
    let bodies = [upsert_json, query_json, fetch_by_metadata_json, update_json, delete_json, describe_index_stats_json, create_namespace_json, create_index_json, configure_index_json, backup_json];
    bodies[*which as usize % bodies.len()](body);
});
