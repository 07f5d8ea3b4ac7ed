//! The door, from outside: the real binary as a child process, and clients on its ports.

mod authorization;
mod commands;
mod demo;
mod errors;
mod grpc;
mod hosts;
mod kit;
mod lifecycle;
mod limits;
mod recall;
mod tls;
