//! What an index may be and how it may change, beyond what makes each of its parts valid.

use pinyon_model::{DedicatedCapacity, Deployment, Error, Index, IndexChange, IndexSpec, ReadCapacity, Result, excerpt};

const CLOUDS: [&str; 3] = ["aws", "gcp", "azure"];
const PLACE_LEN_MAX: usize = 64;
const COPIES_MAX: u32 = 1_000;

/// Checks a new index's deployment and read capacity.
pub(crate) fn check_spec(spec: &IndexSpec) -> Result<()> {
    match &spec.deployment {
        Deployment::Managed { cloud, region } => {
            if !CLOUDS.contains(&cloud.as_str()) || !is_place(region) {
                return Err(Error::not_found(format!("Resource cloud: {} region: {} not found.", excerpt(cloud), excerpt(region))));
            }
        }
        Deployment::Pod { environment, pod_type, replicas, shards, .. } => {
            check_environment(environment)?;
            check_pod_type(pod_type)?;
            check_count("replicas", *replicas, 1)?;
            check_count("shards", *shards, 1)?;
            if spec.read_capacity != ReadCapacity::OnDemand {
                return Err(Error::invalid("A pod index has no read capacity"));
            }
        }
        Deployment::Byoc { environment } => check_environment(environment)?,
    }
    check_capacity(&spec.read_capacity)
}

/// The index with the change made.
pub(super) fn changed(index: &Index, change: IndexChange) -> Result<Index> {
    let mut index = index.clone();
    let IndexChange { replicas, pod_type, read_capacity, deletion_protection, tags } = change;
    if replicas.is_some() || pod_type.is_some() {
        let Deployment::Pod { pod_type: old_type, replicas: old_replicas, .. } = &mut index.deployment else {
            return Err(Error::invalid("Only a pod index has replicas and a pod type; this index is not one"));
        };
        if let Some(n) = replicas {
            check_count("replicas", n, 1)?;
            *old_replicas = n;
        }
        if let Some(new) = pod_type {
            check_pod_type(&new)?;
            if family(&new) != family(old_type) {
                return Err(Error::invalid(format!("The pod type cannot change from {old_type} to {new}: only its size can")));
            }
            *old_type = new;
        }
    }
    if let Some(capacity) = read_capacity {
        if matches!(index.deployment, Deployment::Pod { .. }) {
            return Err(Error::invalid("A pod index has no read capacity"));
        }
        index.read_capacity = capacity.apply(&index.read_capacity)?;
        check_capacity(&index.read_capacity)?;
    }
    if let Some(protection) = deletion_protection {
        index.deletion_protection = protection;
    }
    if let Some(tags) = tags {
        index.tags = index.tags.changed(tags)?;
    }
    Ok(index)
}

fn is_place(text: &str) -> bool {
    (1..=PLACE_LEN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn check_environment(environment: &str) -> Result<()> {
    if is_place(environment) {
        Ok(())
    } else {
        Err(Error::invalid(format!("An environment has 1 to {PLACE_LEN_MAX} letters, digits, '-', '_' or '.'")))
    }
}

fn family(pod_type: &str) -> &str {
    pod_type.split('.').next().unwrap_or_default()
}

fn check_pod_type(pod_type: &str) -> Result<()> {
    let (family, size) = pod_type.split_once('.').map_or((pod_type, "x1"), |(f, s)| (f, s));
    let known =
        matches!(pod_type, "starter" | "nano") || (matches!(family, "s1" | "p1" | "p2") && matches!(size, "x1" | "x2" | "x4" | "x8"));
    if known {
        return Ok(());
    }
    Err(Error::invalid(format!("'{}' is not a pod type; s1, p1 or p2 with the size .x1, .x2, .x4 or .x8 is allowed", excerpt(pod_type))))
}

fn check_count(what: &str, n: u32, min: u32) -> Result<()> {
    if (min..=COPIES_MAX).contains(&n) {
        Ok(())
    } else {
        Err(Error::invalid(format!("{what} is {n}; it must be between {min} and {COPIES_MAX}")))
    }
}

fn check_capacity(capacity: &ReadCapacity) -> Result<()> {
    let ReadCapacity::Dedicated(DedicatedCapacity { node_type, shards, replicas }) = capacity else { return Ok(()) };
    if !matches!(node_type.as_str(), "b1" | "t1") {
        return Err(Error::invalid(format!("'{}' is not a node type; b1 and t1 are allowed", excerpt(node_type))));
    }
    check_count("shards", *shards, 1)?;
    check_count("replicas", *replicas, 0)
}
