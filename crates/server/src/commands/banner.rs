//! What a server says when it has started.

use std::fmt::Write;

use crate::{config::Mode, server::Facts};

pub(super) fn started(facts: &Facts) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<14}  {text}");
    };
    line("Control plane", &format!("{} (REST and gRPC)", facts.url));
    line(
        "Indexes",
        &match &facts.hosts.domain {
            Some(domain) => format!("INDEX-PROJECT.svc.{}.{domain}, on the same port", facts.hosts.cell),
            None => format!("one port each, {} to {}", facts.hosts.index_ports.start(), facts.hosts.index_ports.end()),
        },
    );
    let data = facts.data_dir.display();
    line("Data", &if facts.temporary { format!("{data} (temporary: removed at the end)") } else { data.to_string() });
    if !facts.temporary {
        let made = if facts.root_key_is_new { "made just now" } else { "" };
        line("Root key", &format!("{} {made}", facts.root_key));
        line("", "Losing it loses the data: keep a copy elsewhere (pinyon key export-root)");
    }
    if let Some(authority) = &facts.authority {
        line("Authority", &format!("{}", authority.display()));
        line("", &format!("SDKs trust it with SSL_CERT_FILE={}", authority.display()));
    }
    match (facts.mode, &facts.api_key_file) {
        (Mode::Dev, _) => line("API key", "any is accepted: this server is for development"),
        (Mode::Serve, Some(file)) => {
            line("API key", &format!("the first one is in {}", file.display()));
            line("", "Move it to where your program reads it, and delete the file");
        }
        (Mode::Serve, None) => line("API key", &format!("pinyon key create --data-dir {data}")),
    }
    line("SDKs", &format!("PINECONE_CONTROLLER_HOST={}", facts.url));
    format!("Pinyon {} is ready\n\n{out}\n", env!("CARGO_PKG_VERSION"))
}
