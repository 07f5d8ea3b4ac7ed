/// How many objects there may be: Pinecone's published numbers of its largest plan, each a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Projects of an organization (100).
    pub projects_per_organization: u32,
    /// Serverless and BYOC indexes of a project (200).
    pub serverless_indexes_per_project: u32,
    /// Pod indexes of a project (200; Pinecone counts pods by plan).
    pub pod_indexes_per_project: u32,
    /// API keys of a project (1,000; not published).
    pub api_keys_per_project: u32,
    /// Namespaces of an index (100,000).
    pub namespaces_per_index: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            projects_per_organization: 100,
            serverless_indexes_per_project: 200,
            pod_indexes_per_project: 200,
            api_keys_per_project: 1_000,
            namespaces_per_index: 100_000,
        }
    }
}
