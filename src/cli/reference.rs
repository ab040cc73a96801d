//! `docs/cli.md`, made from the arguments themselves.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::args::Cli;

const HEAD: &str = "# Command line\n\n\
    <!-- Generated from `src/cli` by `make update`; a test compares. -->\n\n";

/// The whole reference.
fn markdown() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "{}\n", plain(&cli.get_about().map(ToString::to_string).unwrap_or_default()));
    if let Some(after) = cli.get_after_help() {
        after.to_string().lines().for_each(|line| writeln!(text, "{}\n", line.trim()).unwrap_or_default());
    }
    text += "## Global options\n\n";
    options(&mut text, cli.get_arguments().filter(|arg| arg.is_global_set()));
    for command in cli.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        let parts: Vec<_> = command.get_subcommands().filter(|part| part.get_name() != "help").collect();
        match parts.as_slice() {
            [] => section(&mut text, command, command.get_name()),
            parts => parts.iter().for_each(|part| section(&mut text, part, &format!("{} {}", command.get_name(), part.get_name()))),
        }
    }
    text.trim_end().to_owned() + "\n"
}

fn section(text: &mut String, command: &Command, name: &str) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(text, "## `everloop {name}`\n\n{}\n\n```\n{usage}\n```\n", plain(&about));
    options(text, command.get_arguments().filter(|arg| !arg.is_global_set()));
    if let Some(after) = command.get_after_help() {
        let _ = writeln!(text, "```\n{after}\n```\n");
    }
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<_> = args
        .filter(|arg| {
            !arg.is_hide_set()
                && !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
        })
        .map(row)
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "| argument | meaning | default | environment |\n|---|---|---|---|\n{}\n", rows.join("\n"));
    }
}

fn row(arg: &Arg) -> String {
    let value = arg.get_value_names().map(|names| names.iter().map(std::string::ToString::to_string).collect::<Vec<_>>().join(" "));
    let takes = arg.get_action().takes_values();
    let value = value.filter(|_| takes).unwrap_or_default();
    let name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}{}`", after(' ', &value)),
        (None, Some(long)) => format!("`--{long}{}`", after(' ', &value)),
        (Some(short), None) => format!("`-{short}{}`", after(' ', &value)),
        (None, None) => format!("`{value}`"),
    };
    let mut help = plain(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    let possible: Vec<_> = arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(|v| format!("`{}`", v.get_name())).collect();
    if takes && !possible.is_empty() {
        let _ = write!(help, " One of {}.", possible.join(", "));
    }
    let code = |text: String| if text.is_empty() { text } else { format!("`{text}`") };
    let defaults = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let default = if takes && !arg.is_hide_default_value_set() { code(defaults) } else { String::new() };
    let env = code(arg.get_env().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default());
    format!("| {} | {} | {} | {env} |", escape(&name), escape(&help), escape(&default))
}

fn after(blank: char, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{blank}{value}") }
}

/// In a table a bar ends the cell, in code spans too.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_generated_reference_is_what_the_arguments_say() {
    crate::generated::is_up_to_date("docs/cli.md", &markdown());
}
