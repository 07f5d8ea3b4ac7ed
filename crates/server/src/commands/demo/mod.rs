//! `demo`: a server on a fresh directory, real data sent through its public API, a dozen searches, and what to try next.

mod client;
mod data;
mod searches;

use std::{
    io::{IsTerminal, Write},
    net::TcpListener,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::json;

use self::{
    client::{API_KEY, Api, VERSION},
    data::{DIMENSION, Data},
};
use super::{
    Failure,
    serve::{Signals, stop},
};
use crate::{
    config::{DemoArgs, Folders, PORT_DEFAULT, ServerArgs, Settings},
    server::Server,
};

const INDEX: &str = "wordnet";
const BATCH: usize = 200;
/// Requests in progress while loading.
const LOADERS: usize = 4;

pub(super) async fn run(args: DemoArgs, folders: &Folders) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let server = start(&args, folders).await?;
    let shown = tokio::select! {
        shown = show(&server, args.keep) => shown,
        () = signals.stop() => return stop(server, signals).await,
    };
    if let Err(failure) = shown {
        server.stop().await;
        return Err(failure);
    }
    if args.keep {
        signals.stop().await;
    }
    stop(server, signals).await
}

/// A development server on the usual port, or on another when that is taken and none was asked for.
async fn start(args: &DemoArgs, folders: &Folders) -> Result<Server, Failure> {
    let port = match args.port {
        Some(port) => port,
        None if are_free(PORT_DEFAULT) => PORT_DEFAULT,
        None => (15_080..65_000)
            .step_by(100)
            .find(|port| are_free(*port))
            .ok_or_else(|| Failure::new("no free port was found; name one with --port"))?,
    };
    let settings = ServerArgs { port: Some(port), ..ServerArgs::default() };
    // The two variables of the emulator are for `dev`.
    Ok(Server::start(Settings::dev(settings, folders, |_| None)?).await?)
}

fn are_free(port: u16) -> bool {
    [port, port + 1].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

async fn show(server: &Server, keep: bool) -> Result<(), Failure> {
    let api = Api::new();
    let control = &server.facts.url;
    let data = Data::bundled()?;
    println!("Pinyon {} serves {control} from a temporary directory.\n", env!("CARGO_PKG_VERSION"));

    let spec = json!({"name": INDEX, "dimension": DIMENSION, "metric": "dotproduct", "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}});
    let (index, took) = api.send(Method::POST, &format!("{control}/indexes"), Some(&spec)).await?;
    let host = index["host"].as_str().unwrap_or_default();
    let host = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    println!("Created the index '{INDEX}' at {host} in {}.", millis(took));

    load(&api, &host, &data).await?;

    for (i, search) in searches::all(&data).into_iter().enumerate() {
        let (answer, took) = api.send(search.method.clone(), &format!("{host}{}", search.path), search.body.as_ref()).await?;
        println!("\n{:2}  {}", i + 1, search.title);
        let body = search.body.as_ref().map(searches::shown).unwrap_or_default();
        println!("    {}", format!("{} {} {body}", search.method, search.path).trim_end());
        for line in searches::answered(&answer) {
            println!("      {line}");
        }
        println!("    {}", millis(took));
    }
    println!("{}", next(control, &host, &data.sentences[7].from, keep));
    Ok(())
}

/// Sends all entries, a few batches at a time, and shows how far it is.
async fn load(api: &Api, host: &str, data: &Data) -> Result<(), Failure> {
    let url = format!("{host}/vectors/upsert");
    let total = data.entries.len();
    let started = Instant::now();
    let url = &url;
    let mut batches = stream::iter((0..total).step_by(BATCH))
        .map(|from| async move {
            let records = data.records(from, BATCH);
            let sent = records.len();
            api.send(Method::POST, url, Some(&json!({"vectors": records}))).await.map(|_| sent)
        })
        .buffer_unordered(LOADERS);
    let mut done = 0;
    let terminal = std::io::stdout().is_terminal();
    while let Some(sent) = batches.next().await {
        done += sent?;
        if terminal || done == total {
            progress(done, total, terminal)?;
        }
    }
    let took = started.elapsed();
    println!(
        "\nLoaded {total} dictionary entries with embeddings, words and metadata, each durable before its answer, in {}: {:.0} a second.",
        millis(took),
        total as f64 / took.as_secs_f64()
    );
    Ok(())
}

fn progress(done: usize, total: usize, terminal: bool) -> std::io::Result<()> {
    const WIDTH: usize = 40;
    let full = WIDTH * done / total.max(1);
    let start = if terminal { "\r" } else { "" };
    print!("{start}Loading [{}{}] {done}/{total}", "#".repeat(full), " ".repeat(WIDTH - full));
    std::io::stdout().flush()
}

fn millis(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn next(control: &str, host: &str, id: &str, keep: bool) -> String {
    let head = if keep {
        "The server stays up until Ctrl-C. Try:"
    } else {
        "The server stops now; `pinyon demo --keep` leaves it up, so that you can try:"
    };
    format!(
        r#"
{head}

  curl {host}/query -H 'Api-Key: {API_KEY}' -H 'X-Pinecone-Api-Version: {VERSION}' -H 'Content-Type: application/json' \
    -d '{{"id": "{id}", "topK": 5, "includeMetadata": true, "filter": {{"part_of_speech": "noun"}}}}'

  # pip install pinecone
  from pinecone import Pinecone
  pc = Pinecone(api_key="{API_KEY}", host="{control}")
  index = pc.Index(host="{host}")
  print(index.query(id="{id}", top_k=5, include_metadata=True))
"#
    )
}
