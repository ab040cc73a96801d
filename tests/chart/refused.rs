//! Values that are wrong are refused before anything is rendered, with a sentence that says what to write.

use crate::helm::{chart, offline, said};

#[test]
fn wrong_values_are_refused_with_what_to_write_instead() {
    for (values, expected) in [
        (r#"image={"tga":"1"}"#, "at '/image': additional properties 'tga' not allowed"),
        ("workers={}", "additional properties 'workers' not allowed"),
        (r#"image.repository="everloop:1.0""#, "at '/image/repository'"),
        ("queue.replicas=0", "at '/queue/replicas': minimum: got 0, want 1"),
        (r#"queue.replicas="two""#, "at '/queue/replicas': got string, want integer"),
        ("queue.partitions=5000", "at '/queue/partitions': maximum: got 5,000, want 4,096"),
        (r#"queue.retention="1 week""#, "at '/queue/retention'"),
        (r#"durability="none""#, "at '/durability': value must be one of 'strict', 'failover', 'everysec'"),
        (r#"logLevel="loud""#, "at '/logLevel': value must be one of 'error', 'warn', 'info', 'debug', 'trace'"),
        (r#"watchNamespaces=["A_b"]"#, "at '/watchNamespaces/0'"),
        (r#"watchNamespaces=["a","a"]"#, "at '/watchNamespaces': items at 0 and 1 are equal"),
        ("redis.image.tag=7.2", "at '/redis/image/tag': got number, want string"),
        (r#"redis.storage.size="8 GB""#, "at '/redis/storage/size'"),
        (r#"redis.maxMemory="1Gi""#, "at '/redis/maxMemory'"),
        ("redis.bundled=false", "set redis.external.url=redis://HOST:6379/0, or redis.external.existingSecret.name"),
        (r#"redis.external.url="redis://other:6379""#, "set redis.bundled=false to use the external Redis"),
        (r#"redis.external.tls.ca.secretName="ca""#, "set redis.bundled=false to use the external Redis"),
        (r#"durability="failover""#, "the bundled Redis has none: set durability=strict"),
        (r#"redis={"bundled":false,"external":{"url":"http://other:6379"}}"#, "with rediss in place of redis for TLS"),
        (r#"redis={"bundled":false,"external":{"url":"redis://:secret@other:6379"}}"#, "put the whole address into one"),
        (r#"redis={"bundled":false,"external":{"url":"rediss://ann:p@ss@other"}}"#, "set redis.external.password.secretName"),
        (r#"redis={"bundled":false,"external":{"url":"redis://ann@other"}}"#, "has a user and no password"),
        (
            r#"redis={"bundled":false,"external":{"url":"redis://other","tls":{"ca":{"secretName":"ca"}}}}"#,
            "write rediss in place of redis",
        ),
        (
            r#"redis={"bundled":false,"external":{"url":"redis://other","sentinelPassword":{"secretName":"s"}}}"#,
            "write redis+sentinel://HOST:PORT/NAME",
        ),
        (r#"redis={"bundled":false,"external":{"url":"redis+sentinel://s:26379/main"}}"#, "set durability=failover"),
        (r#"redis={"bundled":false,"external":{"url":"rediss+cluster://c:6379"}}"#, "set durability=failover"),
        (r#"redis={"bundled":false,"external":{"url":"redis://other","existingSecret":{"name":"other"}}}"#, "keep one of them"),
    ] {
        let output = offline(&["template", "everloop", &chart(), "--namespace", "everloop", "--set-json", values]);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(expected), "{values}: expected `{expected}` in: {said}");
    }
}

#[test]
fn namespaces_of_kubernetes_are_refused() {
    let output = offline(&["template", "everloop", &chart(), "--namespace", "kube-system"]);
    assert!(said(&output).contains("install with --namespace everloop --create-namespace"), "{}", said(&output));
}

#[test]
fn values_that_cannot_be_changed_are_named_with_what_to_do_instead() {
    let schema = std::fs::read_to_string(crate::helm::repository("charts/everloop/values.schema.json")).expect("the schema");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    for pointer in ["queue/properties/partitions", "redis/properties/bundled", "redis/properties/storage", "defaultPool"] {
        let description = schema.pointer(&format!("/properties/{pointer}/description")).and_then(|d| d.as_str()).expect("a description");
        assert!(description.starts_with("Unchangeable"), "{pointer}: {description}");
    }
}

/// A name that is misspelt is seen at every depth: no object of the schema takes what it does not name, but those that Kubernetes checks.
#[test]
fn the_schema_is_strict_and_says_of_each_value_what_it_is() {
    const OF_KUBERNETES: [&str; 10] =
        ["global", "spec", "resources", "requests", "limits", "podAnnotations", "nodeSelector", "affinity", "labels", "items"];
    fn look(schema: &serde_json::Value, path: &str) {
        for (name, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let inner = path.contains(".requests") || path.contains(".limits") || path.contains(".claims");
            assert!(inner || value["description"].is_string() || value["properties"].is_object(), "{path} is not described");
            if value["type"] == "object" && !OF_KUBERNETES.contains(&name.as_str()) {
                assert_eq!(value["additionalProperties"], false, "{path} takes any name");
            }
            look(value, &path);
        }
    }
    let schema = std::fs::read_to_string(crate::helm::repository("charts/everloop/values.schema.json")).expect("the schema");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    look(&schema, "");
}
