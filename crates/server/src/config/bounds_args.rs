use clap::Args;
use serde::{Deserialize, Serialize};

/// What holds an API key beyond its roles, as a command says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Args)]
pub(crate) struct BoundsArgs {
    /// When it is to be refused: after so long (90d, 12h, 30m), at a moment (2027-01-31T12:00:00Z), or never
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// Only for this index, repeatable
    #[arg(long = "index", value_name = "NAME")]
    pub(crate) indexes: Vec<String>,
    /// For all indexes
    #[arg(long, conflicts_with = "indexes")]
    pub(crate) any_index: bool,
    /// Only for the records of this namespace, repeatable; '__default__' is the one without a name
    #[arg(long = "namespace", value_name = "NAME")]
    pub(crate) namespaces: Vec<String>,
    /// For all namespaces
    #[arg(long, conflicts_with = "namespaces")]
    pub(crate) any_namespace: bool,
    /// Only from this network, repeatable: 10.0.0.0/8, 2001:db8::/32
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,
    /// From everywhere
    #[arg(long, conflicts_with = "networks")]
    pub(crate) any_network: bool,
}
