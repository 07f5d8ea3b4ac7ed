//! The door, from outside: the real binary as a child process, and clients on its ports.

mod admin;
mod admin_authorization;
mod audit;
mod authorization;
mod backups;
mod cmek;
mod commands;
mod deleted;
mod demo;
mod errors;
mod grpc;
mod hosts;
mod key_file;
mod kit;
mod kms;
mod leaks;
mod lifecycle;
mod limits;
mod matrix;
mod memory;
mod people;
mod private_access;
mod rates;
mod recall;
mod revocation;
mod tls;
