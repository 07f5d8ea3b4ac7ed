//! What a newcomer sees first.

use crate::kit::{Home, text};

#[test]
fn the_demo_runs_to_its_end() {
    let home = Home::new();
    let port = home.port.to_string();
    let output = home.command(&["demo", "--port", &port]).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("4800/4800"), "{said}");
    // The twelfth search came back with everything that was loaded.
    assert!(said.contains("\n12  ") && said.contains("4800 records of 384 dimensions"), "{said}");
    // The sentence about Nunavut finds the entry that it is an example of.
    let found = said.split("\n 3  ").nth(1).and_then(|rest| rest.lines().nth(2)).unwrap();
    assert!(found.contains("n08825664") && found.contains("Nunavut"), "{found}");
    assert!(said.contains("curl ") && said.contains("from pinecone import Pinecone"), "{said}");
}
