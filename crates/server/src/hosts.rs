//! Index hosts: which index a request is for, and what an index's host is said to be.
//!
//! With a domain, an index is `NAME-PROJECT.svc.CELL.DOMAIN` on the main port, told by `Host` or `:authority`. Without one it
//! has a port of its own. Names under `localhost` are understood in either case. On the private listener it is
//! `NAME-PROJECT.svc.private.CELL.DOMAIN`; neither listener knows the other's names.

use http::{Request, Uri, header};
use pinyon_model::{Index, Plane};
use pinyon_service::{IndexRef, Service};
use pinyon_wire::ApiVersion;

use crate::{
    config::{AdvertiseScheme, HostSettings, Mode},
    listen::{Entrance, Peer},
};

/// How indexes are named to the outside.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    settings: HostSettings,
    mode: Mode,
    secure: bool,
    main_port: u16,
}

/// What the host name of an index says.
#[derive(Debug, PartialEq, Eq)]
struct HostName {
    name: String,
    /// The project's short id.
    project: String,
    /// Whether it is the name for private endpoints.
    private: bool,
}

/// What a request's host means.
#[derive(Clone)]
pub(crate) enum Target {
    /// The control plane, and the admin plane beside it.
    Control,
    /// The records of one index.
    Index(IndexRef),
    /// The host of an index that is not there; of which project, when the host says it.
    Missing {
        /// The short id of the project.
        project: Option<String>,
    },
}

impl Target {
    /// Which side of the API answers there.
    pub(crate) fn plane(&self) -> Plane {
        match self {
            Target::Control => Plane::Control,
            Target::Index(_) | Target::Missing { .. } => Plane::Data,
        }
    }
}

impl Hosts {
    pub(crate) fn new(settings: HostSettings, mode: Mode, secure: bool, main_port: u16) -> Self {
        Self { settings, mode, secure, main_port }
    }

    /// What this request is for.
    pub(crate) fn target<B>(&self, service: &Service, peer: &Peer, request: &Request<B>) -> Target {
        match peer.entrance {
            Entrance::Index(port) => service.resolve_index_by_port(port).map_or(Target::Missing { project: None }, Target::Index),
            Entrance::Main | Entrance::Private | Entrance::Health | Entrance::Operator => {
                match host_name(request).as_deref().and_then(|host| self.parse(host)) {
                    None => Target::Control,
                    Some(HostName { name, project, private }) => {
                        let ours = private == (peer.entrance == Entrance::Private);
                        let found = if ours { service.resolve_index_by_name(&project, &name) } else { None };
                        found.map_or(Target::Missing { project: Some(project) }, Target::Index)
                    }
                }
            }
        }
    }

    /// What a host that has the form of an index's says.
    fn parse(&self, host: &str) -> Option<HostName> {
        let (label, rest) = host.split_once(".svc.")?;
        let (private, rest) = rest.strip_prefix("private.").map_or((false, rest), |rest| (true, rest));
        let (cell, domain) = rest.split_once('.')?;
        let ours = self
            .settings
            .domain
            .as_deref()
            .is_some_and(|d| rest.strip_prefix(&self.settings.cell).and_then(|r| r.strip_prefix('.')) == Some(d));
        if !ours && (domain != "localhost" || cell != self.settings.cell) {
            return None;
        }
        let (name, project) = label.rsplit_once('-')?;
        Some(HostName { name: name.to_owned(), project: project.to_owned(), private })
    }

    /// The host of an index, as callers of this date expect it.
    pub(crate) fn host_of(&self, index: &Index, version: ApiVersion) -> String {
        let (host, port) = match (&self.settings.domain, index.port) {
            (Some(domain), _) => {
                let name = format!("{}-{}.svc.{}.{domain}", index.name, index.project_id.short(), self.settings.cell);
                (name, self.main_port)
            }
            (None, Some(port)) => (self.settings.advertise_host.clone(), port),
            (None, None) => {
                let name = format!("{}-{}.svc.{}.localhost", index.name, index.project_id.short(), self.settings.cell);
                (name, self.main_port)
            }
        };
        let usual = port == if self.secure { 443 } else { 80 };
        let address = if usual && index_has_name(&self.settings, index) { host } else { format!("{host}:{port}") };
        if self.with_scheme(version) { format!("http://{address}") } else { address }
    }

    /// The host of an index for those who come by a private endpoint; none where there is no private listener.
    pub(crate) fn private_host_of(&self, index: &Index, version: ApiVersion) -> Option<String> {
        let (port, domain) = (self.settings.private_port?, self.settings.domain.as_ref()?);
        let host = format!("{}-{}.svc.private.{}.{domain}", index.name, index.project_id.short(), self.settings.cell);
        let address = if port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{port}") };
        Some(if self.with_scheme(version) { format!("http://{address}") } else { address })
    }

    fn with_scheme(&self, version: ApiVersion) -> bool {
        match (self.secure, self.settings.advertise_scheme, self.mode) {
            (true, ..) | (false, AdvertiseScheme::None, _) => false,
            (false, AdvertiseScheme::Http, _) | (false, AdvertiseScheme::Auto, Mode::Serve) => true,
            // Programs written for the emulator put the scheme there themselves, and old gRPC clients cannot take one.
            (false, AdvertiseScheme::Auto, Mode::Dev) => version > ApiVersion::V2025_10,
        }
    }
}

