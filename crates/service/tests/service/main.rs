//! The service against the real engine, in a temporary directory.

mod access;
mod audit;
mod audit_chain;
mod audit_delivery;
mod authorization;
mod backup_schedules;
mod backups;
mod bounds;
mod catalog;
mod cmek;
mod common;
mod control_plane;
mod data_plane;
mod deleted;
mod disk;
mod golden;
mod golden_sealed;
mod isolation;
mod keys;
mod payment;
mod people;
mod private_access;
mod rates;
mod rebuild;
mod restores;
mod rotation;
