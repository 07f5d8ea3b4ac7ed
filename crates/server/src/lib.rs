//! The door: listeners, TLS, hosts, routes, gRPC, settings and the commands of the binary `pinyon`.
//!
//! A request enters through [`listen`], is led by [`hosts`] to the control plane or an index, and is answered by [`routes`] or
//! [`grpc`], which ask `wire` to parse and render and `service` for everything else. Nothing here touches the engine, the
//! catalog or a data file.

mod answer;
mod app;
mod body;
mod calls;
mod commands;
mod config;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod hosts;
mod index_ports;
mod listen;
mod operator;
mod routes;
mod server;
mod telemetry;

pub use commands::main;
