//! The walls of the house, checked: what each crate may import, and what may stand where. `ARCHITECTURE.md` says why.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// Crate → the crates of ours it may import.
const EDGES: [(&str, &[&str]); 8] = [
    ("kernels", &[]),
    ("model", &[]),
    ("storage", &["model"]),
    ("engine", &["kernels", "storage", "model"]),
    ("wire", &["model"]),
    ("service", &["engine", "storage", "model"]),
    ("cloud", &["service", "storage", "model"]),
    ("server", &["service", "wire", "cloud", "model"]),
];

/// A word that may stand only in some places.
struct Rule {
    /// What is looked for in a line of product code.
    words: &'static [&'static str],
    /// Path prefixes under `crates/` in which it may stand.
    allowed: &'static [&'static str],
    /// What to tell whoever breaks it.
    why: &'static str,
}

const RULES: [Rule; 9] = [
    Rule { words: &["ApiVersion"], allowed: &["wire/", "server/"], why: "only the door and wire know API dates" },
    Rule {
        words: &["serde"],
        allowed: &["wire/", "server/", "service/", "storage/", "engine/", "cloud/"],
        why: "the nouns of model and the kernels are not serialisable",
    },
    Rule { words: &["sqlx", "SELECT ", "INSERT INTO"], allowed: &["service/src/catalog"], why: "SQL lives in service::catalog" },
    Rule {
        words: &["tokio"],
        allowed: &["storage/", "engine/", "service/", "cloud/", "server/"],
        why: "kernels, model and wire are plain functions",
    },
    Rule {
        words: &["std::fs", "tokio::fs", "fs::File", "File::open", "OpenOptions", "read_dir("],
        allowed: &["storage/", "server/"],
        why: "data files are reached only through storage; settings and certificates only in server",
    },
    Rule {
        words: &["SystemTime::now", "Instant::now", "UNIX_EPOCH"],
        allowed: &["server/", "service/src/clock.rs"],
        why: "time comes from a clock that is passed in",
    },
    Rule {
        words: &["thread::sleep", "time::sleep"],
        allowed: &["server/", "service/src/clock.rs"],
        why: "waiting belongs to the components passed in",
    },
    Rule {
        words: &["rand::rng", "thread_rng", "fastrand"],
        allowed: &[],
        why: "secrets, salts and ids come from the operating system through aws-lc-rs",
    },
    Rule { words: &["std::arch", "core::arch", "unsafe "], allowed: &["kernels/"], why: "unsafe code lives in kernels" },
];

/// Rust files longer than this want a seam. Generated files are exempt.
const FILE_LINES_MAX: usize = 600;

/// Checks everything.
pub(crate) fn check() -> Result<(), Box<dyn Error>> {
    let found = breaches(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if found.is_empty() { Ok(()) } else { Err(format!("{} breaches of the walls\n{}", found.len(), found.join("\n")).into()) }
}

/// One line per breach.
fn breaches(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    edges(root, &mut found);
    for file in rust_files(&root.join("crates")) {
        let shown = file.strip_prefix(root.join("crates")).unwrap_or(&file).to_string_lossy().into_owned();
        let Ok(text) = fs::read_to_string(&file) else {
            found.push(format!("{shown}: cannot be read"));
            continue;
        };
        check_file(&shown, &text, &mut found);
    }
    found
}

fn edges(root: &Path, found: &mut Vec<String>) {
    for (name, allowed) in EDGES {
        let manifest = root.join("crates").join(name).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            found.push(format!("crates/{name} has no manifest"));
            continue;
        };
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let Some(dependency) = line.strip_prefix("pinyon-") else { continue };
            let dependency = dependency.split(['.', ' ', '=']).next().unwrap_or_default();
            if section == "[dependencies]" && !allowed.contains(&dependency) {
                found.push(format!("crates/{name} imports {dependency}, but may import only {allowed:?}"));
            }
        }
    }
}

fn check_file(shown: &str, text: &str, found: &mut Vec<String>) {
    let generated = shown.contains("generated");
    if !generated && text.lines().count() > FILE_LINES_MAX {
        found.push(format!("{shown}: {} lines; over {FILE_LINES_MAX} a file wants to be split along a seam", text.lines().count()));
    }
    if generated || !shown.contains("/src/") || shown.contains("/tests") || shown.ends_with("tests.rs") {
        return;
    }
    for (n, line) in product_lines(text) {
        for rule in &RULES {
            if rule.words.iter().any(|w| line.contains(w)) && !rule.allowed.iter().any(|a| shown.starts_with(a)) {
                found.push(format!("{shown}:{n}: {} ({})", rule.why, line.trim()));
            }
        }
        let secret = ["RootKey", "DataKey", "ApiKeySecret"].iter().any(|s| line.contains(&format!("Display for {s}")));
        if secret {
            found.push(format!("{shown}:{n}: a secret cannot be displayed"));
        }
    }
}

/// The lines that are not comments and stand before the file's test module.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn the_walls_stand() {
        let found = breaches(&root());
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_breach_is_seen() {
        let check = |shown: &str, text: &str| {
            let mut found = Vec::new();
            check_file(shown, text, &mut found);
            found.len()
        };
        assert_eq!(check("model/src/index.rs", "use serde::Serialize;"), 1);
        assert_eq!(check("engine/src/engine.rs", "let t = Instant::now();"), 1);
        assert_eq!(check("service/src/index.rs", "sqlx::query(q)"), 1);
        assert_eq!(check("service/src/catalog/mod.rs", "sqlx::query(q)"), 0);
        assert_eq!(check("engine/src/engine.rs", "// unsafe things live elsewhere"), 0);
        assert_eq!(check("engine/src/engine.rs", "fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }"), 0);
        assert_eq!(check("engine/src/engine.rs", &"\n".repeat(601)), 1);
        assert_eq!(check("storage/src/key.rs", "impl fmt::Display for RootKey {"), 1);
    }
}
