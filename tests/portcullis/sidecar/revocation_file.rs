//! Revocations in a file.

use std::fs;

use serde_json::json;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_obeyed_while_it_is_whole_and_what_is_not_changes_nothing_until_the_bound() {
    let folder = mesh::folder();
    let file = folder.path().join("revoked.json");
    let source = format!(r#"revocations: {{ file: "{}", max_staleness: 4s }}"#, file.display());
    let lab = Lab::unready(|policy| {
        let start = policy.find("revocations: { url:").expect("a feed");
        let feed = policy[start..].lines().next().unwrap().to_string();
        edit(&policy, &feed, &source)
    })
    .await;
    let of_session = |session: &str| format!("Bearer {}", token::mint(json!({ "sid": session })));
    let (good, stolen) = (of_session("good"), of_session("stolen"));
    let reason = async |bearer: &str| lab.sidecar.ask(&Ask::get(POST).header("authorization", bearer)).await.reason;
    let becomes = async |bearer: &str, wanted: &str| {
        wait::until_true(wanted, PATIENCE, async || reason(bearer).await == wanted).await;
    };
    // Put into its place in one step, as it should be.
    let publish = |text: &str| {
        let new = folder.path().join("new.json");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
    };

    becomes(&good, "revocations_stale").await;
    assert_eq!(lab.sidecar.get("/readyz").await.status, 503);
    let list = json!({ "entries": [{ "type": "sid", "id": "stolen", "expires": token::now() + 3600 }] }).to_string();
    publish(&list);
    becomes(&stolen, "token_revoked").await;
    becomes(&good, "allowed").await;
    lab.sidecar.ready().await;

    // Half of it, an entry that means nothing, an empty file, none at all.
    let broken: [&dyn Fn(); 4] = [
        &|| fs::write(&file, &list[..list.len() / 2]).unwrap(),
        &|| publish(r#"{"entries":[{"type":"session","id":"good"}]}"#),
        &|| publish(""),
        &|| fs::remove_file(&file).unwrap(),
    ];
    for (number, break_it) in broken.iter().enumerate() {
        break_it();
        wait::until_true("the list to be too old", PATIENCE, async || {
            let answer = reason(&stolen).await;
            assert!(answer == "token_revoked" || answer == "revocations_stale", "{number}: {answer}");
            reason(&good).await == "revocations_stale"
        })
        .await;
        publish(&list);
        becomes(&good, "allowed").await;
        assert_eq!(reason(&stolen).await, "token_revoked");
    }
    publish(r#"{"cursor":"1","full":true,"entries":[]}"#);
    becomes(&stolen, "allowed").await;
}
