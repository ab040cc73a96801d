//! What the chart says to the processes fits together: the Redis that it starts is one that the queue service accepts, and the
//! variables of the pods are ones that the program reads.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::certificates::Authority;
use crate::control_plane::bound_to_us;
use crate::helm::{find, objects, render};
use crate::process::{Process, free_port};

const PASSWORD: &str = "s3cret-of.the_chart~";

/// A container's arguments and variables, with what stands in `$(...)` put in.
pub struct Container {
    pub arguments: Vec<String>,
    pub variables: BTreeMap<String, String>,
}

/// The container of a rendered object, as the kubelet would start it. A variable from a Secret is the password.
pub fn container(rendering: &[Value], kind: &str, name: &str) -> Container {
    let container = &find(rendering, kind, name)["spec"]["template"]["spec"]["containers"][0];
    let put_in = |text: &str| text.replace("$(EVERLOOP_REDIS_PASSWORD)", PASSWORD);
    let texts = |field: &str| -> Vec<String> {
        container[field].as_array().into_iter().flatten().map(|text| put_in(text.as_str().expect("text"))).collect()
    };
    let variable = |variable: &Value| {
        let secret = !variable["valueFrom"]["secretKeyRef"].is_null();
        let value = if secret { PASSWORD.to_owned() } else { put_in(variable["value"].as_str().unwrap_or_default()) };
        (variable["name"].as_str().expect("a name").to_owned(), value)
    };
    let variables = container["env"].as_array().into_iter().flatten().map(variable).collect();
    Container { arguments: [texts("command"), texts("args")].concat(), variables }
}

