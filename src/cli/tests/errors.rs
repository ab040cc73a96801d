use crate::api::json::InvalidJson;
use crate::api::{Code, Problem};
use crate::cli::error::{CliError, Exit};
use crate::cli::input;
use crate::client::ClientError;

#[test]
fn no_server_says_how_to_have_one() {
    let error = CliError::from(ClientError::Unreachable { server: "http://127.0.0.1:7400".into(), detail: "connection refused".into() });
    assert_eq!(error.exit(), Exit::Server);
    assert_eq!(
        error.render(),
        "error: the server at http://127.0.0.1:7400 does not answer: connection refused (ServerUnreachable)\n\
         next:  `everloop dev` starts one here; or set EVERLOOP_SERVER (or --server) to the address of one that runs\n"
    );
}

#[test]
fn a_refusal_shows_its_code_and_the_service_s_own_advice_first() {
    let problem = Problem::new(Code::RunNotFound, "there is no run \"x\" in namespace \"default\"");
    let error = CliError::from(ClientError::Refused(Box::new(problem.clone())));
    assert_eq!(error.exit(), Exit::Server);
    assert_eq!(
        error.render(),
        "error: there is no run \"x\" in namespace \"default\" (RunNotFound)\n\
         next:  `everloop list` lists the runs of the namespace; `-n NAME` names another namespace\n"
    );
    let advised = CliError::from(ClientError::Refused(Box::new(problem.next("try y"))));
    assert!(advised.render().ends_with("next:  try y\n"));
}

#[test]
fn only_a_fault_of_the_service_mentions_its_log() {
    let mut problem = Problem::new(Code::Internal, "something broke");
    problem.request = "r-1".into();
    assert!(CliError::from(ClientError::Refused(Box::new(problem))).render().contains("under request r-1"));
}

#[test]
fn input_is_json_or_a_file_of_it_within_the_bounds() {
    assert_eq!(input::json("--input", " {\"a\": 1} ").unwrap().get(), "{\"a\": 1}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.json");
    std::fs::write(&file, "[1]\n").unwrap();
    assert_eq!(input::json("--input", &format!("@{}", file.display())).unwrap().get(), "[1]");

    std::fs::write(&file, format!("\"{}\"", "x".repeat(2 << 20))).unwrap();
    let deep = "[".repeat(65) + &"]".repeat(65);
    for (text, says) in [
        ("{a: 1}", "--input is not JSON"),
        ("", "--input is not JSON"),
        (deep.as_str(), "JsonTooDeep"),
        ("@/nowhere.json", "failed to read --input from /nowhere.json"),
        (&format!("@{}", file.display()), "PayloadTooLarge"),
    ] {
        let error = input::json("--input", text).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage, "{text}");
        assert!(error.render().contains(says), "{text}: {}", error.render());
    }
    assert!(matches!(crate::api::Json::checked("{"), Err(InvalidJson::Syntax(_))));
}
