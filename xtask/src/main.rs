//! Chores of this workspace: `cargo run -p xtask -- <command>`.

mod proto;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["proto"] => proto::generate(),
        ["proto", "--check"] => proto::check(),
        ["tidy"] => tidy::check(),
        _ => Err("usage: cargo run -p xtask -- (proto [--check] | tidy)".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
