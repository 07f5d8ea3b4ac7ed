//! Generates the gRPC messages (into `wire`) and stubs (into `server`) from the one proto file. Both are committed, so
//! that building the product needs neither a protobuf compiler nor this crate; `--check` says whether they are fresh.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

const PROTO: &str = "crates/wire/proto/vector_service.proto";
const MESSAGES: &str = "crates/wire/src/proto/generated.rs";
const STUBS: &str = "crates/server/src/grpc/generated.rs";

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Writes both files.
pub(crate) fn generate() -> Result<()> {
    for (path, text) in generated()? {
        let path = root().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

/// Fails, naming the file, when a committed file is not what would be generated now.
pub(crate) fn check() -> Result<()> {
    for (path, text) in generated()? {
        if fs::read_to_string(root().join(path)).ok().as_deref() != Some(text.as_str()) {
            return Err(format!("{path} is stale; run `cargo run -p xtask -- proto` and commit it").into());
        }
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn generated() -> Result<Vec<(&'static str, String)>> {
    let proto = root().join(PROTO);
    let include = proto.parent().ok_or("the proto file has no folder")?;
    let files = protox::compile([&proto], [include])?;
    let out = std::env::temp_dir().join(format!("pinyon-proto-{}", std::process::id()));
    let messages = one_file(&out.join("messages"), |dir| {
        tonic_prost_build::configure().build_client(false).build_server(false).out_dir(dir).compile_fds(files.clone())
    })?;
    let stubs = one_file(&out.join("stubs"), |dir| {
        let own = files.file.iter().filter(|file| file.package.is_none()).flat_map(|file| &file.message_type);
        own.fold(tonic_prost_build::configure(), |builder, message| {
            builder.extern_path(format!(".{}", message.name()), format!("::pinyon_wire::proto::{}", message.name()))
        })
        .out_dir(dir)
        .compile_fds(files.clone())
    })?;
    fs::remove_dir_all(&out)?;
    Ok(vec![(MESSAGES, messages), (STUBS, stubs)])
}

/// Runs one generation into an empty folder and returns the single file it makes.
fn one_file(dir: &Path, generate: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<String> {
    fs::create_dir_all(dir)?;
    generate(dir)?;
    let mut made = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    match (made.pop(), made.is_empty()) {
        (Some(file), true) => Ok(fs::read_to_string(file.path())?),
        _ => Err("expected one generated file".into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_code_is_fresh() {
        super::check().expect("the committed gRPC code is what the proto file generates");
    }
}
