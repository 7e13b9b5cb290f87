//! What runs is what Kubernetes' strictest profile lets run, and is the same version everywhere.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{all, certificates, kustomize};
use crate::harness::pod_security;

#[test]
fn every_pod_is_let_in_where_restricted_is_enforced() {
    let all = all();
    let pods = all.iter().flat_map(|(folder, objects)| objects.iter().map(move |object| (folder, object)));
    let pods: Vec<_> = pods.filter_map(|(folder, object)| Some((folder, object, kustomize::pod_template(object)?))).collect();
    for (folder, object, pod) in &pods {
        assert_eq!(pod_security::problems(pod), <[String; 0]>::default(), "{folder}: {}", kustomize::title(object));
        // Beyond the profile: what our own pods do without.
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{folder}: {}", kustomize::title(object));
        for container in kustomize::containers(pod) {
            let name = format!("{folder}: {}, {}", kustomize::title(object), container["name"]);
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
        }
    }
    println!("{} pod templates held against PodSecurity restricted", pods.len());
    assert!(pods.len() >= 5, "{}", pods.len());
    // And the namespaces that they are made in enforce it.
    let namespaces = all.iter().flat_map(|(_, objects)| kustomize::of_kind(objects, "Namespace"));
    for namespace in namespaces {
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

#[test]
fn all_images_of_ours_are_of_this_version() {
    let ours = format!("portcullis:{}", env!("CARGO_PKG_VERSION"));
    let mut count = 0;
    for (folder, objects) in all() {
        for container in objects.iter().filter_map(kustomize::pod_template).flat_map(kustomize::containers) {
            let image = container["image"].as_str().expect("an image");
            assert!(image.contains(':') && !image.ends_with(":latest"), "{folder}: {image}");
            if image.contains("portcullis") {
                assert_eq!(image, ours, "{folder}");
                count += 1;
            }
            for variable in container["env"].as_array().into_iter().flatten().filter(|variable| variable["name"] == "SIDECAR_IMAGE") {
                assert_eq!(variable["value"], ours, "{folder}");
            }
        }
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn an_image_is_named_in_one_place_for_the_webhook_and_for_what_it_injects() {
    let folder = TempDir::new().expect("a folder");
    let copy = kustomize::copy(folder.path());
    certificates::make(&copy.join("self-signed"), &[]).success();
    for overlay in ["cert-manager", "self-signed"] {
        let file = copy.join(overlay).join("kustomization.yaml");
        let text = fs::read_to_string(&file).expect("a kustomization");
        let shipped = "newName: portcullis, newTag: 0.1.0";
        assert!(text.contains(shipped));
        fs::write(&file, text.replace(shipped, "newName: registry.example.com/a/portcullis, newTag: 9.9.9")).expect("a kustomization");
        let objects = kustomize::render(&copy.join(overlay));
        let webhook = &kustomize::named(&objects, "Deployment", "portcullis-webhook")["spec"]["template"]["spec"]["containers"][0];
        let image = "registry.example.com/a/portcullis:9.9.9";
        assert_eq!((&webhook["image"], &webhook["env"][0]["value"]), (&image.into(), &image.into()), "{overlay}");
        let arguments = webhook["args"].as_array().expect("arguments");
        assert!(arguments.contains(&Value::from("--image=$(SIDECAR_IMAGE)")), "{overlay}: {arguments:?}");
    }
}
