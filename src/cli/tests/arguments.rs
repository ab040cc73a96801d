use clap::{CommandFactory as _, Parser as _};

use crate::cli::args::{Ask, Cli, Command, Format};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("everloop").chain(line.split_whitespace()))
}

#[test]
fn the_definition_of_the_arguments_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_design_is_there() {
    for line in [
        "apply -f a.yaml",
        "apply -f a.yaml -f folder -f -",
        "check a.yaml b.yaml",
        "workflows",
        "run order-status --id order-1 --input {} --wait",
        "run order-status -i @order.json -w",
        "list --workflow order-status --status Running --limit 5",
        "list -s completed",
        "get order-1",
        "journal order-1 --full",
        "watch parent/child",
        "result order-1 --wait",
        "signal order-1 go {\"a\":1}",
        "signal order-1 go",
        "cancel order-1 --reason late",
        "terminate order-1",
        "pause order-1",
        "resume order-1 --version current",
        "workers",
        "simulate pool --trace steady --trace ./mine.trace --seed 7 --svg plots -o json",
        "dev",
        "dev -f a.yaml -f b --store memory --listen 127.0.0.1:0",
        "queue --store file:/x.redb --durability everysec --session-ttl 5s",
        "queue --listen 0.0.0.0:7400 --store redis://127.0.0.1",
        "worker --pool fast --server http://q:7400 --name w-1 --loops 2 --turn-slots 9 --activity-slots 9 --cache-mb 64 --allow-local --drain 1m",
        "demo --orders 50 --workers 2 --store redis://127.0.0.1 --no-kill --seed 9",
        "completion bash",
        "-o json list",
        "list -o yaml -n shop --server http://x:1 --token t",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_code_2() {
    for (line, says) in [
        ("", "Usage"),
        ("runs", "subcommand"),
        ("run Order_Status", "1 to 63 characters"),
        ("run w --id a//b", "run id"),
        ("list --status Done", "Completed"),
        ("list --limit 0", "limit"),
        ("queue", "--store"),
        ("queue --store disk", "memory, file:PATH or redis://HOST:PORT"),
        ("queue --store memory --durability fast", "everysec"),
        ("queue --store memory --listen 7400", "--listen"),
        ("worker --name a_b", "letters, digits"),
        ("worker --turn-slots 0", "turn-slots"),
        ("worker --drain soon", "such as 250ms"),
        ("demo --store memory", "would not survive"),
        ("demo --orders 0", "orders"),
        ("apply", "--file"),
        ("completion cmd", "bash"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(says), "{line}: {error}");
    }
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in ["-o json --namespace shop get x", "get x -o json --namespace shop"] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.options.output, Format::Json);
        assert_eq!(cli.options.namespace().as_str(), "shop");
        assert!(matches!(cli.command, Command::Ask(Ask::Get(_))));
    }
}