fn answer(port: u16, path: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_bundled_redis_is_one_that_the_queue_service_accepts() {
    for durability in ["strict", "everysec"] {
        let rendering = objects(&render(&["--set", &format!("durability={durability}")]));
        let (redis_port, queue_port) = (free_port(), free_port());
        let folder = tempfile::tempdir().expect("a folder");

        let redis = container(&rendering, "StatefulSet", "everloop-redis");
        let here = |argument: &String| match argument.as_str() {
            "6379" => redis_port.to_string(),
            "/data" => folder.path().display().to_string(),
            _ => argument.clone(),
        };
        let arguments: Vec<String> = redis.arguments.iter().map(here).collect();
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]).stdout(std::process::Stdio::null());
        let _redis = Process::spawn("redis-server", bound_to_us(&mut command));
        until("Redis listens", || std::net::TcpStream::connect(("127.0.0.1", redis_port)).is_ok());

        let queue = container(&rendering, "Deployment", "everloop-queue");
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(&queue.arguments).envs(&queue.variables).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let store = queue.variables["EVERLOOP_STORE"].replace("everloop-redis.everloop:6379", &format!("127.0.0.1:{redis_port}"));
        command.env("EVERLOOP_STORE", store).env("EVERLOOP_LISTEN", format!("127.0.0.1:{queue_port}"));
        let _queue = Process::spawn("queue", bound_to_us(&mut command));
        until("the queue service is ready", || answer(queue_port, "/readyz").is_some_and(|answer| answer.contains("200 OK")));
        let ready = answer(queue_port, "/readyz").expect("an answer");
        assert!(ready.contains(&format!(r#""durability":"{durability}""#)) && ready.contains(r#""partitions":16"#), "{ready}");

        // `helm test` asks through the service.
        let test = &find(&rendering, "Pod", "everloop-test")["spec"]["containers"][0];
        let arguments = test["args"].as_array().expect("arguments").iter().map(|argument| argument.as_str().expect("text"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        let output = command.args(arguments).env("EVERLOOP_SERVER", format!("http://127.0.0.1:{queue_port}")).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Values for a Redis elsewhere with all that there is to give.
fn external(url: &str) -> String {
    let sentinel = if url.contains("sentinel") { r#""sentinelPassword":{"secretName":"sentinel"},"# } else { "" };
    format!(
        r#"redis={{"bundled":false,"external":{{"url":"{url}",{sentinel}"password":{{"secretName":"login","key":"word"}},"tls":{{"ca":{{"secretName":"authority"}},"client":{{"secretName":"ours"}}}}}}}}"#
    )
}

/// The pod's files are made as the kubelet would make them: from Secrets by name and key.
#[test]
fn an_external_redis_with_certificates_and_a_password_is_reached_as_the_chart_says() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let (server, ours) = (authority.sign("server", &["localhost"]), authority.sign("ours", &["everloop"]));
    let (redis_port, queue_port) = (free_port(), free_port());
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &redis_port.to_string(), "--tls-auth-clients", "yes"]);
    command.arg("--tls-cert-file").arg(&server.certificate).arg("--tls-key-file").arg(&server.key);
    command.arg("--tls-ca-cert-file").arg(authority.file()).arg("--dir").arg(folder.path());
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--user", "default", "off"]);
    // As the service says, when it is forbidden something.
    command.args(["--user", "ann", "on", &format!(">{PASSWORD}"), "~{e*", "&everloop:*", "+@all", "-@dangerous", "+info", "+config|get"]);
    let _redis = Process::spawn("redis-server", bound_to_us(command.stdout(std::process::Stdio::null())));
    until("Redis listens", || std::net::TcpStream::connect(("127.0.0.1", redis_port)).is_ok());

    let rendering = objects(&render(&["--set-json", &external(&format!("rediss://ann@localhost:{redis_port}"))]));
    let pod = &find(&rendering, "Deployment", "everloop-queue")["spec"]["template"]["spec"];
    let read = |path: &std::path::Path| std::fs::read(path).expect("a file");
    let secrets = BTreeMap::from([
        (("login", "word"), PASSWORD.as_bytes().to_vec()),
        (("authority", "ca.crt"), read(&authority.file())),
        (("ours", "tls.crt"), read(&ours.certificate)),
        (("ours", "tls.key"), read(&ours.key)),
    ]);
    let mount = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str().expect("a mount");
    for source in pod["volumes"][0]["projected"]["sources"].as_array().expect("sources") {
        for item in source["secret"]["items"].as_array().expect("items") {
            let key = (source["secret"]["name"].as_str().expect("a name"), item["key"].as_str().expect("a key"));
            std::fs::write(folder.path().join(item["path"].as_str().expect("a path")), &secrets[&key]).expect("a file");
        }
    }

    let queue = container(&rendering, "Deployment", "everloop-queue");
    let here = |value: &String| value.replace(mount, &folder.path().display().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(&queue.arguments).envs(queue.variables.iter().map(|(name, value)| (name, here(value))));
    command.stdout(std::process::Stdio::null()).env("EVERLOOP_LISTEN", format!("127.0.0.1:{queue_port}"));
    let mut queue = Process::spawn("queue", bound_to_us(&mut command));
    until("the queue service is ready", || {
        assert!(queue.is_alive(), "the queue service has ended; it says why above");
        answer(queue_port, "/readyz").is_some_and(|answer| answer.contains("200 OK") && answer.contains(r#""durability":"strict""#))
    });
}

/// A misspelt variable would be ignored in silence.
#[test]
fn the_program_reads_every_variable_that_the_pods_have() {
    /// Of the chart's own, and of all roles.
    const ELSEWHERE: [&str; 2] = ["EVERLOOP_REDIS_PASSWORD", "EVERLOOP_LOG"];
    let bundled = objects(&render(&["--set", "watchNamespaces={shop}"]));
    let external = objects(&render(&["--set", "durability=failover", "--set-json", &external("rediss+sentinel://ann@s:26379/main")]));
    for (rendering, name, reference) in
        [(&bundled, "everloop-queue", "queue"), (&external, "everloop-queue", "queue"), (&bundled, "everloop-operator", "operator")]
    {
        let help = Command::new(env!("CARGO_BIN_EXE_everloop")).args([reference, "--help"]).output().expect("it runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for variable in container(rendering, "Deployment", name).variables.keys().map(String::as_str) {
            if ELSEWHERE.contains(&variable) {
                continue;
            }
            let is_read = [']', '='].iter().any(|end| help.contains(&format!("[env: {variable}{end}")));
            assert!(is_read, "`everloop {reference}` does not read {variable}");
        }
    }
}
