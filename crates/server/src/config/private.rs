//! The private listener's settings.

use std::net::SocketAddr;

use pinyon_model::{Network, PrivateEndpoint};

use super::{ConfigError, ServerArgs};

/// Where connections through private endpoints come in, and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrivateListen {
    pub(crate) address: SocketAddr,
    /// Whose PROXY headers are believed.
    pub(crate) balancers: Vec<Network>,
    pub(crate) region: String,
}

/// The listener and the port that clients dial to come to it; none where it is not set.
pub(super) fn private(args: &ServerArgs) -> Result<Option<(PrivateListen, u16)>, ConfigError> {
    let Some(text) = &args.private_listen else {
        let others = args.private_balancers.is_some() || args.private_region.is_some() || args.private_port.is_some();
        return if others {
            Err(ConfigError::new("--private-balancers, --private-region and --private-port need --private-listen"))
        } else {
            Ok(None)
        };
    };
    let address: SocketAddr = text.parse().ok().filter(|a: &SocketAddr| a.port() != 0).ok_or_else(|| {
        ConfigError::new(format!("--private-listen is '{text}'; an address and a port are expected, such as 0.0.0.0:6443"))
    })?;
    let needed =
        |setting: &str, value: &Option<String>| value.clone().ok_or_else(|| ConfigError::new(format!("--private-listen needs {setting}")));
    let wrong = |setting: &'static str| move |e: pinyon_model::Error| ConfigError::new(format!("{setting}: {}", e.message));
    let balancers = needed("--private-balancers", &args.private_balancers)?;
    let balancers: Vec<Network> =
        balancers.split(',').map(|n| Network::parse(n.trim())).collect::<Result<_, _>>().map_err(wrong("--private-balancers"))?;
    if let Some(everything) = balancers.iter().find(|n| n.is_everything()) {
        let told = "anybody's word about who connects would be believed; name the balancers' own networks";
        return Err(ConfigError::new(format!("--private-balancers has {everything}: {told}")));
    }
    let region = PrivateEndpoint::parse_region(&needed("--private-region", &args.private_region)?).map_err(wrong("--private-region"))?;
    if args.domain.is_none() {
        return Err(ConfigError::new("--private-listen needs --domain: by a private endpoint, indexes are told apart by name"));
    }
    Ok(Some((PrivateListen { address, balancers, region }, args.private_port.unwrap_or(address.port()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(listen: &str, balancers: &str, region: &str, domain: bool) -> Result<Option<(PrivateListen, u16)>, ConfigError> {
        let set = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let (private_listen, private_balancers, private_region) = (set(listen), set(balancers), set(region));
        let domain = domain.then(|| "example.com".to_owned());
        private(&ServerArgs { private_listen, private_balancers, private_region, domain, ..ServerArgs::default() })
    }

    #[test]
    fn all_or_nothing() {
        assert_eq!(read("", "", "", false).unwrap(), None);
        let (listen, port) = read("127.0.0.1:6443", "10.0.0.0/24, 10.0.1.7", "us-east-1", true).unwrap().unwrap();
        assert_eq!((listen.balancers.len(), listen.region.as_str(), port), (2, "us-east-1", 6443));
        for (named, listen, balancers, region, domain) in [
            ("--private-listen", "", "10.0.0.0/24", "", true),
            ("--private-listen", "6443", "10.0.0.0/24", "us-east-1", true),
            ("--private-listen", "127.0.0.1:0", "10.0.0.0/24", "us-east-1", true),
            ("--private-balancers", "127.0.0.1:6443", "", "us-east-1", true),
            ("--private-balancers", "127.0.0.1:6443", "10.0.0.1/24", "us-east-1", true),
            ("--private-balancers has 0.0.0.0/0", "127.0.0.1:6443", "10.0.0.0/24, 0.0.0.0/0", "us-east-1", true),
            ("--private-balancers has ::/0", "127.0.0.1:6443", "::/0", "us-east-1", true),
            ("--private-region", "127.0.0.1:6443", "10.0.0.0/24", "", true),
            ("--private-region", "127.0.0.1:6443", "10.0.0.0/24", "US", true),
            ("--domain", "127.0.0.1:6443", "10.0.0.0/24", "us-east-1", false),
        ] {
            assert!(read(listen, balancers, region, domain).unwrap_err().to_string().contains(named), "{named}");
        }
    }
}
