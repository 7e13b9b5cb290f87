//! A changed configuration comes into force by itself, and a bad one never does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::token;

/// Under this policy viewers may also write.
pub fn generous(usual: &str) -> String {
    edit(usual, "viewer: { permissions: [\"blog:posts.read\"", "viewer: { permissions: [\"blog:posts.*\"")
}

/// Whether viewers may write, which tells which policy is in force.
pub async fn viewers_may_write(sidecar: &Sidecar) -> bool {
    let bearer = format!("Bearer {}", token::mint_second(json!({})));
    let verdict = sidecar.ask(&Ask::new("PUT", POST).header("authorization", &bearer)).await;
    assert!(verdict.passes || verdict.reason == "permission_missing", "{verdict:?}");
    verdict.passes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_over_or_replaced_comes_into_force() {
    let lab = Lab::start().await;
    let (usual, generous) = (lab.policy(), generous(&lab.policy()));
    assert!(!viewers_may_write(&lab.sidecar).await);

    fs::write(&lab.sidecar.config, &generous).expect("written over");
    lab.sidecar.generation_is(2).await;
    assert!(viewers_may_write(&lab.sidecar).await);

    lab.sidecar.replace_config(&usual);
    lab.sidecar.generation_is(3).await;
    assert!(!viewers_may_write(&lab.sidecar).await);

    // The new file is watched as well.
    lab.sidecar.replace_config(&generous);
    lab.sidecar.generation_is(4).await;
    assert!(viewers_may_write(&lab.sidecar).await);
    assert_eq!(lab.sidecar.metrics().await.get("portcullis_configuration_loads_total{result=\"ok\"}") as u64, 4);
}

/// Publishes a version as the kubelet does: a folder of its own, and `..data` renamed over.
fn publish(volume: &Path, version: &str, text: &str) {
    let folder = volume.join(format!("..{version}"));
    fs::create_dir(&folder).expect("the version's folder");
    fs::write(folder.join("portcullis.yaml"), text).expect("the version's file");
    symlink(format!("..{version}"), volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("the swap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swap_of_a_config_map_comes_into_force_for_a_file_and_for_a_folder() {
    let folder = mesh::folder();
    let stub = Stub::start().await;
    let usual = sidecar::policy(folder.path(), &stub.url());
    let volume = folder.path().join("volume");
    for (round, config) in [volume.join("portcullis.yaml"), volume.clone()].iter().enumerate() {
        if volume.exists() {
            fs::remove_dir_all(&volume).expect("a fresh volume");
        }
        fs::create_dir(&volume).expect("the volume");
        publish(&volume, "v1", &usual);
        symlink("..data/portcullis.yaml", volume.join("portcullis.yaml")).expect("a link");
        let sidecar = Sidecar::start_at(folder.path(), config).await;
        sidecar.ready().await;
        assert!(!viewers_may_write(&sidecar).await);
        for (number, version) in ["v2", "v3", "v4"].iter().enumerate() {
            let is_generous = number % 2 == 0;
            publish(&volume, version, &if is_generous { generous(&usual) } else { usual.clone() });
            let before = if number == 0 { "v1" } else { ["v2", "v3"][number - 1] };
            fs::remove_dir_all(volume.join(format!("..{before}"))).expect("the old version removed");
            sidecar.generation_is(number as u64 + 2).await;
            assert_eq!(viewers_may_write(&sidecar).await, is_generous, "round {round}, {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_signal_makes_it_look_at_once_and_changes_nothing_by_itself() {
    let mut lab = Lab::start().await;
    lab.sidecar.process.signal("HUP");
    lab.sidecar.process.log_line("SIGHUP").await;
    lab.sidecar.process.log_line("the configuration is as last reported").await;
    assert_eq!(lab.sidecar.generation().await, 1);

    lab.sidecar.replace_config(&generous(&lab.policy()));
    lab.sidecar.process.signal("HUP");
    lab.sidecar.generation_is(2).await;
    assert!(viewers_may_write(&lab.sidecar).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_or_missing_file_leaves_the_last_good_policy_in_force_and_says_so() {
    let mut lab = Lab::start().await;
    let usual = lab.policy();
    lab.sidecar.replace_config(&generous(&usual));
    lab.sidecar.generation_is(2).await;

    let path = lab.sidecar.config.display().to_string();
    let typo = edit(&usual, "    service: blog\n", "    servce: blog\n");
    let typo_line = 1 + typo.lines().position(|line| line.contains("servce")).expect("the typo");
    let bad: [(&str, Option<String>, String); 6] = [
        ("broken YAML", Some("listen: [\n".into()), format!("{path}:")),
        ("a typo in a key", Some(typo), format!("{path}:{typo_line}:")),
        ("an empty file", Some(String::new()), "refused".into()),
        ("half a file", Some(usual[..usual.len() / 2].to_string()), "refused".into()),
        ("no routes", Some(edit(&usual, usual.split("\nroutes:\n").nth(1).unwrap(), "  []\n")), "no routes".into()),
        ("no file", None, format!("{path}: no such file")),
    ];
    for (name, text, said) in bad {
        let logged = lab.sidecar.process.log().len();
        match text {
            Some(text) => lab.sidecar.replace_config(&text),
            None => fs::remove_file(&lab.sidecar.config).expect("the file removed"),
        }
        lab.sidecar.last_load(false).await;
        let last = lab.sidecar.dump().await["last_load"].clone();
        assert!(last["ok"] == false && last["problems"][0].as_str().is_some_and(|problem| !problem.is_empty()), "{name}: {last}");
        lab.sidecar.process.log_line_after(logged, "the last good policy stays in force").await;
        lab.sidecar.process.log_line_after(logged, &said).await;
        assert_eq!(lab.sidecar.generation().await, 2, "{name}");
        assert!(viewers_may_write(&lab.sidecar).await, "{name}");
        assert_eq!(lab.sidecar.get("/readyz").await.status, 200, "{name}");

        // The file as it was clears the alarm and is no new policy.
        lab.sidecar.replace_config(&generous(&usual));
        lab.sidecar.last_load(true).await;
        assert_eq!(lab.sidecar.generation().await, 2, "{name}");
    }
    lab.sidecar.replace_config(&usual);
    lab.sidecar.generation_is(3).await;
    assert!(!viewers_may_write(&lab.sidecar).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_addresses_are_for_the_next_start_and_the_rest_comes_into_force() {
    let mut lab = Lab::start().await;
    let admin = lab.sidecar.admin;
    lab.sidecar.replace_config(&edit(&generous(&lab.policy()), "admin: 127.0.0.1:0", "admin: 127.0.0.1:9"));
    lab.sidecar.process.log_line("'listen' changed and is only read at start").await;
    lab.sidecar.generation_is(2).await;
    assert_eq!(lab.sidecar.admin, admin);
    assert!(viewers_may_write(&lab.sidecar).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_issuer_is_known_by_the_time_its_policy_is_in_force() {
    let lab = Lab::start().await;
    let other = Stub::start().await;
    let issuer = format!(
        "issuers:\n  third: {{ issuer: \"http://third.test\", audiences: [demo], jwks: {{ url: \"{}/.well-known/jwks.json\" }} }}\n",
        other.url()
    );
    let bearer = format!("Bearer {}", token::mint(json!({ "iss": "http://third.test" })));
    let ask = Ask::get("/blog/me").header("authorization", &bearer);
    assert_eq!(lab.sidecar.ask(&ask).await.reason, "issuer_unknown");
    lab.sidecar.replace_config(&edit(&lab.policy(), "issuers:\n", &issuer));
    crate::harness::wait::until_true("the new issuer", crate::harness::wait::PATIENCE, async || {
        let reason = lab.sidecar.ask(&ask).await.reason;
        assert!(["issuer_unknown", "allowed"].contains(&&*reason), "{reason}");
        reason == "allowed"
    })
    .await;
    // And gone with it.
    lab.sidecar.replace_config(&lab.policy());
    lab.sidecar.generation_is(3).await;
    assert_eq!(lab.sidecar.ask(&ask).await.reason, "issuer_unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_decision_names_the_policy_that_made_it() {
    let mut lab = Lab::start().await;
    for (generation, text) in [(1, lab.policy()), (2, generous(&lab.policy())), (3, lab.policy())] {
        lab.sidecar.replace_config(&text);
        lab.sidecar.generation_is(generation).await;
        let verdict = lab.sidecar.ask(&Ask::get("/blog/me")).await;
        let revision = lab.sidecar.dump().await["revision"].clone();
        assert_eq!((verdict.generation, revision), (generation, verdict.revision.clone().into()));
        lab.sidecar.process.log_line(&format!("revision=\"{}\" generation={generation}", verdict.revision)).await;
    }
}