fn index_has_name(settings: &HostSettings, index: &Index) -> bool {
    settings.domain.is_some() || index.port.is_none()
}

/// The host that the client meant, in lower case and without its port: `:authority` in HTTP/2, `Host` in HTTP/1.1.
fn host_name<B>(request: &Request<B>) -> Option<String> {
    let authority = request.uri().host().map(str::to_owned).or_else(|| {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        Uri::try_from(host).ok()?.host().map(str::to_owned)
    })?;
    Some(authority.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pinyon_model::{
        DeletionProtection, Deployment, Dimension, IndexId, IndexName, IndexSchema, IndexState, Metric, ProjectId, ReadCapacity, Tags,
    };

    use super::*;

    fn hosts(domain: Option<&str>, mode: Mode, secure: bool, scheme: AdvertiseScheme) -> Hosts {
        let settings = HostSettings {
            domain: domain.map(str::to_owned),
            cell: "local".to_owned(),
            index_ports: 5081..=5090,
            advertise_host: "localhost".to_owned(),
            advertise_scheme: scheme,
            private_port: Some(6443),
        };
        Hosts::new(settings, mode, secure, 5080)
    }

    fn index(port: Option<u16>) -> Index {
        Index {
            id: IndexId::from_bytes([1; 16]),
            project_id: ProjectId::from_bytes([0; 16]),
            name: IndexName::new("my-index").unwrap(),
            schema: IndexSchema::dense_index(Dimension::new(3).unwrap(), Metric::Cosine, None).unwrap(),
            deployment: Deployment::Managed { cloud: "aws".into(), region: "us-east-1".into() },
            read_capacity: ReadCapacity::OnDemand,
            deletion_protection: DeletionProtection::Disabled,
            tags: Tags::new(BTreeMap::new()).unwrap(),
            cmek_id: None,
            state: IndexState::Ready,
            port,
            source: None,
        }
    }

    #[test]
    fn hosts_under_a_domain_and_under_localhost() {
        let h = hosts(Some("example.com"), Mode::Serve, true, AdvertiseScheme::Auto);
        let named = |private| Some(HostName { name: "my-index".to_owned(), project: "aaaaaaa".to_owned(), private });
        let found = named(false);
        assert_eq!(h.parse("my-index-aaaaaaa.svc.local.example.com"), found);
        assert_eq!(h.parse("my-index-aaaaaaa.svc.local.localhost"), found);
        assert_eq!(h.parse("my-index-aaaaaaa.svc.private.local.example.com"), named(true));
        for other in [
            "example.com",
            "api.example.com",
            "x.svc.other.example.com",
            "my-index-aaaaaaa.svc.private.other.example.com",
            "my-index-aaaaaaa.svc.private.private.local.example.com",
            "my-index-aaaaaaa.svc.local.example.org",
            "localhost",
            "a.svc.",
            "noproject.svc.local.example.com",
        ] {
            assert_eq!(h.parse(other), None, "{other}");
        }
        assert_eq!(h.host_of(&index(Some(5081)), ApiVersion::NEWEST), "my-index-aaaaaaa.svc.local.example.com:5080");
        let private = Some("my-index-aaaaaaa.svc.private.local.example.com:6443".to_owned());
        assert_eq!(h.private_host_of(&index(None), ApiVersion::NEWEST), private);
        assert_eq!(hosts(None, Mode::Serve, true, AdvertiseScheme::Auto).private_host_of(&index(None), ApiVersion::NEWEST), None);
    }

    #[test]
    fn the_scheme_follows_tls_mode_and_date() {
        let host = |mode, secure, scheme, version| hosts(None, mode, secure, scheme).host_of(&index(Some(5081)), version);
        use AdvertiseScheme::{Auto, Http};
        assert_eq!(host(Mode::Serve, true, Http, ApiVersion::NEWEST), "localhost:5081");
        assert_eq!(host(Mode::Serve, false, Auto, ApiVersion::OLDEST), "http://localhost:5081");
        assert_eq!(host(Mode::Serve, false, AdvertiseScheme::None, ApiVersion::NEWEST), "localhost:5081");
        assert_eq!(host(Mode::Dev, false, Auto, ApiVersion::V2025_10), "localhost:5081");
        assert_eq!(host(Mode::Dev, false, Auto, ApiVersion::V2026_04), "http://localhost:5081");
        assert_eq!(host(Mode::Dev, false, Http, ApiVersion::OLDEST), "http://localhost:5081");
    }

    #[test]
    fn the_name_is_read_from_either_header() {
        let from = |r: http::request::Builder| host_name(&r.body(()).unwrap());
        assert_eq!(from(Request::get("/x").header("host", "A.Example.com:5080")).as_deref(), Some("a.example.com"));
        assert_eq!(from(Request::get("http://b.example.com/x").header("host", "other")).as_deref(), Some("b.example.com"));
        assert_eq!(from(Request::get("/x").header("host", "[::1]:5080")).as_deref(), Some("[::1]"));
        assert_eq!(from(Request::get("/x").header("host", "a b")), None);
        assert_eq!(from(Request::get("/x")), None);
    }
}
